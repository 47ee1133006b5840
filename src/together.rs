//! Questions that are asked while another one is being answered are asked together, in one.
//!
//! Who asks alone waits for nobody. Where many ask at once, the database is asked a few large questions rather than many
//! small ones, which cost it many times as much.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;
use tracing::Instrument;

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
            let turn = Turn { together: self.clone(), organisation_id, is_over: false };
            tokio::spawn(async move { turn.answer_waiting(answer_all).await }.in_current_span());
        }
        answered.await.map_err(Error::internal)?
    }
}

impl<Q, A> Together<Q, A> {
    fn queues(&self) -> MutexGuard<'_, HashMap<OrganisationId, Queue<Q, A>>> {
        // Nothing that is done under the lock can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of those who answer the questions of an organisation, until none waits.
struct Turn<Q, A> {
    together: Together<Q, A>,
    organisation_id: OrganisationId,
    is_over: bool,
}

impl<Q, A> Turn<Q, A> {
    async fn answer_waiting<F, W>(mut self, answer_all: F)
    where
        F: Fn(Vec<Q>) -> W,
        W: Future<Output = Result<Vec<A>>>,
    {
        while let Some((questions, waiting)) = self.take() {
            let answers: Vec<Result<A>> = match answer_all(questions).await {
                Ok(answers) => answers.into_iter().map(Ok).collect(),
                Err(error) => waiting.iter().map(|_| Err(error.clone())).collect(),
            };
            for (answer, waiting) in answers.into_iter().zip(waiting) {
                // Who has left needs no answer.
                _ = waiting.send(answer);
            }
        }
    }

    /// The questions that wait. Where there are none, the turn is over.
    fn take(&mut self) -> Option<(Vec<Q>, Vec<Asker<A>>)> {
        let mut queues = self.together.queues();
        let queue = queues.get_mut(&self.organisation_id)?;
        if queue.waiting.is_empty() {
            self.is_over = true;
            queue.under_way -= 1;
            if queue.under_way == 0 {
                queues.remove(&self.organisation_id);
            }
            return None;
        }
        Some(std::mem::take(&mut queue.waiting).into_iter().unzip())
    }
}

impl<Q, A> Drop for Turn<Q, A> {
    /// Where it ends before its time, nobody is left waiting for it.
    fn drop(&mut self) {
        if !self.is_over {
            self.together.queues().remove(&self.organisation_id);
        }
    }
}
