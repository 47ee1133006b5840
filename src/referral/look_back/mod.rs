//! Looking back: one event, lists of events, and cancelling an event.
//!
//! `calls` has the three; `filter` says which events a list is of, and `customer_event` is what is answered. `old_events`
//! tells of those that are to be archived, in the same words.

mod calls;
mod customer_event;
mod filter;
mod old_events;

pub use calls::{EventIdentifier, ListRequest};
pub use customer_event::{CustomerEvent, Named, describe};
pub use filter::{FilterRequest, count_codes};
pub use old_events::find_old_events;
