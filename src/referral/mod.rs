//! The domain: referral events and the rules they keep to.
//!
//! A bulk call goes through `bulk_create`, which validates what was sent, resolves the identifiers, judges each event
//! by the rules, stores those that pass and reports on every one. `validate`, `performed_by` and `rules` are pure.

mod bulk_create;
mod content;
pub mod event;
mod performed_by;
pub mod release;
mod report;
mod resolve;
mod rules;
mod validate;
pub mod violation;

pub use bulk_create::{Answered, Idempotency, Options, ReferralEvents, Rules};
pub use report::{Created, Outcome, Report};
