//! Work that comes to its end whether or not its caller stays: a conversation with a database that is dropped half-way
//! leaves a connection of which nobody knows where it stands.

use std::sync::{Arc, Mutex, PoisonError};

use sea_orm::DbErr;
use tokio::sync::watch;
use tracing::Instrument;

use crate::{
    error::{Error, Result},
    metrics::{CallRecord, Step, Timer},
};

tokio::task_local! {
    static CALLERS: Callers;
}

/// Those for whom the current task works: one, several, or nobody in particular.
#[derive(Clone, Default)]
pub struct Callers(Vec<Arc<Caller>>);

/// Somebody who waits for work in another task, or has left.
struct Caller {
    /// Whoever waits holds the other end.
    waits: watch::Receiver<()>,
    record: CallRecord,
    outcome: Mutex<Outcome>,
}

/// What became of the last transaction for a caller.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    WroteNothing,
    RolledBack,
    /// COMMIT was sent and not answered.
    InDoubt,
    Committed,
}

impl Callers {
    /// Those of the current task.
    pub fn current() -> Self {
        CALLERS.try_with(Self::clone).unwrap_or_default()
    }

    pub fn all<'a>(callers: impl Iterator<Item = &'a Self>) -> Self {
        Self(callers.flat_map(|callers| callers.0.iter().cloned()).collect())
    }

    /// Has some work done for them.
    pub async fn served_by<T>(self, work: impl Future<Output = T>) -> T {
        CALLERS.scope(self, work).await
    }

    /// Whether there were some, who have all left.
    pub fn are_gone(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|caller| caller.is_gone())
    }

    /// Fails where nobody waits for the work any more. Asked between statements, where a transaction can be rolled back.
    pub(super) fn check(&self) -> Result<(), DbErr> {
        if self.are_gone() { Err(abandoned()) } else { Ok(()) }
    }

    /// Waits for what comes with no conversation under way, such as a connection; fails as soon as nobody waits for the
    /// work any more.
    pub(super) async fn unless_gone<T>(&self, what: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        tokio::select! {
            got = what => got,
            () = self.all_left() => Err(abandoned()),
        }
    }

    /// Waits until all have left; for ever where there are none.
    pub async fn all_left(&self) {
        if self.0.is_empty() {
            std::future::pending().await
        }
        for caller in &self.0 {
            // Nothing is ever sent.
            _ = caller.waits.clone().changed().await;
        }
    }

    /// Takes the time of a step of their calls.
    pub fn timer(&self, step: Step) -> Timer {
        Timer::new(step, self.0.iter().map(|caller| caller.record.clone()).collect())
    }

    pub(super) fn note(&self, outcome: Outcome) {
        self.0.iter().for_each(|caller| caller.note(outcome));
    }
}

impl Caller {
    fn is_gone(&self) -> bool {
        self.waits.has_changed().is_err()
    }

    fn note(&self, outcome: Outcome) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }

    fn log(&self, events: usize) {
        match *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) {
            Outcome::WroteNothing => tracing::info!("the caller left; the call has written nothing"),
            Outcome::RolledBack => tracing::info!("the caller left; the call was rolled back"),
            Outcome::InDoubt => tracing::warn!("the caller left; whether the call was committed is not known"),
            Outcome::Committed => tracing::info!(events, "the caller left; the call was committed"),
        }
    }
}

fn abandoned() -> DbErr {
    DbErr::Custom("nobody waits for the call any more".to_owned())
}

/// Does `work` in a task that lives on where the caller of this is dropped, and answers what came of it.
///
/// What nobody waits for any more leaves the queue for a connection at once, and is rolled back when its transaction is to
/// begin its next statement; once COMMIT was sent it is committed whole. So no more of it is under way than there are
/// connections. The log then says which, and of how many events, which `count` tells of the answer.
pub async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
    count: fn(&T) -> usize,
) -> Result<T> {
    let (waiting, waits) = watch::channel(());
    let record = CallRecord::current();
    let caller = Arc::new(Caller { waits, record: record.clone(), outcome: Mutex::new(Outcome::WroteNothing) });
    let callers = Callers(vec![caller.clone()]);
    let task = record.clone().of(callers.clone().served_by(async move {
        let done = match callers.check() {
            Ok(()) => work.await,
            Err(error) => Err(error.into()),
        };
        let events = done.as_ref().map_or(0, count);
        // First, for the caller may leave at any moment, and what is logged then tells what the record has.
        if events > 0 {
            record.note(|facts| *facts.committed.get_or_insert_default() += events);
        }
        if caller.is_gone() {
            caller.log(events);
        }
        done
    }));
    let done = tokio::spawn(task.in_current_span()).await;
    drop(waiting);
    done.unwrap_or_else(|error| Err(Error::internal(error)))
}
