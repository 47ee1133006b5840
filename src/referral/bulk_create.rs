//! The bulk call: validate, resolve, judge, store, report.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::{
    call::{Answered, Idempotency, Options},
    codes::{Codes, Sender},
    content::canonical,
    event::{CheckedEvent, EventRequest},
    interrupted::Interrupted,
    judgement::{self, Way},
    release::Release,
    report::{Created, Report, Slots},
    resolve::{Resolved, resolve},
    row::row,
    rules::{Candidate, Cause, Verdict},
    validate::validate,
    violation::Violation,
};
use crate::{
    error::{Error, ErrorKind, Result},
    guessing::Guessing,
    secret::CodeHasher,
    storage::{
        Database, Transaction,
        access_tokens::{self, UsedPassword},
        bulk_load::{self, NewEvent},
        idempotency::{self, Kept},
        is_unclear, to_its_end, users,
    },
};

/// How often a call is tried again that lost a race, before its caller is asked to come back.
const MAXIMUM_ATTEMPTS: u32 = 20;

/// What holds for the calls of all callers.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Lets referrals form circles.
    pub allow_circles: bool,
    /// Which attributes there are, and which are mandatory.
    pub release: Release,
    /// How long the answers of calls with an idempotency key are kept.
    pub idempotency_retention: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            allow_circles: false,
            release: Release::default(),
            idempotency_retention: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// A call under way.
struct Call {
    organisation_id: i64,
    checked: Vec<Result<CheckedEvent, Vec<Violation>>>,
    identifiers: Vec<Option<String>>,
    now: DateTime<Utc>,
    options: Options,
    /// With the fingerprint of the call.
    idempotency: Option<(Idempotency, Vec<u8>)>,
}

/// The referral events of a database.
#[derive(Clone)]
pub struct ReferralEvents {
    pub(super) database: Database,
    pub(super) hasher: CodeHasher,
    pub(super) rules: Rules,
    pub(super) guessing: Guessing,
}

impl ReferralEvents {
    pub fn new(database: Database, hasher: CodeHasher, rules: Rules, guessing: Guessing) -> Self {
        Self { database, hasher, rules, guessing }
    }

    pub fn release(&self) -> Release {
        self.rules.release
    }

    /// Creates the events that may be created, in one transaction, and says what became of each. The events are
    /// committed when this answers, and with them the answer, where the call has an idempotency key. Where the caller
    /// leaves before that, they are all committed or none is. `place` is held until one or the other has come about.
    pub async fn bulk_create(
        &self,
        sender: Sender,
        requests: Vec<EventRequest>,
        options: Options,
        idempotency: Option<Idempotency>,
        place: impl Send + 'static,
    ) -> Result<Answered> {
        let this = self.clone();
        let create = async move {
            let _place = place;
            this.create(sender, requests, options, idempotency).await
        };
        to_its_end(create, Answered::count_created).await
    }

    async fn create(
        &self,
        sender: Sender,
        requests: Vec<EventRequest>,
        options: Options,
        idempotency: Option<Idempotency>,
    ) -> Result<Answered> {
        let organisation_id = sender.organisation_id;
        let now = Utc::now().trunc_subsecs(6);
        // A rehearsal leaves nothing behind, nor does it find anything.
        let idempotency = idempotency.filter(|_| !options.validate_only).map(|idempotency| {
            let fingerprint = self.hasher.fingerprint(organisation_id, &canonical(&requests, options));
            (idempotency, fingerprint)
        });
        let identifiers: Vec<Option<String>> =
            requests.iter().map(|request| request.request_unique_identifier.clone()).collect();
        let checked = validate(requests, now, self.rules.release);
        let call = Call { organisation_id, checked, identifiers, now, options, idempotency };
        let well_formed = call.checked.iter().flatten();
        let mut codes = Codes::of_events(&self.guessing, &sender, well_formed).await?;
        for attempt in 1..=MAXIMUM_ATTEMPTS {
            // Nearly every call is of new referrals, so the first attempt leaves it to the unique keys to say otherwise.
            let way = match attempt {
                _ if options.validate_only => Way::Rehearsing,
                1 => Way::Optimistic,
                _ => Way::LookingUp,
            };
            match self.attempt(&call, &mut codes, way).await {
                Ok(answered) => return Ok(answered),
                Err(Interrupted::Failed(error)) => return Err(error),
                Err(Interrupted::Raced | Interrupted::DirectoryChanged) => pause(attempt).await,
            }
        }
        Err(Error::new(ErrorKind::TooManyRequests, "Too many calls refer the same parties at once; try again."))
    }

