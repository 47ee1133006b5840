//! What keeps an attempt at a call from its end.

use sea_orm::DbErr;

use crate::{
    error::Error,
    storage::{is_contention, is_unique_violation},
};

/// Why a transaction did not come to its end.
pub enum Interrupted {
    /// Another call was faster; a new attempt sees what it did.
    Raced,
    /// An import has changed the directory since the events were resolved.
    DirectoryChanged,
    Failed(Error),
}

impl From<DbErr> for Interrupted {
    fn from(error: DbErr) -> Self {
        // A key that another call's event took since this one looked is a lost race too.
        if is_contention(&error) || is_unique_violation(&error) { Self::Raced } else { Self::Failed(error.into()) }
    }
}

impl From<Error> for Interrupted {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
