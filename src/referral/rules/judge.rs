//! The rules between events, judged one event after another, each seeing those before it. Pure.

use std::collections::HashMap;

use super::content::ContentHash;
use crate::{
    id::{AccessTokenKey, AccountKey},
    referral::{event::EventIdentity, resolve::ResolvedEvent, violation::Violation},
};

/// What the database knows that matters to the events of some calls.
#[derive(Debug, Default)]
pub struct Facts<'a> {
    /// How accounts were referred. Holds the whole way up from every referrer from which one can lead into a circle.
    pub referral_of: HashMap<AccountKey, Referral>,
    /// The events under external references, each a system (empty for none) and a number.
    pub references: HashMap<(&'a str, &'a str), StoredEvent>,
}

/// How an account was referred.
#[derive(Clone, Copy, Debug)]
pub struct Referral {
    pub referrer: AccountKey,
    pub event: Cause,
}

/// An event that decides on another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Stored(EventIdentity),
    /// One of those to create: the how manieth, from 0.
    New(usize),
}

#[derive(Debug)]
pub struct StoredEvent {
    pub event: EventIdentity,
    pub content_hash: Vec<u8>,
}

/// What becomes of an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is created.
    Create,
    /// It was sent before, and is that event.
    Replay(Cause),
    Refuse {
        violations: Vec<Violation>,
        /// The event that stands in its way, the first by the violations' precedence.
        cause: Option<Cause>,
    },
    /// It could be created, and its call creates all of its events or none.
    Abandon,
}

/// The events of one call.
#[derive(Clone, Copy)]
pub struct CallEvents<'a> {
    pub events: &'a [ResolvedEvent<'a>],
    pub all_or_nothing: bool,
    /// Whether the call has other events, which cannot be created.
    pub has_failed: bool,
}

/// Judges the events of calls, one after another, each knowing what becomes of those before it.
pub fn judge<'a>(calls: &[CallEvents<'a>], facts: Facts<'a>, allow_circles: bool) -> Vec<Vec<Verdict>> {
    let mut judge = Judge {
        facts,
        allow_circles,
        ways_up: HashMap::new(),
        creations: 0,
        created: HashMap::new(),
        used_passwords: HashMap::new(),
    };
    calls.iter().map(|call| judge.call(*call)).collect()
}

struct Judge<'a> {
    facts: Facts<'a>,
    allow_circles: bool,
    /// Of the accounts whose way up was walked, how far it was found to lead: the account there, and the last event on the
    /// way. What was walked once is one step from then on, so that all events together walk a long chain once. Holds
    /// `None` where the way has no end.
    ways_up: HashMap<AccountKey, Option<Referral>>,
    /// How many events are created so far.
    creations: usize,
    /// Those of them with an external reference, by it: the how manieth each is.
    created: HashMap<(&'a str, &'a str), (usize, ContentHash)>,
    /// Which of them uses up the one-time password of an access token.
    used_passwords: HashMap<AccessTokenKey, usize>,
}

impl<'a> Judge<'a> {
    fn call(&mut self, CallEvents { events, all_or_nothing, has_failed }: CallEvents<'a>) -> Vec<Verdict> {
        let creations_before = self.creations;
        let mut verdicts: Vec<Verdict> = events.iter().map(|event| self.event(event)).collect();
        let any_fails = has_failed || verdicts.iter().any(|verdict| matches!(verdict, Verdict::Refuse { .. }));
        if all_or_nothing && any_fails {
            self.take_back(events, &verdicts, creations_before);
            let is_gone = |cause: Cause| matches!(cause, Cause::New(n) if n >= creations_before);
            for verdict in &mut verdicts {
                match verdict {
                    Verdict::Refuse { cause, .. } => *cause = cause.filter(|cause| !is_gone(*cause)),
                    Verdict::Replay(cause) if !is_gone(*cause) => {}
                    _ => *verdict = Verdict::Abandon,
                }
            }
        }
        verdicts
    }

