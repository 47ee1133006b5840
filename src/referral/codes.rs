//! What a call may find out about the codes of access tokens.
//!
//! A code that is wrong counts against the caller, and a wrong pass code against the access token that it is for, too.
//! Who has given many has to wait; meanwhile the events that have codes are not attempted, and no code of theirs is
//! looked up. In one call, no more wrong codes are told than the caller has left: the events with codes from there on
//! are answered alike, whether their codes are right or wrong.

use std::collections::{HashMap, HashSet};

use super::{
    event::CheckedEvent,
    given::{GivenParty, PartyBy},
    violation::{Violation, ViolationKind},
};
use crate::{
    error::{Error, Result},
    guessing::{Guessing, History, Subject, Wait},
    id::OrganisationId,
};

/// Who sends a call.
#[derive(Clone, Debug)]
pub struct Sender {
    pub organisation_id: OrganisationId,
    pub user_id: String,
    pub user_name: String,
    /// Of the request that the call came by.
    pub request_id: String,
}

/// The codes of one call.
pub struct Codes<'a> {
    guessing: &'a Guessing,
    caller: Subject,
    /// By their identifiers.
    access_tokens: HashMap<&'a str, Subject>,
    known: History,
    /// The wrong codes that are told, which are counted.
    told: HashSet<&'a PartyBy>,
    /// The position of the event from which on no code is told.
    end: usize,
    /// The same for the pass codes of one access token.
    ends: HashMap<Subject, usize>,
    /// How long one has to wait after those.
    wait_at_end: Wait,
    is_counted: bool,
}

impl PartyBy {
    pub fn is_code(&self) -> bool {
        matches!(self, Self::AuthenticationCode(_) | Self::PassCode { .. } | Self::OneTimePassword(_))
    }
}

impl CheckedEvent {
    fn codes(&self) -> impl Iterator<Item = &GivenParty> {
        [&self.referred, &self.referred_by].into_iter().filter(|party| party.by.is_code())
    }
}

impl<'a> Codes<'a> {
    /// The codes of one call, with what is known of its caller and of the access tokens whose pass codes are given.
    pub async fn of(
        guessing: &'a Guessing,
        sender: &Sender,
        parties: impl Iterator<Item = &'a GivenParty>,
    ) -> Result<Self> {
        let mut codes = Self::unknown(guessing, sender, parties);
        Self::look_up(guessing, std::slice::from_mut(&mut codes)).await?;
        Ok(codes)
    }

    /// The codes of calls that create events, each with its sender, likewise.
    pub async fn of_each<E: Iterator<Item = &'a CheckedEvent>>(
        guessing: &'a Guessing,
        calls: impl Iterator<Item = (&'a Sender, E)>,
    ) -> Result<Vec<Self>> {
        let parties = |events: E| events.flat_map(CheckedEvent::codes);
        let mut codes: Vec<Self> =
            calls.map(|(sender, events)| Self::unknown(guessing, sender, parties(events))).collect();
        Self::look_up(guessing, &mut codes).await?;
        Ok(codes)
    }

    fn unknown(guessing: &'a Guessing, sender: &Sender, parties: impl Iterator<Item = &'a GivenParty>) -> Self {
        let mut access_tokens = HashMap::new();
        let mut is_any = false;
        for party in parties.filter(|party| party.by.is_code()) {
            is_any = true;
            if let PartyBy::PassCode { identifier, .. } = &party.by {
                let subject = || guessing.access_token(sender.organisation_id, identifier);
                access_tokens.entry(identifier.as_str()).or_insert_with(subject);
            }
        }
        Self {
            guessing,
            caller: guessing.caller(sender.organisation_id, &sender.user_id),
            access_tokens,
            known: History::default(),
            told: HashSet::new(),
            end: usize::MAX,
            ends: HashMap::new(),
            wait_at_end: Wait::default(),
            is_counted: !is_any,
        }
    }

    /// One statement, and none where there is no code.
    async fn look_up(guessing: &Guessing, of_calls: &mut [Self]) -> Result<()> {
        let with_codes = of_calls.iter().filter(|codes| !codes.is_counted);
        let mut subjects: Vec<Subject> =
            with_codes.flat_map(|codes| codes.access_tokens.values().chain([&codes.caller])).copied().collect();
        if subjects.is_empty() {
            return Ok(());
        }
        let mut asked = HashSet::new();
        subjects.retain(|subject| asked.insert(*subject));
        let known = guessing.look_up(&subjects).await?;
        for codes in of_calls.iter_mut().filter(|codes| !codes.is_counted) {
            codes.known = known.clone();
            if let Some(wait) = known.wait(codes.caller) {
                (codes.end, codes.wait_at_end) = (0, wait);
            }
        }
        Ok(())
    }

    /// How long the event at that position has to wait, whatever its codes are.
    pub fn wait_of(&self, position: usize, event: &CheckedEvent) -> Option<Wait> {
        event.codes().filter_map(|party| self.wait_of_party(position, party)).max()
    }

