//! The directory as callers know it: its rows, each by its name and page by page.

mod lists;
mod names;

pub use lists::{ListedRows, RowFilterRequest, RowListRequest};
pub use names::AccessTokenName;

use crate::{clock::Clock, referral::ReferralEvents, secret::CodeHasher, storage::Database};

/// Answers the rows of the directory.
#[derive(Clone)]
pub struct Directory {
    database: Database,
    hasher: CodeHasher,
    clock: Clock,
    /// By which parties are found as events name them.
    referral_events: ReferralEvents,
}

impl Directory {
    pub fn new(database: Database, hasher: CodeHasher, clock: Clock, referral_events: ReferralEvents) -> Self {
        Self { database, hasher, clock, referral_events }
    }
}
