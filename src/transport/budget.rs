//! The bytes that all bodies being read and all answers not yet taken may have in memory together.
//!
//! Each is a [`Charge`]. While it waits for the network it can be revoked: where there is no room for another one, the
//! oldest goes. So whoever sends or takes slowly makes room for those who do not, and nobody keeps the others out by
//! holding on. Callers whose token has not been checked go first, and have half of the bytes together; so has each
//! organisation.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    error::{Error, ErrorKind, Result},
    id::OrganisationId,
};

/// How long a body waits for room that calls under way have.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who sends a body or takes an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// All those whose token has not been checked.
    Anonymous,
    Organisation(OrganisationId),
}

#[derive(Clone)]
pub struct Budget(Arc<Shared>);

struct Shared {
    limit: usize,
    state: Mutex<State>,
    /// Told whenever bytes become free.
    freed: Notify,
}

#[derive(Default)]
struct State {
    used: usize,
    used_by: HashMap<Holder, usize>,
    /// By age, the oldest first.
    charges: BTreeMap<u64, Entry>,
    next: u64,
}

struct Entry {
    holder: Holder,
    bytes: usize,
    /// Frees what is charged; `None` for what a call under way has need of.
    revoke: Option<Revoke>,
}

type Revoke = Box<dyn FnOnce() + Send>;

/// Why bytes are not to be had.
enum Short {
    /// All bytes belong to calls under way.
    Full,
    /// The charge was revoked.
    Revoked,
}

impl Budget {
    /// `limit` is in bytes.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Shared { limit, state: Mutex::default(), freed: Notify::new() }))
    }

    /// A charge of nothing yet; it can be revoked until it is settled, `revoke` being told.
    pub fn charge(&self, holder: Holder, revoke: impl FnOnce() + Send + 'static) -> Charge {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.charges.insert(id, Entry { holder, bytes: 0, revoke: Some(Box::new(revoke)) });
        Charge(Arc::new(Held { budget: self.clone(), id }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is locked; were it so, the sums would still be right.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that are held, until the last clone of this is gone.
#[derive(Clone)]
pub struct Charge(Arc<Held>);

struct Held {
    budget: Budget,
    id: u64,
}

impl Charge {
    /// Takes bytes for a body; waits a little where calls under way have them.
    pub async fn take(&self, bytes: usize) -> Result<()> {
        let Held { budget, id } = &*self.0;
        let limit = budget.0.limit;
        let taking = async {
            loop {
                let mut freed = std::pin::pin!(budget.0.freed.notified());
                freed.as_mut().enable();
                let taken = budget.state().take(limit, *id, bytes);
                match taken {
                    Ok(()) => return Ok(()),
                    Err(Short::Revoked) => return Err(crowded_out()),
                    Err(Short::Full) => freed.await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, taking).await.unwrap_or_else(|_| Err(crowded_out()))
    }

    /// Takes bytes for an answer, which is there whether there is room or not: it makes what room it can.
    pub fn take_anyway(&self, bytes: usize) {
        let Held { budget, id } = &*self.0;
        let mut state = budget.state();
        if matches!(state.take(budget.0.limit, *id, bytes), Err(Short::Full)) {
            state.add(*id, bytes);
        }
    }

    /// From now on the bytes are in use, and are not revoked.
    pub fn settle(&self) {
        if let Some(entry) = self.0.budget.state().charges.get_mut(&self.0.id) {
            entry.revoke = None;
        }
    }

    /// From now on the bytes are held by `holder`.
    pub fn move_to(&self, holder: Holder) {
        self.0.budget.state().move_to(self.0.id, holder);
    }

    pub fn holder(&self) -> Holder {
        self.0.budget.state().charges.get(&self.0.id).map_or(Holder::Anonymous, |entry| entry.holder)
    }

    /// The budget that this is of.
    pub fn budget(&self) -> &Budget {
        &self.0.budget
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.budget.state().remove(self.id));
        self.budget.0.freed.notify_waiters();
    }
}

impl State {
    fn take(&mut self, limit: usize, id: u64, bytes: usize) -> Result<(), Short> {
        loop {
            let holder = self.charges.get(&id).ok_or(Short::Revoked)?.holder;
            let used_by_holder = self.used_by.get(&holder).copied().unwrap_or_default();
            let victim = if used_by_holder + bytes > limit / 2 {
                self.oldest(id, |entry| entry.holder == holder)
            } else if self.used + bytes > limit {
                let anonymous = self.oldest(id, |entry| entry.holder == Holder::Anonymous);
                anonymous.or_else(|| self.oldest(id, |_| holder != Holder::Anonymous))
            } else {
                self.add(id, bytes);
                return Ok(());
            };
            let revoke = victim.and_then(|victim| self.remove(victim)?.revoke).ok_or(Short::Full)?;
            revoke();
        }
    }

    /// The oldest charge that can be revoked; `asking`, which wants the room, unless there is nothing but itself.
    fn oldest(&self, asking: u64, among: impl Fn(&Entry) -> bool) -> Option<u64> {
        let revocable = |entry: &Entry| entry.revoke.is_some() && entry.bytes > 0 && among(entry);
        let mut by_age = self.charges.iter().filter(|(_, entry)| revocable(entry)).map(|(id, _)| *id);
        let oldest = by_age.next()?;
        (oldest != asking || by_age.next().is_some()).then_some(oldest)
    }

    fn add(&mut self, id: u64, bytes: usize) {
        if let Some(entry) = self.charges.get_mut(&id) {
            entry.bytes += bytes;
            self.used += bytes;
            *self.used_by.entry(entry.holder).or_default() += bytes;
        }
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.charges.remove(&id)?;
        self.used -= entry.bytes;
        if let Some(used) = self.used_by.get_mut(&entry.holder) {
            *used -= entry.bytes;
            if *used == 0 {
                self.used_by.remove(&entry.holder);
            }
        }
        Some(entry)
    }

    fn move_to(&mut self, id: u64, holder: Holder) {
        if let Some(entry) = self.remove(id) {
            let bytes = entry.bytes;
            self.charges.insert(id, Entry { holder, bytes: 0, ..entry });
            self.add(id, bytes);
        }
    }
}

pub fn crowded_out() -> Error {
    Error::new(ErrorKind::TooManyRequests, "The service has too many bytes of requests to read; try again.")
}
