//! Work that comes to its end whether or not its caller stays: a conversation with a database that is dropped half-way
//! leaves a connection of which nobody knows where it stands.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use sea_orm::DbErr;
use tracing::Instrument;

use crate::error::{Error, Result};

tokio::task_local! {
    static WORK: Arc<Work>;
}

/// Work under way in a task of its own.
pub(super) struct Work {
    /// Held by whoever waits for it.
    caller: Weak<()>,
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
        if self.is_abandoned() { Err(DbErr::Custom("nobody waits for the call any more".to_owned())) } else { Ok(()) }
    }

    pub fn note(&self, outcome: Outcome) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }

    fn is_abandoned(&self) -> bool {
        self.caller.strong_count() == 0
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

/// Does `work` in a task that lives on where the caller of this is dropped, and answers what came of it.
///
/// What nobody waits for any more is rolled back when its transaction is to begin its next statement; once COMMIT was
/// sent it is committed whole. The log then says which, and of how many events, which `count` tells of the answer.
pub async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
    count: fn(&T) -> usize,
) -> Result<T> {
    let caller = Arc::new(());
    let state = Arc::new(Work { caller: Arc::downgrade(&caller), outcome: Mutex::new(Outcome::WroteNothing) });
    let task = WORK.scope(state.clone(), async move {
        let done = work.await;
        if state.is_abandoned() {
            state.log(done.as_ref().map_or(0, count));
        }
        done
    });
    let done = tokio::spawn(task.in_current_span()).await;
    drop(caller);
    done.unwrap_or_else(|error| Err(Error::internal(error)))
}
