//! Work that comes to its end whether or not its caller stays: a conversation with a database that is dropped half-way
//! leaves a connection of which nobody knows where it stands.

use std::sync::{Arc, Mutex, PoisonError};

use sea_orm::DbErr;
use tokio::sync::watch;
use tracing::{Instrument, Span};

use crate::error::{Error, Result};

/// The field of a request's span that has the number of events that it has stored or cancelled.
pub const COMMITTED: &str = "committed";

tokio::task_local! {
    static WORK: Arc<Work>;
}

/// Work under way in a task of its own.
pub(super) struct Work {
    /// Whoever waits for it holds the other end.
    caller: watch::Receiver<()>,
    outcome: Mutex<Outcome>,
}

/// What became of the last transaction of some work.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    WroteNothing,
    RolledBack,
    /// COMMIT was sent and not answered.
    InDoubt,
    Committed,
}

impl Work {
    /// The work that the current task does, if it is such a task.
    pub fn current() -> Option<Arc<Self>> {
        WORK.try_with(Arc::clone).ok()
    }

    /// Fails where nobody waits for the work any more. Asked between statements, where a transaction can be rolled back.
    pub fn check(&self) -> Result<(), DbErr> {
        if self.is_abandoned() { Err(abandoned()) } else { Ok(()) }
    }

    /// Waits for what comes with no conversation under way, such as a connection; fails as soon as nobody waits for the
    /// work any more.
    pub async fn unless_abandoned<T>(&self, what: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        let mut caller = self.caller.clone();
        tokio::select! {
            got = what => got,
            // Nothing is ever sent.
            _ = caller.changed() => Err(abandoned()),
        }
    }

    pub fn note(&self, outcome: Outcome) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }

    fn is_abandoned(&self) -> bool {
        self.caller.has_changed().is_err()
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
    let (caller, waiting) = watch::channel(());
    let state = Arc::new(Work { caller: waiting, outcome: Mutex::new(Outcome::WroteNothing) });
    let task = WORK.scope(state.clone(), async move {
        let done = match state.check() {
            Ok(()) => work.await,
            Err(error) => Err(error.into()),
        };
        let events = done.as_ref().map_or(0, count);
        // First, for the caller may leave at any moment, and what is logged then tells what the span has.
        if events > 0 {
            Span::current().record(COMMITTED, events);
        }
        if state.is_abandoned() {
            state.log(events);
        }
        done
    });
    let done = tokio::spawn(task.in_current_span()).await;
    drop(caller);
    done.unwrap_or_else(|error| Err(Error::internal(error)))
}