    /// Forgets the events of a call that are not created after all.
    fn take_back(&mut self, events: &[ResolvedEvent<'a>], verdicts: &[Verdict], creations_before: usize) {
        for (event, _) in events.iter().zip(verdicts).filter(|(_, verdict)| **verdict == Verdict::Create) {
            self.facts.referral_of.remove(&event.referred.account_key);
            if let Some(reference) = event.details.external_reference() {
                self.created.remove(&reference);
            }
            for password in event.one_time_passwords() {
                self.used_passwords.remove(&password.access_token_key);
            }
        }
        self.creations = creations_before;
        // They may lead over the events that are gone.
        self.ways_up.clear();
    }

    fn event(&mut self, event: &ResolvedEvent<'a>) -> Verdict {
        // Before all rules: the event's first sending would trip its repetition up.
        if let Some(verdict) = self.repetition(event) {
            return verdict;
        }
        let (violations, cause) = self.violations(event);
        if !violations.is_empty() {
            return Verdict::Refuse { violations, cause };
        }
        let n = self.creations;
        self.creations += 1;
        let referral = Referral { referrer: event.referred_by.account_key, event: Cause::New(n) };
        self.facts.referral_of.insert(event.referred.account_key, referral);
        if let (Some(reference), Some(hash)) = (event.details.external_reference(), event.content_hash) {
            self.created.insert(reference, (n, hash));
        }
        for password in event.one_time_passwords() {
            self.used_passwords.insert(password.access_token_key, n);
        }
        Verdict::Create
    }

    /// Whether the event was sent before, by its external reference and content. A one-time password that its own
    /// first sending used up is no second use; one that another event used up, here or in the database, is.
    fn repetition(&self, event: &ResolvedEvent<'a>) -> Option<Verdict> {
        let reference = event.details.external_reference()?;
        let hash = event.content_hash?;
        if let Some((n, created)) = self.created.get(&reference) {
            let own_passwords = event.one_time_passwords().all(|password| {
                let user = self.used_passwords.get(&password.access_token_key);
                password.used_by.is_none() && user.is_none_or(|user| user == n)
            });
            return (*created == hash && own_passwords).then_some(Verdict::Replay(Cause::New(*n)));
        }
        let known = self.facts.references.get(&reference)?;
        let own_passwords = event.one_time_passwords().all(|password| match password.used_by {
            Some(number) => number == known.event.number,
            None => !self.used_passwords.contains_key(&password.access_token_key),
        });
        let same = known.content_hash == hash && own_passwords;
        same.then_some(Verdict::Replay(Cause::Stored(known.event)))
    }

    /// What is wrong with the event, and the event that stands in its way.
    fn violations(&mut self, event: &ResolvedEvent<'a>) -> (Vec<Violation>, Option<Cause>) {
        let (referred, referred_by) = (&event.referred, &event.referred_by);
        let mut violations = Vec::new();
        for party in [referred, referred_by] {
            let used_up = party.one_time_password.as_ref().is_some_and(|password| {
                password.used_by.is_some() || self.used_passwords.contains_key(&password.access_token_key)
            });
            if used_up {
                violations.push(Violation::invalid_access_token(&party.given.path()));
            }
            violations.extend(party.inactive.iter().cloned());
        }
        violations.extend(event.mismatch.clone());
        let mut cause = None;
        if let Some(reference) = event.details.external_reference() {
            let new = self.created.get(&reference).map(|(n, _)| Cause::New(*n));
            cause = new.or(self.facts.references.get(&reference).map(|known| Cause::Stored(known.event)));
            if cause.is_some() {
                violations.push(Violation::external_reference_conflict(reference.1));
            }
        }
        let mut referral = |violation: fn(&str, &str) -> Violation| {
            violations.push(violation(&referred.given.path(), &referred.given.label()));
        };
        if referred.account_key == referred_by.account_key {
            referral(Violation::self_referral);
        }
        let known = self.facts.referral_of.get(&referred.account_key).copied();
        match known {
            Some(known) if known.referrer == referred_by.account_key => referral(Violation::referral_already_exists),
            Some(_) => referral(Violation::referred_by_another_participant),
            None => {}
        }
        let circle = match known {
            Some(_) => None,
            None => self.closed_circle(referred.account_key, referred_by.account_key),
        };
        if circle.is_some() {
            referral(Violation::circular_referral);
        }
        let cause = cause.or(known.map(|known| known.event)).or(circle);
        (violations, cause)
    }

    /// Where the way up from the referrer leads to the referred, whom nobody has referred, the event by which it does.
    fn closed_circle(&mut self, referred: AccountKey, referrer: AccountKey) -> Option<Cause> {
        if self.allow_circles || referred == referrer {
            return None;
        }
        self.top_above(referrer).filter(|top| top.referrer == referred).map(|top| top.event)
    }

    /// The account at the end of the way up from an account, with the event that it referred the one below by; `None`
    /// where the account was referred by nobody, and where its way leads into a circle from when they were allowed.
    fn top_above(&mut self, account: AccountKey) -> Option<Referral> {
        let mut walked = Vec::new();
        let mut top = None;
        let mut at = account;
        while let Some(step) = self.step_up(at) {
            // An account that this walk comes to again has no way left: nothing on a circle has.
            let step = step?;
            walked.push(at);
            at = step.referrer;
            top = Some(step);
        }
        self.ways_up.extend(walked.into_iter().map(|account| (account, top)));
        top
    }

    /// As far up from an account as is known, if anybody referred it. The account has no way until the walk is over.
    fn step_up(&mut self, account: AccountKey) -> Option<Option<Referral>> {
        if let Some(way) = self.ways_up.get_mut(&account) {
            return Some(way.take());
        }
        let referral = *self.facts.referral_of.get(&account)?;
        self.ways_up.insert(account, None);
        Some(Some(referral))
    }
}
