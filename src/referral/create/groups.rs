//! Calls of one organisation that wait are carried out together.
//!
//! They take turns anyway. So whoever has the turn takes along those that wait for it: they are resolved by the same
//! statements, loaded at once, and share one COMMIT. A call alone waits for nobody.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::call::{Answered, Call};
use crate::{error::Result, id::OrganisationId, metrics::Timer, storage::Callers};

/// A call that waits.
pub struct Waiting {
    pub call: Call,
    pub callers: Callers,
    /// Takes the time until the group of the call begins.
    pub queued: Timer,
    pub answer: oneshot::Sender<Result<Answered>>,
}

/// The calls that wait, by organisation.
#[derive(Clone)]
pub struct Groups {
    /// How many events are created together.
    maximum: usize,
    queues: Arc<Mutex<HashMap<OrganisationId, Queue>>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// The groups under way, and when the last of them began.
    at_work: usize,
    since: Option<Instant>,
}

/// After so long a group is stuck, be it that its database does not answer, and keeps the others waiting no longer.
const STUCK: Duration = Duration::from_secs(5);

impl Groups {
    pub fn new(maximum: usize) -> Self {
        Self { maximum, queues: Arc::default() }
    }

    /// Adds a call. Answers the group to carry out now, if one may be.
    pub fn add(&self, waiting: Waiting) -> Option<Vec<Waiting>> {
        let organisation_id = waiting.call.sender.organisation_id;
        let mut queues = self.queues();
        queues.entry(organisation_id).or_default().waiting.push_back(waiting);
        self.begin(&mut queues, organisation_id)
    }

    /// Lets go of the calls whose callers have left.
    pub fn forget_the_departed(&self, organisation_id: OrganisationId) {
        if let Some(queue) = self.queues().get_mut(&organisation_id) {
            queue.waiting.retain(|waiting| !waiting.callers.are_gone());
        }
    }

    /// Ends a group of the organisation. Answers the next one, if there is one.
    pub fn next(&self, organisation_id: OrganisationId) -> Option<Vec<Waiting>> {
        let mut queues = self.queues();
        queues.get_mut(&organisation_id)?.at_work -= 1;
        self.begin(&mut queues, organisation_id)
    }

    fn begin(
        &self,
        queues: &mut HashMap<OrganisationId, Queue>,
        organisation_id: OrganisationId,
    ) -> Option<Vec<Waiting>> {
        let queue = queues.get_mut(&organisation_id)?;
        let group = if queue.may_begin(self.maximum) { queue.take(self.maximum) } else { Vec::new() };
        if !group.is_empty() {
            queue.at_work += 1;
            queue.since = Some(Instant::now());
        }
        if queue.at_work == 0 {
            queues.remove(&organisation_id);
        }
        Some(group).filter(|group| !group.is_empty())
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<OrganisationId, Queue>> {
        // Nothing that is done under the lock can panic half-way.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Two groups at once, of which one looks up while the other writes, are faster than one where there is much to do;
    /// where there is little, a larger group is.
    fn may_begin(&self, maximum: usize) -> bool {
        match self.at_work {
            0 => true,
            1 => {
                let events: usize = self.waiting.iter().map(Waiting::events).sum();
                events >= maximum / 4 || self.since.is_some_and(|since| since.elapsed() >= STUCK)
            }
            _ => false,
        }
    }

    /// The calls that have waited longest, of so many events at most, or one call. Two of one idempotency key are not in
    /// one group: the second is answered what was kept for the first.
    fn take(&mut self, maximum: usize) -> Vec<Waiting> {
        let (mut group, mut events, mut keys) = (Vec::new(), 0, HashSet::new());
        while let Some(next) = self.waiting.pop_front() {
            if next.callers.are_gone() {
                continue;
            }
            events += next.events();
            let is_repeat = next.key().is_some_and(|key| !keys.insert(key));
            if is_repeat || (events > maximum && !group.is_empty()) {
                self.waiting.push_front(next);
                break;
            }
            group.push(next);
        }
        group
    }
}

impl Waiting {
    fn events(&self) -> usize {
        self.call.events.len()
    }

    fn key(&self) -> Option<(&'static str, String)> {
        self.call.idempotency.as_ref().map(|(idempotency, _)| (idempotency.method, idempotency.key.clone()))
    }
}
