//! The bulk call: validate, resolve, judge, store, report.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, SubsecRound, Utc};
use sea_orm::{ConnectionTrait, DbErr};
use uuid::Uuid;

use super::{
    event::{CheckedEvent, EventRequest},
    report::{Created, Report, Slots},
    resolve::{ResolvedEvent, resolve},
    rules::{Candidate, Known, KnownEvent, Verdict, judge},
    validate::validate,
};
use crate::{
    error::{Error, ErrorKind, Result},
    secret::CodeHasher,
    storage::{
        Database, Transaction, access_tokens,
        bulk_load::{self, NewEvent},
        counters, is_contention, is_unique_violation,
        referral_events::{self, Referenced},
    },
};

/// How often a call is tried again that lost a race, before its caller is asked to come back.
const MAXIMUM_ATTEMPTS: u32 = 20;

/// What the events of all callers are judged by.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Lets referrals form circles.
    pub allow_circles: bool,
}

/// Why a transaction did not come to its end.
enum Interrupted {
    /// Another call was faster; a new attempt sees what it did.
    Raced,
    Failed(Error),
}

impl From<DbErr> for Interrupted {
    fn from(error: DbErr) -> Self {
        // A key that another call's event took since this one looked is a lost race too.
        if is_contention(&error) || is_unique_violation(&error) { Self::Raced } else { Self::Failed(error.into()) }
    }
}

impl From<Error> for Interrupted {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// The referral events of a database.
#[derive(Clone)]
pub struct ReferralEvents {
    pub(super) database: Database,
    pub(super) hasher: CodeHasher,
    pub(super) rules: Rules,
}

impl ReferralEvents {
    pub fn new(database: Database, hasher: CodeHasher, rules: Rules) -> Self {
        Self { database, hasher, rules }
    }

    /// Creates the events that may be created, in one transaction, and says what became of each. The events are
    /// committed when this answers.
    pub async fn bulk_create(&self, organisation_id: i64, requests: Vec<EventRequest>) -> Result<Report> {
        let now = Utc::now().trunc_subsecs(6);
        let identifiers: Vec<Option<String>> =
            requests.iter().map(|request| request.request_unique_identifier.clone()).collect();
        let checked = validate(requests, now);
        for attempt in 1..=MAXIMUM_ATTEMPTS {
            let mut slots = Slots::new(checked.len());
            let mut well_formed = Vec::with_capacity(checked.len());
            for (position, event) in checked.iter().enumerate() {
                match event {
                    Ok(event) => well_formed.push((position, event)),
                    Err(violations) => slots.unprocessed(position, violations.clone()),
                }
            }
            if well_formed.is_empty() {
                return slots.into_report(identifiers);
            }
            // Nearly every call is of new referrals, so the first attempt leaves it to the unique keys to say otherwise.
            match self.attempt(organisation_id, &well_formed, now, attempt == 1, &mut slots).await {
                Ok(()) => return slots.into_report(identifiers),
                Err(Interrupted::Failed(error)) => return Err(error),
                Err(Interrupted::Raced) => pause(attempt).await,
            }
        }
        Err(Error::new(ErrorKind::TooManyRequests, "Too many calls refer the same parties at once; try again."))
    }

    /// One attempt, in one transaction.
    async fn attempt(
        &self,
        organisation_id: i64,
        events: &[(usize, &CheckedEvent)],
        now: DateTime<Utc>,
        optimistic: bool,
        slots: &mut Slots,
    ) -> Result<(), Interrupted> {
        let transaction = self.database.begin().await?;
        let resolved = resolve(&transaction, organisation_id, &self.hasher, events, now).await?;
        let mut candidates = Vec::with_capacity(resolved.len());
        for ((position, _), event) in events.iter().zip(resolved) {
            match event {
                Ok(event) => candidates.push(Candidate { position: *position, event }),
                Err(violations) => slots.unprocessed(*position, violations),
            }
        }
        if candidates.is_empty() {
            return Ok(transaction.rollback().await?);
        }
        let (verdicts, first_number) = self.judge(&transaction, organisation_id, &candidates, optimistic).await?;
        let mut numbers = first_number..;
        let mut rows = Vec::with_capacity(candidates.len());
        let mut passwords = HashMap::new();
        for (candidate, verdict) in candidates.iter().zip(verdicts) {
            let Candidate { position, event } = candidate;
            match verdict {
                Verdict::Create => {
                    let created = Created { id: Uuid::now_v7(), number: numbers.next().unwrap_or(i64::MAX) };
                    rows.push(row(created, event, now));
                    passwords.extend(event.one_time_passwords().map(|used| (used.access_token_key, created.number)));
                    slots.processed(*position, created);
                }
                Verdict::Existing(created) => slots.processed(*position, created),
                Verdict::Repeats { position: first } => {
                    if let Some(created) = slots.created(first) {
                        slots.processed(*position, created);
                    }
                }
                Verdict::Refuse(violations) => slots.unprocessed(*position, violations),
            }
        }
        if rows.is_empty() {
            return Ok(transaction.rollback().await?);
        }
        store(&transaction, organisation_id, &rows, passwords).await?;
        Ok(transaction.commit().await?)
    }

