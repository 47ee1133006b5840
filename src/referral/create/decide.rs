//! How calls come to their verdicts: what is asked of the database, and when.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr};

use super::interrupted::Interrupted;
use crate::{
    error::Error,
    id::{AccessTokenKey, AccountKey, EventNumber, OrganisationId},
    referral::{
        event::EventIdentity,
        resolve::ResolvedEvent,
        rules::judge::{CallEvents, Cause, Facts, Referral, StoredEvent, Verdict, judge},
    },
    storage::{
        Database, Transaction, access_tokens,
        counters::{self, Numbers, Wanted},
        referral_events::{self, Edge, Referenced},
    },
};

/// What is expected to become of the calls, and the numbers of what they create, if anything.
pub struct Optimism {
    verdicts: Verdicts,
    numbers: Option<Numbers>,
}

/// How much is asked before the events are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Which of the referred have referred somebody, and all about the events that the calls by themselves refuse: wrong
    /// where the database has the referred account or the external reference of one that is to be created, and then the
    /// insert is refused.
    Optimistic,
    Everything,
}

/// The verdicts on the events of each call.
pub type Verdicts = Vec<Vec<Verdict>>;

/// What becomes of the events of some calls.
pub struct Decision {
    pub verdicts: Verdicts,
    /// Of those to create, where there are any and they are not only rehearsed.
    pub first_number: Option<EventNumber>,
}

/// Decides on the events of calls of one organisation, one after another.
#[derive(Clone, Copy)]
pub struct Decider<'a> {
    pub organisation_id: OrganisationId,
    pub calls: &'a [CallEvents<'a>],
    /// The version of the directory that they were resolved in.
    pub directory_version: Option<i64>,
    pub allow_circles: bool,
    pub now: DateTime<Utc>,
}

impl<'a> Decider<'a> {
    /// Judges the events with all that the database knows, as a rehearsal does: without a turn and without numbers.
    pub async fn rehearse<C: ConnectionTrait>(&self, connection: &C) -> Result<Verdicts, DbErr> {
        let referrers = self.find_referrers(connection).await?;
        let facts = self.find_facts(connection, &self.events(), &referrers).await?;
        Ok(self.judge(facts))
    }

    /// The verdicts as far as the calls by themselves say.
    pub fn judge_optimistically(&self) -> Verdicts {
        self.judge(Facts::default())
    }

    /// Begins the organisation's turn, and takes with it the numbers of what these verdicts create.
    pub async fn begin_turn(&self, database: &Database, verdicts: Verdicts) -> Result<(Transaction, Optimism), Error> {
        let count = count_new(&verdicts);
        if count == 0 {
            let transaction = database.begin_turn(self.organisation_id).await?;
            return Ok((transaction, Optimism { verdicts, numbers: None }));
        }
        let wanted = Wanted { count, now: self.now, account_keys: &self.possible_referrers() };
        let (transaction, numbers) = database.begin_turn_with(self.organisation_id, &wanted).await?;
        Ok((transaction, Optimism { verdicts, numbers: Some(numbers) }))
    }

    /// Judges the events in the organisation's turn, optimistically if it is said how, and takes the numbers of those to
    /// create.
    pub async fn decide(
        &self,
        transaction: &Transaction,
        optimistic: Option<Optimism>,
    ) -> Result<Decision, Interrupted> {
        let Some(Optimism { verdicts: optimistic, numbers }) = optimistic else {
            let referrers = self.find_referrers(transaction).await?;
            let verdicts = self.look_up_and_judge(transaction, &self.events(), &referrers).await?;
            let first_number = self.number(transaction, &verdicts, None).await?;
            return Ok(Decision { verdicts, first_number });
        };
        let (taken, referrers) = match numbers {
            None => (None, self.find_referrers(transaction).await?),
            Some(numbers) => {
                let Numbers { first, referrers, .. } = self.checked(numbers)?;
                (Some((first, count_new(&optimistic))), referrers)
            }
        };
        let doubtful = self.doubtful(&optimistic);
        if doubtful.is_empty() && referrers.is_empty() {
            return Ok(Decision { verdicts: optimistic, first_number: taken.map(|(first, _)| first) });
        }
        let mut verdicts = self.look_up_and_judge(transaction, &doubtful, &referrers).await?;
        // An event that a circle keeps out may be there already, and so may what was sent again after it.
        let is_new_doubt = |(now, before): (&Verdict, &Verdict)| is_doubtful(now) && !is_doubtful(before);
        if verdicts.iter().flatten().zip(optimistic.iter().flatten()).any(is_new_doubt) {
            verdicts = self.look_up_and_judge(transaction, &self.events(), &referrers).await?;
        }
        let first_number = self.number(transaction, &verdicts, taken).await?;
        Ok(Decision { verdicts, first_number })
    }

    /// The first number of the events to create: of those that are taken, where they are enough.
    async fn number(
        &self,
        transaction: &Transaction,
        verdicts: &Verdicts,
        taken: Option<(EventNumber, usize)>,
    ) -> Result<Option<EventNumber>, Interrupted> {
        match (count_new(verdicts), taken) {
            (0, _) => Ok(None),
            (count, Some((first, taken))) if count <= taken => Ok(Some(first)),
            (count, _) => {
                let wanted = Wanted { count, now: self.now, account_keys: &[] };
                let numbers = counters::take_numbers(transaction, self.organisation_id, &wanted).await?;
                Ok(Some(self.checked(numbers)?.first))
            }
        }
    }

