//! What is noted of a call while it is carried out.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{CallMetrics, EventOutcome, Login};

/// A step of a call whose time is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its body is read, and its events.
    Read,
    /// It waits for its place, and for the group that it is carried out with.
    Queue,
    /// What its events name is looked up.
    Resolve,
    /// It waits for a connection and for the turn of its organisation.
    Turn,
    /// What the rules must know is looked up, in the turn.
    Decide,
    /// Its events are loaded.
    Load,
    Commit,
}

impl Step {
    pub const ALL: [Self; 7] =
        [Self::Read, Self::Queue, Self::Resolve, Self::Turn, Self::Decide, Self::Load, Self::Commit];

    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Queue => "queue",
            Self::Resolve => "resolve",
            Self::Turn => "turn",
            Self::Decide => "decide",
            Self::Load => "load",
            Self::Commit => "commit",
        }
    }
}

tokio::task_local! {
    static CURRENT: CallRecord;
}

/// The record of a call, shared by all who work for it. The times of its steps are counted once the last of them is done,
/// be it after the caller has left.
#[derive(Clone, Default)]
pub struct CallRecord(Arc<Shared>);

/// The steps of a call that are kept one by one, at most.
const MAXIMUM_STEPS: usize = 128;

/// A step of a call that was taken.
#[derive(Clone, Copy, Debug)]
pub struct StepTaken {
    pub step: Step,
    pub since: Instant,
    pub time: Duration,
}

#[derive(Default)]
struct Shared {
    metrics: Option<CallMetrics>,
    /// Each by itself; `None` where nobody wants to know.
    taken: Option<Arc<Mutex<Vec<StepTaken>>>>,
    /// In nanoseconds; 0 where the step was not taken.
    steps: [AtomicU64; Step::ALL.len()],
    facts: Arc<Mutex<Facts>>,
}

/// What is known of a call, beside its steps.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub organisation: Option<i64>,
    pub user: Option<String>,
    /// The error code that the call was refused with, and what happened beneath where that was a fault of the service.
    pub error: Option<&'static str>,
    pub cause: Option<String>,
    /// What became of its events.
    pub events: BTreeMap<EventOutcome, usize>,
    /// How many events are committed.
    pub committed: Option<usize>,
    /// Whether the answer was kept from an earlier call under the same idempotency key.
    pub is_repeated: bool,
}

impl CallRecord {
    /// `keeps_steps`: each of the call's steps is kept by itself.
    pub fn new(metrics: CallMetrics, keeps_steps: bool) -> Self {
        Self::with(Some(metrics), keeps_steps.then(Arc::default), Arc::default())
    }

    /// That of a part of the call: the times of its steps are its own, and it adds to what else is known of the whole.
    pub fn part(&self) -> Self {
        let Shared { metrics, taken, facts, .. } = &*self.0;
        Self::with(metrics.clone(), taken.clone(), facts.clone())
    }

    fn with(metrics: Option<CallMetrics>, taken: Option<Arc<Mutex<Vec<StepTaken>>>>, facts: Arc<Mutex<Facts>>) -> Self {
        Self(Arc::new(Shared { metrics, taken, steps: Default::default(), facts }))
    }

    /// That of the call that the current task answers; where there is none, one that nobody reads.
    pub fn current() -> Self {
        CURRENT.try_with(Self::clone).unwrap_or_default()
    }

    /// Answers the call.
    pub async fn of<T>(self, answering: impl Future<Output = T>) -> T {
        CURRENT.scope(self, answering).await
    }

    /// Changes what is known of the call.
    pub fn note(&self, note: impl FnOnce(&mut Facts)) {
        note(&mut self.lock());
    }

    pub fn facts(&self) -> Facts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.0.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the steps that were kept one by one.
    pub fn take_steps(&self) -> Vec<StepTaken> {
        let taken = self.0.taken.as_ref().map(|taken| taken.lock().unwrap_or_else(PoisonError::into_inner));
        taken.map(|mut taken| std::mem::take(&mut *taken)).unwrap_or_default()
    }

    /// Adds to the time of a step what it took until now.
    pub fn took(&self, step: Step, since: Instant) {
        let time = since.elapsed();
        if let Some(taken) = &self.0.taken {
            let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
            if taken.len() < MAXIMUM_STEPS {
                taken.push(StepTaken { step, since, time });
            }
        }
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.0.steps[step as usize].fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Takes the time of a step until this is dropped.
    pub fn timer(&self, step: Step) -> Timer {
        Timer::new(step, vec![self.clone()])
    }

    /// How long a step has taken so far; `None` where it was not taken.
    pub fn time_of(&self, step: Step) -> Option<Duration> {
        let nanoseconds = self.0.steps[step as usize].load(Ordering::Relaxed);
        (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds))
    }

    /// Counts what became of the events.
    pub fn events(&self, outcomes: impl Iterator<Item = EventOutcome>) {
        let mut counts: BTreeMap<EventOutcome, usize> = BTreeMap::new();
        outcomes.for_each(|outcome| *counts.entry(outcome).or_default() += 1);
        if let Some(metrics) = &self.0.metrics {
            for (outcome, count) in &counts {
                metrics.events.get_or_create(&outcome.labels()).inc_by(*count as u64);
            }
        }
        self.note(|facts| {
            counts.into_iter().for_each(|(outcome, count)| *facts.events.entry(outcome).or_default() += count);
        });
    }

    /// Counts a bulk call of so many events.
    pub fn batch(&self, events: usize) {
        if let Some(metrics) = &self.0.metrics {
            metrics.batches.observe(events as f64);
        }
    }

    pub fn login(&self, outcome: Login) {
        if let Some(metrics) = &self.0.metrics {
            metrics.logins.get_or_create(&[("outcome", outcome.name())]).inc();
        }
    }

    /// Counts the events that use each deprecated attribute.
    pub fn deprecated(&self, used: &[(&'static str, usize)]) {
        if let Some(metrics) = &self.0.metrics {
            for (attribute, events) in used {
                metrics.deprecated.get_or_create(&[("attribute", attribute)]).inc_by(*events as u64);
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let Some(metrics) = &self.metrics else { return };
        for (time, histogram) in self.steps.iter().zip(&metrics.steps) {
            let nanoseconds = time.load(Ordering::Relaxed);
            if nanoseconds > 0 {
                histogram.observe(Duration::from_nanos(nanoseconds).as_secs_f64());
            }
        }
    }
}

/// Takes the time of a step, for one call or several that are carried out together, until it is dropped.
pub struct Timer {
    step: Step,
    records: Vec<CallRecord>,
    since: Instant,
}

impl Timer {
    pub fn new(step: Step, records: Vec<CallRecord>) -> Self {
        Self { step, records, since: Instant::now() }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.records.iter().for_each(|record| record.took(self.step, self.since));
    }
}
