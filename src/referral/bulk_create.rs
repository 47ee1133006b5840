//! The bulk call: validate, resolve, judge, store, report.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, SubsecRound, Utc};
use sea_orm::{ConnectionTrait, DbErr};
use uuid::Uuid;

use super::{
    event::{CheckedEvent, EventRequest},
    report::{Created, Report, Slots},
    resolve::{ResolvedEvent, resolve},
    rules::{Judge, Known, KnownEvent, Verdict},
    validate::validate,
};
use crate::{
    error::{Error, ErrorKind, Result},
    secret::CodeHasher,
    storage::{
        Database, Transaction, access_tokens, bulk_load, counters, entity::referral_event, is_contention,
        is_unique_violation, referral_events,
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

/// An event that may be created, and its position in the call.
struct Candidate {
    position: usize,
    event: ResolvedEvent,
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
    database: Database,
    hasher: CodeHasher,
    rules: Rules,
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
            match self.attempt(organisation_id, &well_formed, now, &mut slots).await {
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
        counters::take_turn(&transaction, organisation_id).await?;
        let known = find_known(&transaction, organisation_id, &self.rules, &candidates).await?;
        let (creations, repeats) = judge(Judge::new(known, self.rules.allow_circles), candidates, slots);
        if creations.is_empty() {
            transaction.rollback().await?;
        } else {
            store(&transaction, organisation_id, creations, now, slots).await?;
            transaction.commit().await?;
        }
        for (position, first) in repeats {
            if let Some(created) = slots.created(first) {
                slots.processed(position, created);
            }
        }
        Ok(())
    }
}

/// A pause that grows with the attempts and differs between callers, so that they don't meet again.
async fn pause(attempt: u32) {
    let longest = 1u64 << attempt.min(7);
    let random = Uuid::new_v4().as_u64_pair().1;
    tokio::time::sleep(Duration::from_micros(random % (longest * 1000))).await;
}

/// Looks up what the judge must know.
async fn find_known<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    rules: &Rules,
    candidates: &[Candidate],
) -> Result<Known, DbErr> {
    let mut known = Known::default();
    let referred: Vec<i64> = candidates.iter().map(|candidate| candidate.event.referred.account_key).collect();
    let mut referrers: Vec<i64> = candidates.iter().map(|candidate| candidate.event.referred_by.account_key).collect();
    referrers.sort_unstable();
    referrers.dedup();

    // A circle that a stored referral is part of has, where a new one joins it, a referred party that has itself
    // referred somebody; one of new referrals alone is known to the judge.
    let mut circle_possible = false;
    for standing in referral_events::find_standing(connection, organisation_id, &referred).await? {
        match standing.referred_by_account_key {
            Some(referrer) => _ = known.referrer_of.insert(standing.account_key, referrer),
            None => circle_possible = true,
        }
    }
    if circle_possible && !rules.allow_circles {
        for edge in referral_events::find_ancestry(connection, organisation_id, &referrers).await? {
            known.referrer_of.insert(edge.referred_account_key, edge.referred_by_account_key);
        }
    }
    let references: Vec<(&str, &str)> =
        candidates.iter().filter_map(|candidate| candidate.event.details.external_reference()).collect();
    if !references.is_empty() {
        let found = referral_events::find_many_by_external_reference(connection, organisation_id, &references).await?;
        known.references = found
            .into_iter()
            .map(|event| {
                let reference = (event.external_system, event.external_system_reference_number);
                (reference, KnownEvent { id: event.id, number: event.number, content_hash: event.content_hash })
            })
            .collect();
    }
    Ok(known)
}

/// Judges the candidates in order. Answers those to create, and which position repeats which.
fn judge(mut judge: Judge, candidates: Vec<Candidate>, slots: &mut Slots) -> (Vec<Candidate>, Vec<(usize, usize)>) {
    let mut creations = Vec::with_capacity(candidates.len());
    let mut repeats = Vec::new();
    for candidate in candidates {
        match judge.judge(candidate.position, &candidate.event) {
            Verdict::Create => creations.push(candidate),
            Verdict::Existing { id, number } => slots.processed(candidate.position, Created { id, number }),
            Verdict::Repeats { position } => repeats.push((candidate.position, position)),
            Verdict::Refuse(violations) => slots.unprocessed(candidate.position, violations),
        }
    }
    (creations, repeats)
}

/// Numbers and inserts the events, and uses up the one-time passwords that identified their parties.
async fn store(
    transaction: &Transaction,
    organisation_id: i64,
    creations: Vec<Candidate>,
    now: DateTime<Utc>,
    slots: &mut Slots,
) -> Result<(), Interrupted> {
    let first = counters::take(transaction, organisation_id, counters::Counter::EventNumber, creations.len()).await?;
    let mut passwords: HashMap<i64, i64> = HashMap::new();
    let mut rows = Vec::with_capacity(creations.len());
    for (number, Candidate { position, event }) in (first..).zip(creations) {
        let created = Created { id: Uuid::now_v7(), number };
        for password in [&event.referred, &event.referred_by].into_iter().filter_map(|party| party.one_time_password) {
            passwords.insert(password.access_token_key, number);
        }
        slots.processed(position, created);
        rows.push(row(organisation_id, created, event, now));
    }
    bulk_load::insert_events(transaction, &rows).await?;
    if !passwords.is_empty() {
        let passwords: Vec<(i64, i64)> = passwords.into_iter().collect();
        let used = access_tokens::use_one_time_passwords(transaction, organisation_id, &passwords).await?;
        if used < passwords.len() as u64 {
            return Err(Interrupted::Raced);
        }
    }
    Ok(())
}

fn row(organisation_id: i64, created: Created, event: ResolvedEvent, now: DateTime<Utc>) -> referral_event::Model {
    let details = event.details;
    let [
        udf_string_1,
        udf_string_2,
        udf_string_3,
        udf_string_4,
        udf_string_5,
        udf_string_6,
        udf_string_7,
        udf_string_8,
    ] = details.udf_strings;
    let [udf_float_1, udf_float_2, udf_float_3, udf_float_4] = details.udf_floats;
    let [udf_date_1, udf_date_2, udf_date_3, udf_date_4] = details.udf_dates;
    referral_event::Model {
        organisation_id,
        id: created.id,
        number: created.number,
        in_force: Some(true),
        classification_key: event.classification_key,
        performed_by_business_unit_key: event.performed_by.business_unit_key,
        performed_by_unit_key: event.performed_by.unit_key,
        performed_by_tap_key: event.performed_by.tap_key,
        performed_by_device_key: event.performed_by.device_key,
        performed_on: details.performed_on,
        description: details.description,
        referred_account_key: event.referred.account_key,
        referred_by_account_key: event.referred_by.account_key,
        external_system: details.external_system,
        external_system_reference_number: details.external_system_reference_number,
        content_hash: event.content_hash,
        udf_string_1,
        udf_string_2,
        udf_string_3,
        udf_string_4,
        udf_string_5,
        udf_string_6,
        udf_string_7,
        udf_string_8,
        udf_float_1,
        udf_float_2,
        udf_float_3,
        udf_float_4,
        udf_date_1,
        udf_date_2,
        udf_date_3,
        udf_date_4,
        created_on: now,
    }
}
