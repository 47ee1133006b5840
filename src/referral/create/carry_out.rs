//! Calls of one organisation are attempted until each has come to its end.

use tokio::sync::oneshot;

use super::{
    attempt::Attempt,
    call::{Answered, Call},
    decide::Depth,
    groups::Waiting,
    interrupted::Interrupted,
    open_calls::OpenCall,
};
use crate::{
    error::{Error, ErrorKind, Result},
    id::OrganisationId,
    metrics::Step,
    referral::{referral_events::ReferralEvents, unprocessed::Refused},
    retry::Attempts,
    storage::Callers,
};

/// How often a call is tried again that lost a race, before its caller is asked to come back.
const MAXIMUM_ATTEMPTS: u32 = 20;

impl ReferralEvents {
    /// Says what a call would do.
    pub(super) async fn rehearse(&self, call: Call) -> Result<Answered> {
        let (organisation_id, now) = (call.sender.organisation_id, call.now);
        let attempt = Attempt { referral_events: self, organisation_id, now };
        let call = [(call, Callers::current())];
        let mut open = OpenCall::open(self, &call).await?;
        let mut attempts = Attempts::up_to(MAXIMUM_ATTEMPTS);
        while let Err(interrupted) = attempt.rehearse(&mut open).await {
            interrupted.try_again(&mut attempts).await?;
        }
        open.remove(0).into_answer()
    }

    /// Carries the call out, together with those of its organisation that wait as it does.
    pub(super) async fn create_together(&self, call: Call) -> Result<Answered> {
        let (answer, mut answered) = oneshot::channel();
        let (organisation_id, callers) = (call.sender.organisation_id, Callers::current());
        let queued = callers.timer(Step::Queue);
        if let Some(group) = self.groups.add(Waiting { call, callers: callers.clone(), queued, answer }) {
            tokio::spawn(self.clone().carry_out_groups(group));
        }
        let answered = tokio::select! {
            biased;
            answered = &mut answered => answered,
            // What has begun is waited for.
            () = callers.all_left() => {
                self.groups.forget_the_departed(organisation_id);
                answered.await
            }
        };
        answered.map_err(Error::internal)?
    }

    /// Carries out one group after another, until nobody waits any more.
    async fn carry_out_groups(self, group: Vec<Waiting>) {
        let mut next = Some(group);
        while let Some(group) = next {
            let organisation_id = group[0].call.sender.organisation_id;
            let this = self.clone();
            // In a task of its own: should it panic, others are served nevertheless.
            _ = tokio::spawn(async move { this.carry_out_group(organisation_id, group).await }).await;
            next = self.groups.next(organisation_id);
        }
    }

    async fn carry_out_group(&self, organisation_id: OrganisationId, group: Vec<Waiting>) {
        let begin = |Waiting { call, callers, queued, answer }| {
            drop(queued);
            ((call, callers), answer)
        };
        let (calls, waiting): (Vec<(Call, Callers)>, Vec<_>) = group.into_iter().map(begin).unzip();
        if calls.len() > 1 {
            tracing::debug!(calls = calls.len(), "calls are carried out together");
        }
        let answers: Vec<Result<Answered>> = match OpenCall::open(self, &calls).await {
            Ok(mut open) => {
                self.answer_all(organisation_id, &mut open).await;
                open.into_iter().map(OpenCall::into_answer).collect()
            }
            Err(error) => waiting.iter().map(|_| Err(error.clone())).collect(),
        };
        for ((call, _), answer) in calls.iter().zip(&answers) {
            self.keep_unprocessed(call, answer);
        }
        for (answer, waiting) in answers.into_iter().zip(waiting) {
            // Where the caller has left, nobody needs the answer.
            _ = waiting.send(answer);
        }
    }

    /// Leaves what the call did not create to the journal, which nobody waits for.
    fn keep_unprocessed(&self, call: &Call, answer: &Result<Answered>) {
        let Ok(Answered::Now(report)) = answer else { return };
        if self.settings.unprocessed_retention.is_zero() {
            return;
        }
        let Call { sender, events, options, .. } = call;
        self.journal.keep(&Refused { sender, events, report, has_names: !options.is_of_one }, self.clock.now());
    }

    /// Answers the calls. What one of them trips over costs the others no more than further attempts: where those of all
    /// together come to no end, each is attempted by itself. What ails the database ails them all.
    async fn answer_all(&self, organisation_id: OrganisationId, calls: &mut [OpenCall<'_>]) {
        // Nearly every call is of new referrals, so the first attempt leaves it to the unique keys to say otherwise.
        let mut attempted = self.attempt(organisation_id, calls, Depth::Optimistic).await;
        if let Err(Interrupted::Raced | Interrupted::DirectoryChanged) = attempted {
            attempted = self.attempt(organisation_id, calls, Depth::Everything).await;
        }
        let error = match attempted {
            Ok(()) => return,
            Err(Interrupted::InDoubt(error)) => Some(error),
            Err(Interrupted::Failed(error)) if is_of_all(&error) || calls.len() == 1 => Some(error),
            Err(_) => None,
        };
        for call in calls.iter_mut().filter(|call| call.answer.is_none()) {
            let failed = match &error {
                Some(error) => Err(error.clone()),
                None => self.attempt_alone(organisation_id, call).await,
            };
            if let Err(error) = failed {
                call.answer = Some(Err(error));
            }
        }
    }

    async fn attempt_alone(&self, organisation_id: OrganisationId, call: &mut OpenCall<'_>) -> Result<()> {
        let mut attempts = Attempts::up_to(MAXIMUM_ATTEMPTS);
        while let Err(interrupted) = self.attempt(organisation_id, std::slice::from_mut(call), Depth::Everything).await
        {
            interrupted.try_again(&mut attempts).await?;
        }
        Ok(())
    }

    /// Attempts those of the calls that have no answer yet and whose callers are there.
    async fn attempt(
        &self,
        organisation_id: OrganisationId,
        calls: &mut [OpenCall<'_>],
        depth: Depth,
    ) -> Result<(), Interrupted> {
        for call in calls.iter_mut().filter(|call| call.answer.is_none() && call.callers.are_gone()) {
            call.answer = Some(Err(Error::internal("nobody waits for the call any more")));
        }
        let callers = Callers::all(calls.iter().filter(|call| call.answer.is_none()).map(|call| &call.callers));
        let attempt = Attempt { referral_events: self, organisation_id, now: self.clock.now() };
        callers.served_by(attempt.run(calls, depth)).await
    }
}

fn is_of_all(error: &Error) -> bool {
    error.kind() == ErrorKind::ServiceUnavailable
}
