//! How often the database failed, by the kind of its failures.

use std::sync::atomic::{AtomicU64, Ordering};

use sea_orm::{DbErr, RuntimeErr};

use super::{error::fault_of, fault::Fault};

/// A statement that was wrong, or a row that cannot be read.
const OTHER: &str = "other";

/// Keys that are taken are no failures: calls race for them.
#[derive(Debug, Default)]
pub struct Failures {
    faults: [AtomicU64; Fault::ALL.len()],
    other: AtomicU64,
}

impl Failures {
    pub fn count(&self, error: &sqlx::Error) {
        match fault_of(error) {
            Some(fault) => self.count_fault(fault),
            None if error.as_database_error().is_some_and(|error| error.is_unique_violation()) => {}
            None => _ = self.other.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The same of one that came past sqlx.
    pub fn count_past_sqlx(&self, error: &DbErr) {
        match error {
            DbErr::Exec(RuntimeErr::SqlxError(error)) => self.count(error),
            _ => _ = self.other.fetch_add(1, Ordering::Relaxed),
        }
    }

    pub fn count_fault(&self, fault: Fault) {
        self.faults[fault as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn by_kind(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let faults = Fault::ALL.iter().map(|fault| fault.name()).zip(&self.faults);
        faults.chain([(OTHER, &self.other)]).map(|(kind, count)| (kind, count.load(Ordering::Relaxed)))
    }
}