    pub fn wait_of_party(&self, position: usize, party: &GivenParty) -> Option<Wait> {
        if position >= self.end {
            return Some(self.wait_at_end);
        }
        let access_token = self.access_token(&party.by)?;
        let is_past_end = self.ends.get(&access_token).is_some_and(|end| position >= *end);
        if is_past_end { Some(self.wait_at_end) } else { self.known.wait(access_token) }
    }

    fn access_token(&self, by: &PartyBy) -> Option<Subject> {
        match by {
            PartyBy::PassCode { identifier, .. } => self.access_tokens.get(identifier.as_str()).copied(),
            _ => None,
        }
    }

    /// Whether the wrong codes of the call are counted, or there is no code.
    pub fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// Counts the wrong codes that are about to be told, once in a call. They are given in the order of their events,
    /// each with its position. Where others have counted so much meanwhile that the caller has to wait, nothing is told.
    pub async fn count(&mut self, wrong: impl Iterator<Item = (usize, &'a PartyBy)>) -> Result<()> {
        if std::mem::replace(&mut self.is_counted, true) {
            return Ok(());
        }
        let mut of_access_tokens: HashMap<Subject, u32> = HashMap::new();
        for (position, by) in wrong {
            if self.told.contains(by) {
                continue;
            }
            if self.told.len() == self.known.left(self.caller) {
                self.end = position;
                break;
            }
            if let Some(access_token) = self.access_token(by) {
                let count = of_access_tokens.entry(access_token).or_default();
                if *count as usize == self.known.left(access_token) {
                    self.ends.entry(access_token).or_insert(position);
                    continue;
                }
                *count += 1;
            }
            self.told.insert(by);
        }
        if let Err(wait) = self.store(of_access_tokens).await? {
            self.told.clear();
            (self.end, self.wait_at_end) = (0, wait);
        }
        Ok(())
    }

    async fn store(&mut self, of_access_tokens: HashMap<Subject, u32>) -> Result<Result<(), Wait>> {
        let mut failures: Vec<(Subject, u32)> = of_access_tokens.into_iter().collect();
        if !self.told.is_empty() {
            failures.push((self.caller, self.told.len() as u32));
            match self.guessing.count(&failures, &self.known).await? {
                Ok(wait) => self.wait_at_end = wait.unwrap_or_default().max(self.wait_at_end),
                Err(wait) => return Ok(Err(wait)),
            }
        }
        // What is right is told too, so those of whom nothing was counted must not have to wait by now. Of those who had to
        // before, nothing is told.
        let others = self.access_tokens.values().chain([&self.caller]).copied();
        let others = others.filter(|subject| self.known.knows(*subject) && self.known.wait(*subject).is_none());
        let others: Vec<Subject> =
            others.filter(|subject| failures.iter().all(|(counted, _)| counted != subject)).collect();
        if others.is_empty() { Ok(Ok(())) } else { self.guessing.confirm(&others).await }
    }

    /// Counts what of the outcomes tells of wrong codes, and takes from them what must not be told. A code that an import
    /// has made wrong since the others were counted was right when they were: to tell that costs nothing.
    pub async fn withhold<T>(
        &mut self,
        events: &[(usize, &'a CheckedEvent)],
        outcomes: &mut [Result<T, Vec<Violation>>],
    ) -> Result<()> {
        let wrong = events.iter().zip(outcomes.iter()).flat_map(|((position, event), outcome)| {
            let violations = outcome.as_ref().err();
            wrong_codes(event, violations.map_or(&[], Vec::as_slice)).map(|by| (*position, by))
        });
        let wrong: Vec<(usize, &PartyBy)> = wrong.collect();
        self.count(wrong.into_iter()).await?;
        for ((position, event), outcome) in events.iter().zip(outcomes) {
            if let Some(wait) = self.wait_of(*position, event) {
                let mut violations = outcome.as_mut().err().map(std::mem::take).unwrap_or_default();
                violations.retain(|violation| violation.kind != ViolationKind::InvalidAccessToken);
                violations.push(Violation::too_many_wrong_codes(wait));
                *outcome = Err(violations);
            }
        }
        Ok(())
    }

    /// Refuses a call of which nothing can be told.
    pub fn refusal(wait: Wait) -> Error {
        wait.refusal("Too many wrong codes were given")
    }

    /// How long a call has to wait of none of whose events anything can be told.
    pub fn wait_of_all<'e>(&self, events: impl Iterator<Item = Option<&'e CheckedEvent>>) -> Option<Wait> {
        let mut longest = None;
        for (position, event) in events.enumerate() {
            longest = longest.max(Some(self.wait_of(position, event?)?));
        }
        longest
    }
}

/// The codes of the event that are wrong.
fn wrong_codes<'e>(event: &'e CheckedEvent, violations: &[Violation]) -> impl Iterator<Item = &'e PartyBy> {
    let is_wrong = |party: &&GivenParty| {
        let field = party.path();
        violations
            .iter()
            .any(|violation| violation.kind == ViolationKind::InvalidAccessToken && violation.field == field)
    };
    event.codes().filter(is_wrong).map(|party| &party.by)
}
