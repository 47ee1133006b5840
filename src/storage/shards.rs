//! The shards of a cluster of Citus, as they were found last.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// One shard of each table, which lie together on one worker and have some of the organisations. It is called by the id of
/// the shard of `counters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    pub id: i64,
    /// Host and port, as the coordinator has them.
    pub worker: String,
    /// Whether the worker does not answer, and its organisations cannot be served.
    pub is_lost: bool,
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.id, self.worker)
    }
}

/// The shards, as the last look found them; none where there is no cluster.
#[derive(Clone, Default)]
pub struct Shards(Arc<Mutex<Vec<Shard>>>);

impl Shards {
    pub fn all(&self) -> Vec<Shard> {
        self.lock().clone()
    }

    /// Takes note of what was found; answers what was known.
    pub(super) fn replace(&self, found: Vec<Shard>) -> Vec<Shard> {
        std::mem::replace(&mut *self.lock(), found)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Shard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