    /// Removes the answers that are kept for longer than they need be, in steps so small that no call waits for them.
    pub async fn remove_old_answers(&self) -> Result<()> {
        const STEP: u32 = 200;
        let since = Utc::now() - self.rules.idempotency_retention;
        for organisation_id in users::list_organisation_ids(self.database.read()).await? {
            // A step may remove fewer than it could: another replica's took the same, or a call has just renewed one.
            while idempotency::remove_old(self.database.write(), organisation_id, since, STEP).await? > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// One attempt, in one transaction. What the events name is looked up before it begins, for others can write
    /// meanwhile; where an import has changed the directory until the call had its turn, it is looked up once more.
    async fn attempt<'c>(&self, call: &'c Call, codes: &mut Codes<'c>, way: Way) -> Result<Answered, Interrupted> {
        if way == Way::Rehearsing {
            return self.rehearse(call, codes).await;
        }
        let organisation_id = call.organisation_id;
        let resolved = self.resolve(self.database.read(), call, codes).await?;
        if resolved.candidates.is_empty() && call.idempotency.is_none() {
            return Ok(Answered::Now(resolved.slots.into_report(&call.identifiers)?));
        }
        let transaction = self.database.begin().await?;
        let since = call.now - self.rules.idempotency_retention;
        if let Some((Idempotency { key, method, .. }, fingerprint)) = &call.idempotency
            && let Some(kept) = idempotency::find(&transaction, organisation_id, method, key, since).await?
        {
            transaction.rollback().await?;
            if kept.fingerprint != *fingerprint {
                return Err(Interrupted::Failed(key_reused()));
            }
            return Ok(Answered::Before(kept.answer));
        }
        let (report, is_written) = match self.carry_out(&transaction, call, resolved, way).await {
            Err(Interrupted::DirectoryChanged) => {
                let resolved = self.resolve(&transaction, call, codes).await?;
                self.carry_out(&transaction, call, resolved, Way::LookingUp).await?
            }
            carried_out => carried_out?,
        };
        let answer = call.idempotency.as_ref().and_then(|(idempotency, _)| (idempotency.answer)(&report));
        if !is_written && answer.is_none() {
            transaction.rollback().await?;
            return Ok(Answered::Now(report));
        }
        if let (Some((Idempotency { key, method, .. }, fingerprint)), Some(answer)) = (&call.idempotency, &answer) {
            let kept = Kept { fingerprint: fingerprint.clone(), answer: answer.clone() };
            if !idempotency::keep(&transaction, organisation_id, method, key, &kept, call.now, since).await? {
                return Err(Interrupted::Raced);
            }
        }
        transaction.commit().await?;
        Ok(Answered::Now(report))
    }

    /// Says what the call would do. All of it is looked up in one transaction, as it was at one moment.
    async fn rehearse<'c>(&self, call: &'c Call, codes: &mut Codes<'c>) -> Result<Answered, Interrupted> {
        let transaction = self.database.begin_read().await?;
        let resolved = self.resolve(&transaction, call, codes).await?;
        let (report, _) = self.carry_out(&transaction, call, resolved, Way::Rehearsing).await?;
        transaction.rollback().await?;
        Ok(Answered::Now(report))
    }

    /// Resolves the well-formed events, and answers the others, those that cannot be resolved, and those of which nothing
    /// is told, for too many wrong codes were given. The wrong codes are counted the first time, outside of a transaction.
    async fn resolve<'c, C: ConnectionTrait>(
        &self,
        connection: &C,
        call: &'c Call,
        codes: &mut Codes<'c>,
    ) -> Result<ResolvedCall<'c>, Interrupted> {
        let mut slots = Slots::new(call.checked.len());
        let mut well_formed = Vec::with_capacity(call.checked.len());
        for (position, event) in call.checked.iter().enumerate() {
            match event {
                Ok(event) => match codes.wait_of(position, event) {
                    Some(wait) => slots.unprocessed(position, vec![Violation::too_many_wrong_codes(wait)], None),
                    None => well_formed.push((position, event)),
                },
                Err(violations) => slots.unprocessed(position, violations.clone(), None),
            }
        }
        let Resolved { mut events, directory_version } =
            resolve(connection, call.organisation_id, &self.hasher, &well_formed, call.now).await?;
        codes.withhold(&well_formed, &mut events).await?;
        if let Some(wait) = codes.wait_of_all(&call.checked) {
            return Err(Interrupted::Failed(Codes::refusal(wait)));
        }
        let mut candidates = Vec::with_capacity(events.len());
        for ((position, _), event) in well_formed.into_iter().zip(events) {
            match event {
                Ok(event) => candidates.push(Candidate { position, event }),
                Err(violations) => slots.unprocessed(position, violations, None),
            }
        }
        Ok(ResolvedCall { slots, candidates, directory_version })
    }

    /// Judges the candidates and stores those to create. Answers what became of each event of the call, and whether
    /// there were any to store.
    async fn carry_out(
        &self,
        transaction: &Transaction,
        call: &Call,
        ResolvedCall { mut slots, candidates, directory_version }: ResolvedCall<'_>,
        way: Way,
    ) -> Result<(Report, bool), Interrupted> {
        let organisation_id = call.organisation_id;
        let (verdicts, first_number) = match candidates.is_empty() {
            true => (Vec::new(), 0),
            false => {
                // Where nothing will be created, what is there already is all there is to say.
                let is_abandoned = call.options.all_or_nothing && slots.any_failed();
                let way = if is_abandoned && way == Way::Optimistic { Way::LookingUp } else { way };
                let allow_circles = self.rules.allow_circles;
                judgement::reach(
                    transaction,
                    organisation_id,
                    allow_circles,
                    &candidates,
                    directory_version,
                    call.now,
                    way,
                )
                .await?
            }
        };
        let (rows, passwords) = report(call, &candidates, verdicts, first_number, &mut slots);
        if !rows.is_empty() {
            store(transaction, organisation_id, &rows, passwords, way).await?;
        }
        Ok((slots.into_report(&call.identifiers)?, !rows.is_empty()))
    }
}

