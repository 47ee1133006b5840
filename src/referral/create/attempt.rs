//! One attempt at a call, in one transaction.

use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::{
    bulk_create::Call,
    call::{Answered, Idempotency},
    decide::{Decider, Decision, Depth},
    interrupted::Interrupted,
    report::{Report, Slots},
    row::row,
};
use crate::{
    error::{Error, ErrorKind},
    id::{EventId, EventNumber, OrganisationId},
    referral::{
        codes::Codes,
        event::EventIdentity,
        referral_events::ReferralEvents,
        resolve::{Resolved, ResolvedEvent, resolve},
        rules::judge::{Cause, Verdict},
        violation::Violation,
    },
    storage::{
        Transaction,
        access_tokens::{self, UsedPassword},
        bulk_load,
        entity::{idempotency_key, referral_event},
        idempotency, is_unclear,
    },
};

/// What is known of a call once its events are resolved.
struct ResolvedCall<'a> {
    /// With the answers of the events that may not be created.
    slots: Slots,
    /// Those that may be.
    events: Vec<ResolvedEvent<'a>>,
    directory_version: Option<i64>,
}

impl ReferralEvents {
    /// One attempt, in one transaction. What the events name is looked up before it begins, for others can write
    /// meanwhile. It is rolled back before this answers that it was interrupted, so that the next one does not wait for
    /// it.
    pub(super) async fn attempt<'c>(
        &self,
        call: &'c Call,
        codes: &mut Codes<'c>,
        depth: Depth,
    ) -> Result<Answered, Interrupted> {
        // To ask for an answer again is no guess, so it is looked for before the codes are.
        if !codes.is_counted()
            && let Some(answer) = self.find_answer(self.database.reader(), call).await?
        {
            return Ok(Answered::Before(answer));
        }
        let resolved = self.resolve(self.database.reader(), call, codes).await?;
        if resolved.events.is_empty() && call.idempotency.is_none() {
            return Ok(Answered::Now(resolved.slots.into_report(&call.events)?));
        }
        let transaction = self.database.begin().await?;
        match self.answer(&transaction, call, codes, resolved, depth).await {
            Ok((answered, true)) => transaction.commit().await.map(|()| answered).map_err(Into::into),
            Ok((answered, false)) => transaction.rollback().await.map(|()| answered).map_err(Into::into),
            Err(interrupted) => {
                // Why it was interrupted says more than why it could not be rolled back.
                _ = transaction.rollback().await;
                Err(interrupted)
            }
        }
    }

    /// Answers the call within a transaction, and says whether that has anything to commit.
    async fn answer<'c>(
        &self,
        transaction: &Transaction,
        call: &'c Call,
        codes: &mut Codes<'c>,
        resolved: ResolvedCall<'c>,
        depth: Depth,
    ) -> Result<(Answered, bool), Interrupted> {
        if let Some(answer) = self.find_answer(transaction, call).await? {
            return Ok((Answered::Before(answer), false));
        }
        let (report, is_written) = match self.carry_out(transaction, call, resolved, depth).await {
            // An import has changed the directory until the call had its turn.
            Err(Interrupted::DirectoryChanged) => {
                let resolved = self.resolve(transaction, call, codes).await?;
                self.carry_out(transaction, call, resolved, Depth::Everything).await?
            }
            carried_out => carried_out?,
        };
        let is_kept = self.keep_answer(transaction, call, &report).await?;
        Ok((Answered::Now(report), is_written || is_kept))
    }

    /// The answer that was kept for a call of the same idempotency key and content.
    async fn find_answer<C: ConnectionTrait>(
        &self,
        connection: &C,
        call: &Call,
    ) -> Result<Option<Vec<u8>>, Interrupted> {
        let Some((Idempotency { key, method, .. }, fingerprint)) = &call.idempotency else { return Ok(None) };
        let since = call.now - self.settings.idempotency_retention;
        match idempotency::find(connection, call.organisation_id, method, key, since).await? {
            Some(kept) if kept.fingerprint != *fingerprint => Err(key_reused().into()),
            kept => Ok(kept.map(|kept| kept.answer)),
        }
    }

    /// Keeps the answer for repeats of the call, where it has an idempotency key and an answer to keep; says whether.
    async fn keep_answer(&self, transaction: &Transaction, call: &Call, report: &Report) -> Result<bool, Interrupted> {
        let Some((Idempotency { key, method, encode }, fingerprint)) = &call.idempotency else { return Ok(false) };
        let Some(answer) = encode(report) else { return Ok(false) };
        let kept = idempotency_key::Model {
            organisation_id: call.organisation_id,
            method: (*method).to_owned(),
            idempotency_key: key.clone(),
            fingerprint: fingerprint.clone(),
            answer,
            created_on: call.now,
        };
        let since = call.now - self.settings.idempotency_retention;
        match idempotency::keep(transaction, kept, since).await? {
            true => Ok(true),
            false => Err(Interrupted::Raced),
        }
    }

    /// Says what the call would do. All of it is looked up in one transaction, as it was at one moment. Wrong codes are
    /// counted before it begins, for it holds a connection, and counting takes another.
    pub(super) async fn rehearse<'c>(&self, call: &'c Call, codes: &mut Codes<'c>) -> Result<Answered, Interrupted> {
        if !codes.is_counted() {
            self.resolve(self.database.reader(), call, codes).await?;
        }
        let transaction = self.database.begin_read().await?;
        let ResolvedCall { mut slots, events, .. } = self.resolve(&transaction, call, codes).await?;
        if !events.is_empty() {
            let decision = self.decider(call, &events, None).rehearse(&transaction).await?;
            report(call, &events, decision, &mut slots);
        }
        transaction.rollback().await?;
        Ok(Answered::Now(slots.into_report(&call.events)?))
    }

    fn decider<'a>(&self, call: &Call, events: &'a [ResolvedEvent<'a>], directory_version: Option<i64>) -> Decider<'a> {
        Decider {
            organisation_id: call.organisation_id,
            events,
            directory_version,
            allow_circles: self.settings.allow_circles,
            now: call.now,
        }
    }

    /// Resolves the well-formed events, and answers the others, those that cannot be resolved, and those of which nothing
    /// is told, for too many wrong codes were given. The wrong codes are counted the first time, outside of a transaction.
    async fn resolve<'c, C: ConnectionTrait>(
        &self,
        connection: &C,
        call: &'c Call,
        codes: &mut Codes<'c>,
    ) -> Result<ResolvedCall<'c>, Interrupted> {
        let mut slots = Slots::new(call.events.len());
        let mut well_formed = Vec::with_capacity(call.events.len());
        for (position, checked) in call.events.iter().enumerate() {
            match &checked.event {
                Ok(event) => match codes.wait_of(position, event) {
                    Some(wait) => slots.unprocessed(position, vec![Violation::too_many_wrong_codes(wait)], None),
                    None => well_formed.push((position, event)),
                },
                Err(violations) => slots.unprocessed(position, violations.clone(), None),
            }
        }
        let Resolved { events: mut outcomes, directory_versions } =
            resolve(connection, call.organisation_id, &self.hasher, &well_formed, call.now).await?;
        let directory_version = directory_versions.first().copied();
        if directory_versions.iter().any(|version| Some(*version) != directory_version) {
            return Err(Interrupted::DirectoryChanged);
        }
        codes.withhold(&well_formed, &mut outcomes).await?;
        if let Some(wait) = codes.wait_of_all(call.events.iter().map(|checked| checked.event.as_ref().ok())) {
            return Err(Codes::refusal(wait).into());
        }
        let mut events = Vec::with_capacity(outcomes.len());
        for ((position, _), outcome) in well_formed.into_iter().zip(outcomes) {
            match outcome {
                Ok(event) => events.push(event),
                Err(violations) => slots.unprocessed(position, violations, None),
            }
        }
        Ok(ResolvedCall { slots, events, directory_version })
    }

    /// Decides on the events and stores those to create. Answers what became of each event of the call, and whether
    /// there were any to store.
    async fn carry_out(
        &self,
        transaction: &Transaction,
        call: &Call,
        ResolvedCall { mut slots, events, directory_version }: ResolvedCall<'_>,
        depth: Depth,
    ) -> Result<(Report, bool), Interrupted> {
        if events.is_empty() {
            return Ok((slots.into_report(&call.events)?, false));
        }
        // Where nothing will be created, what is there already is all there is to say.
        let is_abandoned = call.options.all_or_nothing && slots.any_failed();
        let asked = if is_abandoned { Depth::Everything } else { depth };
        let decision = self.decider(call, &events, directory_version).decide(transaction, asked).await?;
        let (rows, passwords) = report(call, &events, decision, &mut slots);
        let is_written = !rows.is_empty();
        if is_written {
            store(transaction, call.organisation_id, rows, passwords, depth).await?;
        }
        Ok((slots.into_report(&call.events)?, is_written))
    }
}

