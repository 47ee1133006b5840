//! Questions that are asked while another one is being answered are asked together, in one.
//!
//! Who asks alone waits for nobody. Where many ask at once, the database is asked a few large questions rather than many
//! small ones, which cost it many times as much.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::FutureExt;
use tokio::sync::oneshot;

use crate::{
    error::{Error, Result},
    id::OrganisationId,
};

/// So many are being answered at once, of each organisation: one that takes long does not keep all others waiting.
const AT_ONCE: usize = 2;

/// The questions under way, of each organisation by themselves, for they are about its rows.
pub struct Together<Q, A>(Arc<Mutex<HashMap<OrganisationId, Queue<Q, A>>>>);

/// Whoever waits for an answer.
type Asker<A> = oneshot::Sender<Result<A>>;

struct Queue<Q, A> {
    waiting: Vec<(Q, Asker<A>)>,
    under_way: usize,
}

impl<Q, A> Clone for Together<Q, A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Q, A> Default for Together<Q, A> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<Q: Send + 'static, A: Send + 'static> Together<Q, A> {
    /// Asks. `answer_all` answers questions in their order; it is gone on with where who asked leaves.
    pub async fn ask<F, W>(&self, organisation_id: OrganisationId, question: Q, answer_all: F) -> Result<A>
    where
        F: Fn(Vec<Q>) -> W + Send + 'static,
        W: Future<Output = Result<Vec<A>>> + Send,
    {
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut queues = self.queues();
            let queue = queues.entry(organisation_id).or_insert_with(|| Queue { waiting: Vec::new(), under_way: 0 });
            queue.waiting.push((question, answer));
            let may_begin = queue.under_way < AT_ONCE;
            queue.under_way += usize::from(may_begin);
            may_begin
        };
        if is_first {
            let together = self.clone();
            tokio::spawn(async move { together.answer_waiting(organisation_id, answer_all).await });
        }
        answered.await.map_err(Error::internal)?
    }

    /// Answers the questions of an organisation, until none waits.
    async fn answer_waiting<F, W>(&self, organisation_id: OrganisationId, answer_all: F)
    where
        F: Fn(Vec<Q>) -> W,
        W: Future<Output = Result<Vec<A>>>,
    {
        while let Some((questions, waiting)) = self.take(organisation_id) {
            // Should it panic, those who wait for it are told, and others are answered nevertheless.
            let answers: Vec<Result<A>> = match AssertUnwindSafe(answer_all(questions)).catch_unwind().await {
                Ok(Ok(answers)) => answers.into_iter().map(Ok).collect(),
                Ok(Err(error)) => waiting.iter().map(|_| Err(error.clone())).collect(),
                Err(_) => Vec::new(),
            };
            for (answer, waiting) in answers.into_iter().zip(waiting) {
                // Who has left needs no answer.
                _ = waiting.send(answer);
            }
        }
    }

    /// The questions that are waited for. Where there are none, one fewer is answering from now on.
    fn take(&self, organisation_id: OrganisationId) -> Option<(Vec<Q>, Vec<Asker<A>>)> {
        let mut queues = self.queues();
        let queue = queues.get_mut(&organisation_id)?;
        queue.waiting.retain(|(_, asker)| !asker.is_closed());
        if queue.waiting.is_empty() {
            queue.under_way -= 1;
            if queue.under_way == 0 {
                queues.remove(&organisation_id);
            }
            return None;
        }
        Some(std::mem::take(&mut queue.waiting).into_iter().unzip())
    }
}

impl<Q, A> Together<Q, A> {
    fn queues(&self) -> MutexGuard<'_, HashMap<OrganisationId, Queue<Q, A>>> {
        // Nothing that is done under the lock can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