/// What is known of a call once its events are resolved.
struct ResolvedCall<'a> {
    /// With the answers of the events that are no candidates.
    slots: Slots,
    candidates: Vec<Candidate<'a>>,
    directory_version: Option<i64>,
}

/// Reports what becomes of the candidates. Answers the rows to insert, and the one-time passwords that they use up.
fn report<'a>(
    call: &Call,
    candidates: &'a [Candidate<'_>],
    verdicts: Vec<Verdict>,
    first_number: i64,
    slots: &mut Slots,
) -> (Vec<NewEvent<'a>>, Vec<UsedPassword<'a>>) {
    let Options { validate_only, all_or_nothing } = call.options;
    let any_failed = slots.any_failed() || verdicts.iter().any(|verdict| matches!(verdict, Verdict::Refuse { .. }));
    let abandoned = all_or_nothing && any_failed;
    let mut numbers = first_number..;
    let mut rows = Vec::with_capacity(candidates.len());
    let mut passwords = Vec::new();
    for (Candidate { position, event }, verdict) in candidates.iter().zip(verdicts) {
        match verdict {
            Verdict::Refuse { violations, cause } => {
                let cause = cause.and_then(|cause| match cause {
                    Cause::Stored(event) => Some(event),
                    Cause::OfCall(position) => slots.created(position),
                });
                slots.unprocessed(*position, violations, cause);
            }
            // What is there stays there, whatever becomes of the others.
            Verdict::Existing(created) => slots.processed(*position, Some(created), true),
            _ if abandoned => slots.unprocessed(*position, vec![Violation::not_attempted()], None),
            Verdict::Create if validate_only => slots.processed(*position, None, false),
            Verdict::Create => {
                let created = Created { id: Uuid::now_v7(), number: numbers.next().unwrap_or(i64::MAX) };
                rows.push(row(created, event, call.now));
                passwords.extend(event.one_time_passwords().map(|password| UsedPassword {
                    access_token_key: password.access_token_key,
                    hash: &password.hash,
                    used_by: created.number,
                }));
                slots.processed(*position, Some(created), false);
            }
            Verdict::Repeats { position: first } => slots.processed(*position, slots.created(first), true),
        }
    }
    (rows, passwords)
}

fn key_reused() -> Error {
    let message = "The idempotency key was used before with another content.";
    Error::new(ErrorKind::IdempotencyKeyReused, message).at_field("idempotency-key")
}

/// A pause that grows with the attempts and differs between callers, so that they don't meet again.
async fn pause(attempt: u32) {
    let longest = 1u64 << attempt.min(7);
    let random = Uuid::new_v4().as_u64_pair().1;
    tokio::time::sleep(Duration::from_micros(random % (longest * 1000))).await;
}

/// Inserts the events, and uses up the one-time passwords that identified their parties.
async fn store(
    transaction: &Transaction,
    organisation_id: i64,
    rows: &[NewEvent<'_>],
    passwords: Vec<UsedPassword<'_>>,
    way: Way,
) -> Result<(), Interrupted> {
    match bulk_load::insert_events(transaction, organisation_id, rows).await {
        Ok(true) => {}
        Ok(false) => return Err(Interrupted::Raced),
        // Citus does not tell a key that is taken from any other reason. An attempt that looks up meets no such key.
        Err(error) if way == Way::Optimistic && is_unclear(&error) => return Err(Interrupted::Raced),
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