/// Reports what becomes of the events. Answers the rows to insert, and the one-time passwords that they use up.
fn report<'a>(
    call: &Call,
    events: &'a [ResolvedEvent<'_>],
    Decision { verdicts, first_number }: Decision,
    slots: &mut Slots,
) -> (Vec<referral_event::Model>, Vec<UsedPassword<'a>>) {
    let all_or_nothing = call.options.all_or_nothing;
    let any_failed = slots.any_failed() || verdicts.iter().any(|verdict| matches!(verdict, Verdict::Refuse { .. }));
    let abandoned = all_or_nothing && any_failed;
    let mut numbers = first_number.map(|EventNumber(first)| first..);
    let mut rows = Vec::with_capacity(events.len());
    let mut passwords = Vec::new();
    for (event, verdict) in events.iter().zip(verdicts) {
        let position = event.position;
        match verdict {
            Verdict::Refuse { violations, cause } => {
                let cause = cause.and_then(|cause| match cause {
                    Cause::Stored(event) => Some(event),
                    Cause::OfCall(position) => slots.identity(position),
                });
                slots.unprocessed(position, violations, cause);
            }
            // What is there stays there, whatever becomes of the others.
            Verdict::Existing(identity) => slots.processed(position, Some(identity), true),
            _ if abandoned => slots.unprocessed(position, vec![Violation::not_attempted()], None),
            Verdict::Create => {
                let Some(number) = numbers.as_mut().and_then(Iterator::next) else {
                    // It is only rehearsed.
                    slots.processed(position, None, false);
                    continue;
                };
                let identity = EventIdentity { id: EventId(Uuid::now_v7()), number: EventNumber(number) };
                rows.push(row(call.organisation_id, identity, event, call.now));
                passwords.extend(event.one_time_passwords().map(|password| UsedPassword {
                    access_token_key: password.access_token_key,
                    hash: &password.hash,
                    used_by: identity.number,
                }));
                slots.processed(position, Some(identity), false);
            }
            Verdict::Repeats { position: first } => slots.processed(position, slots.identity(first), true),
        }
    }
    (rows, passwords)
}

fn key_reused() -> Error {
    let message = "The idempotency key was used before with another content.";
    Error::new(ErrorKind::IdempotencyKeyReused, message)
}

/// Inserts the events, and uses up the one-time passwords that identified their parties.
async fn store(
    transaction: &Transaction,
    organisation_id: OrganisationId,
    rows: Vec<referral_event::Model>,
    passwords: Vec<UsedPassword<'_>>,
    depth: Depth,
) -> Result<(), Interrupted> {
    match bulk_load::insert_events(transaction, rows).await {
        Ok(true) => {}
        Ok(false) => return Err(Interrupted::Raced),
        // Citus does not tell a key that is taken from any other reason. An attempt that looks up meets no such key.
        Err(error) if depth == Depth::CirclesOnly && is_unclear(&error) => return Err(Interrupted::Raced),
        Err(error) => return Err(error.into()),
    }
    if !passwords.is_empty() {
        let used = access_tokens::use_one_time_passwords(transaction, organisation_id, &passwords).await?;
        if used < passwords.len() as u64 {
            return Err(Interrupted::Raced);
        }
    }
    Ok(())
}
