//! One attempt at some calls, in one transaction.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    call::Answered,
    decide::{Decider, Decision, Depth, Optimism, Verdicts},
    interrupted::Interrupted,
    open_calls::{OpenCall, ResolvedCall, ResolvedCalls},
    report::{NewEvents, Report},
    row::row,
};
use crate::{
    error::Result,
    id::{EventId, EventNumber, OrganisationId},
    metrics::Step,
    referral::{
        codes::Sender,
        event::EventIdentity,
        referral_events::ReferralEvents,
        resolve::ResolvedEvent,
        rules::judge::{CallEvents, Verdict},
    },
    storage::{
        Callers, Transaction, Uncommitted,
        access_tokens::{self, StaleHash, UsedPassword},
        bulk_load, calls,
        entity::referral_event::Model,
        is_unclear,
    },
};

/// What holds for all calls of one attempt.
pub struct Attempt<'a> {
    pub referral_events: &'a ReferralEvents,
    /// Theirs.
    pub organisation_id: OrganisationId,
    /// When their events are created.
    pub now: DateTime<Utc>,
}

/// Answers, by which of the calls they are for.
type Answers = Vec<(usize, Result<Answered>)>;

/// What is to be committed, and told then.
struct Outcome {
    answers: Answers,
    created: Created,
    /// Whether answers are kept for repeats.
    is_kept: bool,
}

/// What the calls created.
#[derive(Default)]
struct Created {
    of_each: Vec<Creation>,
    /// The rows that are not stored yet: they go with the COMMIT.
    rows: Vec<Model>,
}

/// What one of the calls created.
struct Creation {
    /// Which of the calls.
    index: usize,
    first: EventNumber,
    last: EventNumber,
}

