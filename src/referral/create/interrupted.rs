//! What keeps an attempt at a call from its end.

use sea_orm::DbErr;

use crate::{
    error::{Error, ErrorKind, Result},
    retry::Attempts,
    storage::{Uncommitted, is_contention, is_unique_violation},
};

/// Why a transaction did not come to its end.
pub enum Interrupted {
    /// Another call was faster; a new attempt sees what it did.
    Raced,
    /// An import has changed the directory since the events were resolved.
    DirectoryChanged,
    /// Whether it was committed is not known.
    InDoubt(Error),
    Failed(Error),
}

impl Interrupted {
    /// What a COMMIT has failed for.
    pub fn at_commit(uncommitted: Uncommitted) -> Self {
        match uncommitted {
            Uncommitted::RolledBack(error) => error.into(),
            Uncommitted::InDoubt(error) if is_contention(&error) => Self::Raced,
            Uncommitted::InDoubt(error) => Self::InDoubt(error.into()),
        }
    }

    /// Comes to the next attempt, if another can come to a better end and there is one left.
    pub async fn try_again(self, attempts: &mut Attempts) -> Result<()> {
        match self {
            Self::Failed(error) | Self::InDoubt(error) => Err(error),
            Self::Raced | Self::DirectoryChanged if attempts.is_last() => {
                let message = "Too many calls refer the same parties at once; try again.";
                Err(Error::new(ErrorKind::TooManyRequests, message))
            }
            Self::Raced | Self::DirectoryChanged => {
                attempts.next().await;
                Ok(())
            }
        }
    }
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