    fn judge(&self, facts: Facts<'a>) -> Verdicts {
        judge(self.calls, facts, self.allow_circles)
    }

    async fn look_up_and_judge(
        &self,
        transaction: &Transaction,
        doubtful: &[&'a ResolvedEvent<'a>],
        referrers: &[AccountKey],
    ) -> Result<Verdicts, Interrupted> {
        self.check_passwords(transaction, doubtful).await?;
        Ok(self.judge(self.find_facts(transaction, doubtful, referrers).await?))
    }

    fn events(&self) -> Vec<&'a ResolvedEvent<'a>> {
        self.calls.iter().flat_map(|call| call.events).collect()
    }

    /// The events that may be something else than what the calls by themselves say.
    fn doubtful(&self, verdicts: &Verdicts) -> Vec<&'a ResolvedEvent<'a>> {
        let events = self.calls.iter().flat_map(|call| call.events).zip(verdicts.iter().flatten());
        events.filter(|(_, verdict)| is_doubtful(verdict)).map(|(event, _)| event).collect()
    }

    /// The accounts that are asked about for circles. A circle that a stored referral is part of has, where a new one
    /// joins it, a referred party that has itself referred somebody; one of new referrals alone is known to the judge.
    fn possible_referrers(&self) -> Vec<AccountKey> {
        let events = self.calls.iter().flat_map(|call| call.events).filter(|_| !self.allow_circles);
        events.map(|event| event.referred.account_key).collect()
    }

    async fn find_referrers<C: ConnectionTrait>(&self, connection: &C) -> Result<Vec<AccountKey>, DbErr> {
        let accounts = self.possible_referrers();
        if accounts.is_empty() {
            return Ok(Vec::new());
        }
        referral_events::find_referrers(connection, self.organisation_id, &accounts).await
    }

    /// From whom the way up must be known, where these of the referred have referred somebody: a circle comes to each of
    /// its new referrals over a stored one, whose referrer is one of these, or over another new one.
    fn ways_up(&self, referrers: &[AccountKey]) -> Vec<AccountKey> {
        let events = self.events();
        let passed: HashSet<AccountKey> =
            events.iter().map(|event| event.referred_by.account_key).chain(referrers.iter().copied()).collect();
        let on_the_way = events.iter().filter(|event| passed.contains(&event.referred.account_key));
        let mut starts: Vec<AccountKey> = on_the_way.map(|event| event.referred_by.account_key).collect();
        starts.sort_unstable();
        starts.dedup();
        starts
    }

    /// A one-time password that another call used since it was resolved, or an import replaced, is a lost race.
    async fn check_passwords(
        &self,
        transaction: &Transaction,
        events: &[&ResolvedEvent<'_>],
    ) -> Result<(), Interrupted> {
        let passwords: HashSet<(AccessTokenKey, &str)> =
            events.iter().flat_map(|event| event.live_passwords()).collect();
        if passwords.is_empty() {
            return Ok(());
        }
        let live = access_tokens::count_live_one_time_passwords(transaction, self.organisation_id, &passwords).await?;
        if live < passwords.len() { Err(Interrupted::Raced) } else { Ok(()) }
    }

    /// The numbers, which are of no use where the directory has changed.
    fn checked(&self, numbers: Numbers) -> Result<Numbers, Interrupted> {
        if self.directory_version.is_some_and(|version| version != numbers.directory_version) {
            return Err(Interrupted::DirectoryChanged);
        }
        Ok(numbers)
    }

    /// Looks up all that the judge must know of these events, and the ways up on which a circle may close.
    async fn find_facts<C: ConnectionTrait>(
        &self,
        connection: &C,
        events: &[&'a ResolvedEvent<'a>],
        referrers: &[AccountKey],
    ) -> Result<Facts<'a>, DbErr> {
        let mut edges = Vec::new();
        if !events.is_empty() {
            let referred: Vec<AccountKey> = events.iter().map(|event| event.referred.account_key).collect();
            edges = referral_events::find_many_by_referred(connection, self.organisation_id, &referred).await?;
        }
        if !referrers.is_empty() {
            let starts = self.ways_up(referrers);
            edges.extend(referral_events::find_ancestry(connection, self.organisation_id, &starts).await?);
        }
        let referral = |edge: Edge| {
            let event = Cause::Stored(EventIdentity { id: edge.id, number: edge.number });
            (edge.referred_account_key, Referral { referrer: edge.referred_by_account_key, event })
        };
        let mut facts = Facts { referral_of: edges.into_iter().map(referral).collect(), ..Facts::default() };
        let references: Vec<(&str, &str)> =
            events.iter().filter_map(|event| event.details.external_reference()).collect();
        if !references.is_empty() {
            let found =
                referral_events::find_many_by_external_reference(connection, self.organisation_id, &references).await?;
            for Referenced { position, id, number, content_hash } in found {
                if let Some(reference) = usize::try_from(position).ok().and_then(|position| references.get(position)) {
                    let event = EventIdentity { id, number };
                    facts.references.insert(*reference, StoredEvent { event, content_hash });
                }
            }
        }
        Ok(facts)
    }
}

fn is_doubtful(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Refuse { .. } | Verdict::Abandon)
}

fn count_new(verdicts: &Verdicts) -> usize {
    verdicts.iter().flatten().filter(|verdict| **verdict == Verdict::Create).count()
}
