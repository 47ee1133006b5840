//! How a call comes to its verdicts: what is asked of the database, and when.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr};

use super::{
    interrupted::Interrupted,
    report::Created,
    rules::{Candidate, Cause, Known, KnownEvent, Referral, Verdict, judge},
};
use crate::storage::{
    Transaction, access_tokens,
    counters::{self, Numbers},
    referral_events::{self, Edge, Referenced},
};

/// How much is asked before the events are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Whether a circle is possible, and nothing else: wrong where the database has a candidate's referred account or
    /// external reference already, and then the insert is refused.
    Optimistic,
    /// All there is to know.
    LookingUp,
    /// The same, without taking a turn or numbers.
    Rehearsing,
}

/// Judges the candidates and takes the numbers of those to create, `now`, which begin at the number answered.
pub async fn reach(
    transaction: &Transaction,
    organisation_id: i64,
    allow_circles: bool,
    candidates: &[Candidate<'_>],
    directory_version: Option<i64>,
    now: DateTime<Utc>,
    way: Way,
) -> Result<(Vec<Verdict>, i64), Interrupted> {
    let referred: Vec<i64> = candidates.iter().map(|candidate| candidate.event.referred.account_key).collect();
    // A circle that a stored referral is part of has, where a new one joins it, a referred party that has itself referred
    // somebody; one of new referrals alone is known to the judge.
    let asked = if allow_circles { &[] } else { referred.as_slice() };
    let is_circle_possible = async || match asked {
        [] => Ok(false),
        _ => referral_events::is_any_a_referrer(transaction, organisation_id, asked).await,
    };
    if way == Way::Rehearsing {
        let circle_possible = is_circle_possible().await?;
        let known = find_known(transaction, organisation_id, candidates, &referred, circle_possible).await?;
        return Ok((judge(candidates, known, allow_circles), 0));
    }
    let mut circle_possible = None;
    if way == Way::Optimistic {
        let verdicts = judge(candidates, Known::default(), allow_circles);
        // One that is refused for what the call itself says may be an event that the database has.
        if verdicts.iter().all(|verdict| !matches!(verdict, Verdict::Refuse { .. })) {
            counters::take_turn(transaction, organisation_id).await?;
            let numbers = take_numbers(transaction, organisation_id, &verdicts, directory_version, now, asked).await?;
            if !numbers.any_is_a_referrer {
                return Ok((verdicts, numbers.first));
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
    // A one-time password that another call used since it was resolved, or an import replaced, is a lost race.
    let passwords: HashSet<(i64, &str)> =
        candidates.iter().flat_map(|candidate| candidate.event.live_passwords()).collect();
    if !passwords.is_empty()
        && access_tokens::count_live_one_time_passwords(transaction, organisation_id, &passwords).await?
            < passwords.len()
    {
        return Err(Interrupted::Raced);
    }
    let known = find_known(transaction, organisation_id, candidates, &referred, circle_possible).await?;
    let verdicts = judge(candidates, known, allow_circles);
    if !verdicts.iter().any(is_to_create) {
        return Ok((verdicts, 0));
    }
    let numbers = take_numbers(transaction, organisation_id, &verdicts, directory_version, now, &[]).await?;
    Ok((verdicts, numbers.first))
}

fn is_to_create(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Create)
}

/// Takes a number for each event to create, and asks whether any of the accounts has referred somebody.
async fn take_numbers(
    transaction: &Transaction,
    organisation_id: i64,
    verdicts: &[Verdict],
    resolved_in: Option<i64>,
    now: DateTime<Utc>,
    account_keys: &[i64],
) -> Result<Numbers, Interrupted> {
    let count = verdicts.iter().filter(|verdict| is_to_create(verdict)).count();
    let numbers = counters::take_numbers(transaction, organisation_id, count, now, account_keys).await?;
    if resolved_in.is_some_and(|version| version != numbers.directory_version) {
        return Err(Interrupted::DirectoryChanged);
    }
    Ok(numbers)
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
    let referral = |edge: Edge| {
        let event = Cause::Stored(Created { id: edge.id, number: edge.number });
        (edge.referred_account_key, Referral { referrer: edge.referred_by_account_key, event })
    };
    known.referral_of = edges.into_iter().map(referral).collect();
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
