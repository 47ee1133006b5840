//! Looking back: one event, lists of events, and cancelling an event.
//!
//! `calls` has the three; `filter` says which events a list is of, and `customer_event` is what is answered.

mod calls;
mod customer_event;
mod filter;

pub use calls::{EventIdentifier, ListRequest};
pub use customer_event::{CustomerEvent, Named, describe};
pub use filter::FilterRequest;
