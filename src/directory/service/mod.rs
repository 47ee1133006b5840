//! The directory as callers know it: its rows, each by its name and page by page, and changes of their states.

mod import;
mod lists;
mod names;
mod states;

pub use import::{DirectoryImport, Values};
pub use lists::{ListedRows, RowFilterRequest, RowListRequest};
pub use names::AccessTokenName;
pub use states::NewTokenState;

use crate::{clock::Clock, referral::ReferralEvents, secret::CodeHasher, storage::Database};

/// Answers the rows of the directory, and changes them.
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
