//! How a call comes to its verdicts: what is asked of the database, and when.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr};

use super::interrupted::Interrupted;
use crate::{
    id::{AccessTokenKey, AccountKey, EventNumber, OrganisationId},
    referral::{
        event::EventIdentity,
        resolve::ResolvedEvent,
        rules::judge::{Cause, Facts, Referral, StoredEvent, Verdict, judge},
    },
    storage::{
        Transaction, access_tokens,
        counters::{self, Numbers},
        referral_events::{self, Edge, Referenced},
    },
};

/// How much is asked before the events are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Whether a circle is possible, and nothing else: wrong where the database has an event's referred account or
    /// external reference already, and then the insert is refused.
    CirclesOnly,
    Everything,
}

/// The verdicts on the events of a call.
pub struct Decision {
    pub verdicts: Vec<Verdict>,
    /// Of those to create, where there are any and they are not only rehearsed.
    pub first_number: Option<EventNumber>,
}

/// Decides on the events of a call.
#[derive(Clone, Copy)]
pub struct Decider<'a> {
    pub organisation_id: OrganisationId,
    pub events: &'a [ResolvedEvent<'a>],
    /// The version of the directory that they were resolved in.
    pub directory_version: Option<i64>,
    pub allow_circles: bool,
    pub now: DateTime<Utc>,
}

impl Decider<'_> {
    fn referred(&self) -> Vec<AccountKey> {
        self.events.iter().map(|event| event.referred.account_key).collect()
    }

    /// The accounts that are asked about for circles. A circle that a stored referral is part of has, where a new one
    /// joins it, a referred party that has itself referred somebody; one of new referrals alone is known to the judge.
    fn possible_referrers(&self) -> Vec<AccountKey> {
        if self.allow_circles { Vec::new() } else { self.referred() }
    }

    async fn is_circle_possible<C: ConnectionTrait>(&self, connection: &C) -> Result<bool, DbErr> {
        let accounts = self.possible_referrers();
        Ok(!accounts.is_empty()
            && referral_events::is_any_a_referrer(connection, self.organisation_id, &accounts).await?)
    }

    /// Judges the events with all that the database knows, as a rehearsal does: without a turn and without numbers.
    pub async fn rehearse<C: ConnectionTrait>(&self, connection: &C) -> Result<Decision, DbErr> {
        let is_circle_possible = self.is_circle_possible(connection).await?;
        Ok(Decision { verdicts: self.judge(connection, is_circle_possible).await?, first_number: None })
    }

    /// Judges the events in the organisation's turn, and takes the numbers of those to create.
    pub async fn decide(&self, transaction: &Transaction, depth: Depth) -> Result<Decision, Interrupted> {
        let optimistic = (depth == Depth::CirclesOnly).then(|| self.judge_optimistically()).flatten();
        counters::take_turn(transaction, self.organisation_id).await?;
        let is_circle_possible = match optimistic {
            Some(verdicts) => {
                let numbers = self.take_numbers(transaction, &verdicts, &self.possible_referrers()).await?;
                if !numbers.any_is_a_referrer {
                    return Ok(Decision { verdicts, first_number: Some(numbers.first) });
                }
                true
            }
            None => self.is_circle_possible(transaction).await?,
        };
        self.check_passwords(transaction).await?;
        let verdicts = self.judge(transaction, is_circle_possible).await?;
        let first_number = match verdicts.contains(&Verdict::Create) {
            true => Some(self.take_numbers(transaction, &verdicts, &[]).await?.first),
            false => None,
        };
        Ok(Decision { verdicts, first_number })
    }

    /// The verdicts if the database has none of the events and a circle is impossible; none where the call by itself
    /// says that one is refused, for that one may be an event that the database has.
    fn judge_optimistically(&self) -> Option<Vec<Verdict>> {
        let verdicts = judge(self.events, Facts::default(), self.allow_circles);
        verdicts.iter().all(|verdict| !matches!(verdict, Verdict::Refuse { .. })).then_some(verdicts)
    }

    /// A one-time password that another call used since it was resolved, or an import replaced, is a lost race.
    async fn check_passwords(&self, transaction: &Transaction) -> Result<(), Interrupted> {
        let passwords: HashSet<(AccessTokenKey, &str)> =
            self.events.iter().flat_map(|event| event.live_passwords()).collect();
        if passwords.is_empty() {
            return Ok(());
        }
        let live = access_tokens::count_live_one_time_passwords(transaction, self.organisation_id, &passwords).await?;
        if live < passwords.len() { Err(Interrupted::Raced) } else { Ok(()) }
    }

    /// Takes a number for each event to create, and asks whether any of the accounts has referred somebody.
    async fn take_numbers(
        &self,
        transaction: &Transaction,
        verdicts: &[Verdict],
        account_keys: &[AccountKey],
    ) -> Result<Numbers, Interrupted> {
        let count = verdicts.iter().filter(|verdict| **verdict == Verdict::Create).count();
        let numbers = counters::take_numbers(transaction, self.organisation_id, count, self.now, account_keys).await?;
        if self.directory_version.is_some_and(|version| version != numbers.directory_version) {
            return Err(Interrupted::DirectoryChanged);
        }
        Ok(numbers)
    }

    async fn judge<C: ConnectionTrait>(&self, connection: &C, is_circle_possible: bool) -> Result<Vec<Verdict>, DbErr> {
        let facts = self.find_facts(connection, is_circle_possible).await?;
        Ok(judge(self.events, facts, self.allow_circles))
    }

    /// Looks up all that the judge must know.
    async fn find_facts<C: ConnectionTrait>(&self, connection: &C, is_circle_possible: bool) -> Result<Facts, DbErr> {
        let Self { organisation_id, events, .. } = *self;
        let mut facts = Facts::default();
        let mut edges = referral_events::find_many_by_referred(connection, organisation_id, &self.referred()).await?;
        if is_circle_possible {
            let mut referrers: Vec<AccountKey> = events.iter().map(|event| event.referred_by.account_key).collect();
            referrers.sort_unstable();
            referrers.dedup();
            edges.extend(referral_events::find_ancestry(connection, organisation_id, &referrers).await?);
        }
        let referral = |edge: Edge| {
            let event = Cause::Stored(EventIdentity { id: edge.id, number: edge.number });
            (edge.referred_account_key, Referral { referrer: edge.referred_by_account_key, event })
        };
        facts.referral_of = edges.into_iter().map(referral).collect();
        let references: Vec<(usize, &str, &str)> = events
            .iter()
            .filter_map(|event| {
                let (system, number) = event.details.external_reference()?;
                Some((event.position, system, number))
            })
            .collect();
        if !references.is_empty() {
            let found =
                referral_events::find_many_by_external_reference(connection, organisation_id, &references).await?;
            for Referenced { position, id, number, content_hash } in found {
                if let Ok(position) = usize::try_from(position) {
                    let event = EventIdentity { id, number };
                    facts.references.insert(position, StoredEvent { event, content_hash });
                }
            }
        }
        Ok(facts)
    }
}