    /// Judges the candidates and takes the numbers of those to create, which begin at the number answered.
    ///
    /// An optimistic judgement looks up only whether a circle is possible: it is wrong where the database has a
    /// candidate's referred account or external reference already, and then the insert is refused.
    async fn judge(
        &self,
        transaction: &Transaction,
        organisation_id: i64,
        candidates: &[Candidate<'_>],
        optimistic: bool,
    ) -> Result<(Vec<Verdict>, i64), DbErr> {
        let allow_circles = self.rules.allow_circles;
        let referred: Vec<i64> = candidates.iter().map(|candidate| candidate.event.referred.account_key).collect();
        let is_circle_possible = async || match allow_circles {
            true => Ok(false),
            // A circle that a stored referral is part of has, where a new one joins it, a referred party that has
            // itself referred somebody; one of new referrals alone is known to the judge.
            false => referral_events::is_any_a_referrer(transaction, organisation_id, &referred).await,
        };
        let mut circle_possible = None;
        if optimistic {
            let verdicts = judge(candidates, Known::default(), allow_circles);
            // One that is refused for what the call itself says may be an event that the database has.
            if verdicts.iter().all(|verdict| !matches!(verdict, Verdict::Refuse(_))) {
                counters::take_turn(transaction, organisation_id).await?;
                let first_number = take_numbers(transaction, organisation_id, &verdicts).await?;
                if !is_circle_possible().await? {
                    return Ok((verdicts, first_number));
                }
                circle_possible = Some(true);
            }
        }
        let circle_possible = match circle_possible {
            Some(possible) => possible,
            None => {
                counters::take_turn(transaction, organisation_id).await?;
                is_circle_possible().await?
            }
        };
        let known = find_known(transaction, organisation_id, candidates, &referred, circle_possible).await?;
        let verdicts = judge(candidates, known, allow_circles);
        let first_number = take_numbers(transaction, organisation_id, &verdicts).await?;
        Ok((verdicts, first_number))
    }
}

/// Takes a number for each event to create; answers the first of them.
async fn take_numbers(transaction: &Transaction, organisation_id: i64, verdicts: &[Verdict]) -> Result<i64, DbErr> {
    match verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Create)).count() {
        0 => Ok(0),
        count => counters::take(transaction, organisation_id, counters::Counter::EventNumber, count).await,
    }
}

/// A pause that grows with the attempts and differs between callers, so that they don't meet again.
async fn pause(attempt: u32) {
    let longest = 1u64 << attempt.min(7);
    let random = Uuid::new_v4().as_u64_pair().1;
    tokio::time::sleep(Duration::from_micros(random % (longest * 1000))).await;
}

/// Looks up all that the judge must know.
async fn find_known<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    candidates: &[Candidate<'_>],
    referred: &[i64],
    circle_possible: bool,
) -> Result<Known, DbErr> {
    let mut known = Known::default();
    let mut edges = referral_events::find_many_by_referred(connection, organisation_id, referred).await?;
    if circle_possible {
        let mut referrers: Vec<i64> =
            candidates.iter().map(|candidate| candidate.event.referred_by.account_key).collect();
        referrers.sort_unstable();
        referrers.dedup();
        edges.extend(referral_events::find_ancestry(connection, organisation_id, &referrers).await?);
    }
    known.referrer_of =
        edges.into_iter().map(|edge| (edge.referred_account_key, edge.referred_by_account_key)).collect();
    let references: Vec<(usize, &str, &str)> = candidates
        .iter()
        .filter_map(|Candidate { position, event }| {
            event.details.external_reference().map(|(system, number)| (*position, system, number))
        })
        .collect();
    if !references.is_empty() {
        let found = referral_events::find_many_by_external_reference(connection, organisation_id, &references).await?;
        for Referenced { position, id, number, content_hash } in found {
            if let Ok(position) = usize::try_from(position) {
                known.references.insert(position, KnownEvent { event: Created { id, number }, content_hash });
            }
        }
    }
    Ok(known)
}

/// Inserts the events, and uses up the one-time passwords that identified their parties, each by the event of the
/// number beside its access token.
async fn store(
    transaction: &Transaction,
    organisation_id: i64,
    rows: &[NewEvent<'_>],
    passwords: HashMap<i64, i64>,
) -> Result<(), Interrupted> {
    if !bulk_load::insert_events(transaction, organisation_id, rows).await? {
        return Err(Interrupted::Raced);
    }
    if !passwords.is_empty() {
        let passwords: Vec<(i64, i64)> = passwords.into_iter().collect();
        let used = access_tokens::use_one_time_passwords(transaction, organisation_id, &passwords).await?;
        if used < passwords.len() as u64 {
            return Err(Interrupted::Raced);
        }
    }
    Ok(())
}

fn row<'a>(created: Created, event: &'a ResolvedEvent<'_>, now: DateTime<Utc>) -> NewEvent<'a> {
    let details = event.details;
    NewEvent {
        id: created.id,
        number: created.number,
        classification_key: event.classification_key,
        performed_by_business_unit_key: event.performed_by.business_unit_key,
        performed_by_unit_key: event.performed_by.unit_key,
        performed_by_tap_key: event.performed_by.tap_key,
        performed_by_device_key: event.performed_by.device_key,
        performed_on: details.performed_on,
        description: details.description.as_deref(),
        referred_account_key: event.referred.account_key,
        referred_by_account_key: event.referred_by.account_key,
        external_system: &details.external_system,
        external_system_reference_number: details.external_system_reference_number.as_deref(),
        content_hash: event.content_hash.as_ref().map(|hash| hash.as_slice()),
        udf_strings: &details.udf_strings,
        udf_floats: details.udf_floats,
        udf_dates: details.udf_dates,
        created_on: now,
    }
}
