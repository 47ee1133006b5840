//! The domain: referral events and the rules they keep to.
//!
//! A bulk call goes through `bulk_create`, which validates what was sent, resolves the identifiers, judges each event
//! by the rules, stores those that pass and reports on every one. `validate`, `performed_by` and `rules` are pure.
//! `look_back` answers the events that are there and cancels them; `filter` says which events a list is of. `codes`
//! counts the wrong codes of access tokens, for all of them.

pub mod attributes;
mod bulk_create;
mod call;
mod codes;
mod content;
pub mod event;
mod filter;
mod interrupted;
mod judgement;
mod look_back;
mod performed_by;
pub mod release;
mod report;
mod resolve;
mod row;
mod rules;
mod validate;
pub mod violation;

pub use bulk_create::{ReferralEvents, Rules};
pub use call::{Answered, Idempotency, Options};
pub use codes::Sender;
pub use filter::FilterRequest;
pub use look_back::{EventIdentifier, ListRequest};
pub use report::{Created, Outcome, Report};

pub use crate::storage::event_views::{EventView, Named, Page};
