//! The domain: referral events and the rules they keep to.
//!
//! `create` creates events in bulk, `look_back` answers those that are there and cancels them, for `referral_events`,
//! which has the database and the settings. Both validate what was sent by the `rules`, which are pure, and `resolve` what
//! it names (`given`). `parties` tells of those who refer and are referred. `unprocessed` keeps what was not created for
//! some days; `pages` has what lists have in common. `codes` counts the wrong codes of access tokens, for all of them.

mod codes;
mod create;
pub mod event;
mod find_parties;
pub mod given;
mod look_back;
pub mod pages;
mod parties;
mod referral_events;
mod resolve;
pub mod rules;
mod unprocessed;
pub mod violation;

pub use codes::Sender;
pub use create::{Answered, Idempotency, Options, Outcome, Report, Reported};
pub use look_back::{CustomerEvent, EventIdentifier, FilterRequest, ListRequest, Named, describe, find_old_events};
pub use parties::{Participant, ReferralTree, TreeNode, TreeRequest};
pub use referral_events::{ReferralEvents, ReferralSettings};
pub use unprocessed::{UnprocessedEvent, UnprocessedListRequest};