impl Attempt<'_> {
    /// Carries the calls out in one transaction, as if they came one after another; afterwards each has its answer. What
    /// the events name is looked up before it begins, for others can write meanwhile. It is rolled back before this answers
    /// that it was interrupted, so that the next one does not wait for it.
    pub async fn run(&self, calls: &mut [OpenCall<'_>], depth: Depth) -> Result<(), Interrupted> {
        let database = &self.referral_events.database;
        // To ask for an answer again is no guess, so it is looked for before the codes are. One that is kept from now on is
        // in the way when this attempt keeps its own.
        let kept = self.find_answers(calls).await?;
        give(calls, kept);
        let ResolvedCalls { calls: resolved, directory_version } =
            self.referral_events.resolve(database.reader(), self.organisation_id, calls, self.now).await?;
        let mut to_decide = Vec::with_capacity(resolved.len());
        for resolved in resolved {
            let OpenCall { call, answer, .. } = &mut calls[resolved.index];
            if resolved.events.is_empty() && call.idempotency.is_none() {
                *answer = Some(resolved.into_report(call).map(Answered::Now));
            } else {
                to_decide.push(resolved);
            }
        }
        if to_decide.is_empty() {
            return Ok(());
        }
        let mut resolved = ResolvedCalls { calls: to_decide, directory_version };
        if depth == Depth::Optimistic {
            // Before the turn, in which others wait.
            let judged = judged(&resolved.calls, calls);
            let decider = self.decider(&judged, directory_version);
            let verdicts = decider.judge_optimistically();
            let (transaction, optimism) = decider.begin_turn(database, verdicts).await?;
            match self.in_turn(transaction, calls, &mut resolved, Some(optimism)).await {
                // Some of it is there already. What the events name is known still.
                Err(Interrupted::Raced) if !resolved.calls.is_empty() => {}
                ended => return ended,
            }
        }
        let transaction = database.begin_turn(self.organisation_id).await?;
        self.in_turn(transaction, calls, &mut resolved, None).await
    }

    /// Answers the resolved calls in one transaction, optimistically if it is said how. They are used up once it is known
    /// what to tell of them.
    async fn in_turn<'c>(
        &self,
        transaction: Transaction,
        calls: &mut [OpenCall<'c>],
        resolved: &mut ResolvedCalls<'c>,
        optimistic: Option<Optimism>,
    ) -> Result<(), Interrupted> {
        let stale = stale_hashes(&resolved.calls);
        match Box::pin(self.answer(&transaction, calls, resolved, optimistic)).await {
            Ok(Outcome { answers, created, is_kept }) => {
                match is_kept || !created.of_each.is_empty() {
                    true => {
                        let timer = Callers::current().timer(Step::Commit);
                        self.commit(transaction, calls, created).await.map_err(Interrupted::at_commit)?;
                        drop(timer);
                        self.referral_events.renew_hashes(self.organisation_id, stale);
                    }
                    false => transaction.rollback().await?,
                }
                give(calls, answers);
                Ok(())
            }
            Err(interrupted) => {
                // Why it was interrupted says more than why it could not be rolled back.
                _ = transaction.rollback().await;
                Err(interrupted)
            }
        }
    }

    /// Commits what the calls created, and with it who created it.
    async fn commit(
        &self,
        transaction: Transaction,
        calls: &[OpenCall<'_>],
        created: Created,
    ) -> Result<(), Uncommitted> {
        let of_each = created.of_each.iter().map(|Creation { index, first, last }| {
            let Sender { request_id, user_name, .. } = &calls[*index].call.sender;
            calls::Call { first: *first, last: *last, request_id, created_by: user_name }
        });
        let of_each: Vec<_> = of_each.collect();
        calls::commit_with(transaction, self.organisation_id, &of_each, created.rows).await
    }

    /// Answers the calls within a transaction.
    async fn answer<'c>(
        &self,
        transaction: &Transaction,
        calls: &mut [OpenCall<'c>],
        resolved: &mut ResolvedCalls<'c>,
        optimistic: Option<Optimism>,
    ) -> Result<Outcome, Interrupted> {
        let (reports, created) = match self.carry_out(transaction, calls, resolved, optimistic).await {
            // An import has changed the directory until the calls had their turn.
            Err(Interrupted::DirectoryChanged) => {
                *resolved = self.referral_events.resolve(transaction, self.organisation_id, calls, self.now).await?;
                self.carry_out(transaction, calls, resolved, None).await?
            }
            carried_out => carried_out?,
        };
        let is_kept = self.keep_answers(transaction, calls, &reports).await?;
        let answers = reports.into_iter().map(|(index, report)| (index, Ok(Answered::Now(report))));
        Ok(Outcome { answers: answers.collect(), created, is_kept })
    }

    /// Says what each of the calls would do. All of it is looked up in one transaction, as it was at one moment. Wrong codes
    /// are counted before it begins, for it holds a connection, and counting takes another.
    pub async fn rehearse(&self, calls: &mut [OpenCall<'_>]) -> Result<(), Interrupted> {
        let referral_events = self.referral_events;
        if calls.iter().any(|call| !call.codes.is_counted()) {
            let reader = referral_events.database.reader();
            referral_events.resolve(reader, self.organisation_id, calls, self.now).await?;
            if calls.iter().all(|call| call.answer.is_some()) {
                return Ok(());
            }
        }
        let transaction = referral_events.database.begin_read().await?;
        let resolved = referral_events.resolve(&transaction, self.organisation_id, calls, self.now).await?;
        for mut resolved in resolved.calls {
            let OpenCall { call, answer, .. } = &mut calls[resolved.index];
            if !resolved.events.is_empty() {
                let judged = [resolved.events(call)];
                let verdicts = self.decider(&judged, None).rehearse(&transaction).await?;
                let mut new = NewEvents::default();
                verdicts.into_iter().for_each(|verdicts| resolved.slots.report(&resolved.events, verdicts, &mut new));
            }
            *answer = Some(resolved.into_report(call).map(Answered::Now));
        }
        Ok(transaction.rollback().await?)
    }

    fn decider<'a>(&self, calls: &'a [CallEvents<'a>], directory_version: Option<i64>) -> Decider<'a> {
        Decider {
            organisation_id: self.organisation_id,
            calls,
            directory_version,
            allow_circles: self.referral_events.settings.allow_circles,
            now: self.now,
        }
    }

    /// Decides on the events, optimistically if it is said how, and stores those to create, or leaves that to the commit.
    /// Answers what became of each event of each call, and what was created.
    async fn carry_out(
        &self,
        transaction: &Transaction,
        calls: &[OpenCall<'_>],
        resolved: &mut ResolvedCalls<'_>,
        optimistic: Option<Optimism>,
    ) -> Result<(Vec<(usize, Report)>, Created), Interrupted> {
        let ResolvedCalls { calls: resolved, directory_version } = resolved;
        let (mut decided, mut new, mut created) = (Verdicts::new(), NewEvents::default(), Created::default());
        if resolved.iter().any(|call| !call.events.is_empty()) {
            let judged = judged(resolved, calls);
            let is_optimistic = optimistic.is_some();
            let timer = Callers::current().timer(Step::Decide);
            let Decision { verdicts, first_number } =
                self.decider(&judged, *directory_version).decide(transaction, optimistic).await?;
            drop(timer);
            let events: Vec<(&ResolvedEvent<'_>, EventIdentity)> = to_create(&judged, &verdicts, first_number);
            // An answer that is kept is of what is stored.
            let are_kept = resolved.iter().any(|resolved| calls[resolved.index].call.idempotency.is_some());
            created.rows = self.store(transaction, &events, is_optimistic, !are_kept).await?;
            created.of_each = creations_of(resolved, &verdicts, first_number);
            new = NewEvents::of(events.into_iter().map(|(_, identity)| identity));
            decided = verdicts;
        }
        // Where rows are not stored yet, another attempt may need what is known of the events.
        let may_try_again = !created.rows.is_empty();
        let verdicts = decided.into_iter().chain(std::iter::repeat_with(Vec::new));
        let mut reports = Vec::with_capacity(resolved.len());
        for (ResolvedCall { index, slots, events }, verdicts) in resolved.iter_mut().zip(verdicts) {
            let mut slots = if may_try_again { slots.clone() } else { std::mem::take(slots) };
            slots.report(events, verdicts, &mut new);
            reports.push((*index, slots.into_report(&calls[*index].call.events)?));
        }
        if !may_try_again {
            resolved.clear();
        }
        Ok((reports, created))
    }

    /// Inserts the events, and uses up the one-time passwords that identified their parties. Answers the rows where they had
    /// better go with the COMMIT, and may.
    async fn store(
        &self,
        transaction: &Transaction,
        created: &[(&ResolvedEvent<'_>, EventIdentity)],
        is_optimistic: bool,
        may_wait: bool,
    ) -> Result<Vec<Model>, Interrupted> {
        if created.is_empty() {
            return Ok(Vec::new());
        }
        let row = |(event, identity): &(&ResolvedEvent<'_>, EventIdentity)| {
            row(self.organisation_id, *identity, event, self.now)
        };
        let rows: Vec<Model> = created.iter().map(row).collect();
        let used: Vec<UsedPassword<'_>> =
            created.iter().flat_map(|(event, identity)| used_passwords(event, *identity)).collect();
        if may_wait && used.is_empty() && bulk_load::go_with_commit(transaction, rows.len()) {
            return Ok(rows);
        }
        let _timer = Callers::current().timer(Step::Load);
        match bulk_load::insert_events(transaction, rows).await {
            Ok(true) => {}
            Ok(false) => return Err(Interrupted::Raced),
            // Citus does not tell a key that is taken from any other reason. An attempt that looks up meets no such key.
            Err(error) if is_optimistic && is_unclear(&error) => return Err(Interrupted::Raced),
            Err(error) => return Err(error.into()),
        }
        if used.is_empty() {
            return Ok(Vec::new());
        }
        let count = access_tokens::use_one_time_passwords(transaction, self.organisation_id, &used).await?;
        if count < used.len() as u64 { Err(Interrupted::Raced) } else { Ok(Vec::new()) }
    }
}

/// The events to judge, of each call by itself.
fn judged<'a>(resolved: &'a [ResolvedCall<'_>], calls: &[OpenCall<'_>]) -> Vec<CallEvents<'a>> {
    resolved.iter().map(|resolved| resolved.events(calls[resolved.index].call)).collect()
}

/// The codes that identified parties, as far as they are stored by hashes of an older key.
fn stale_hashes(resolved: &[ResolvedCall<'_>]) -> Vec<StaleHash> {
    let events = resolved.iter().flat_map(|resolved| &resolved.events);
    let parties = events.flat_map(|event| [&event.referred, &event.referred_by]);
    parties.filter_map(|party| party.stale.as_deref().cloned()).collect()
}

fn give(calls: &mut [OpenCall<'_>], answers: Answers) {
    for (index, answer) in answers {
        calls[index].answer = Some(answer);
    }
}

/// The events to create, in the order of their numbers, and what each is known by from now on.
fn to_create<'a>(
    calls: &[CallEvents<'a>],
    verdicts: &[Vec<Verdict>],
    first_number: Option<EventNumber>,
) -> Vec<(&'a ResolvedEvent<'a>, EventIdentity)> {
    let events = calls.iter().flat_map(|call| call.events).zip(verdicts.iter().flatten());
    let created = events.filter(|(_, verdict)| **verdict == Verdict::Create).map(|(event, _)| event);
    let identities = first_number.into_iter().flat_map(|EventNumber(first)| first..);
    let identities =
        identities.map(|number| EventIdentity { id: EventId(Uuid::now_v7()), number: EventNumber(number) });
    created.zip(identities).collect()
}

/// The numbers of what each call creates, one after another; calls that create nothing are left out.
fn creations_of(
    resolved: &[ResolvedCall<'_>],
    verdicts: &[Vec<Verdict>],
    first_number: Option<EventNumber>,
) -> Vec<Creation> {
    let Some(mut first) = first_number else { return Vec::new() };
    let mut creations = Vec::with_capacity(resolved.len());
    for (call, verdicts) in resolved.iter().zip(verdicts) {
        let count = verdicts.iter().filter(|verdict| **verdict == Verdict::Create).count() as i64;
        let next = EventNumber(first.0 + count);
        if count > 0 {
            creations.push(Creation { index: call.index, first, last: next.previous() });
        }
        first = next;
    }
    creations
}

fn used_passwords<'a>(event: &'a ResolvedEvent<'_>, identity: EventIdentity) -> impl Iterator<Item = UsedPassword<'a>> {
    event.one_time_passwords().map(move |password| UsedPassword {
        access_token_key: password.access_token_key,
        hash: &password.hash,
        used_by: identity.number,
        new_hash: &password.new_hash,
    })
}
