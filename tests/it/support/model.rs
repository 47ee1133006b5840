//! The rules as a model tells them that knows no batch, no look-up and no database: one event after another, each judged
//! by all that were created before it.

use std::collections::HashMap;

use super::small_world::{Fault, PARTIES, Sent};

/// All that was created, in order, and whose one-time password was used by which of them.
#[derive(Clone, Default)]
pub struct Model {
    pub created: Vec<Sent>,
    used: HashMap<usize, usize>,
}

impl Model {
    /// What becomes of each event of a call: its position among those created, or the error's code.
    pub fn call(&mut self, events: &[Sent]) -> Vec<Result<usize, String>> {
        let shared = events.iter().filter(|event| event.shares_identifier).count() > 1;
        let event = |event: &Sent| self.event(event, shared && event.shares_identifier).map_err(str::to_owned);
        events.iter().map(event).collect()
    }

    /// The same of a call that creates all of its events or none: where one fails, those that would be new do, too.
    pub fn all_or_nothing(&mut self, events: &[Sent]) -> Vec<Result<usize, String>> {
        let before = self.clone();
        let outcomes = self.call(events);
        if outcomes.iter().all(Result::is_ok) {
            return outcomes;
        }
        *self = before;
        let is_there = |position: usize| position < self.created.len();
        let abandoned = |outcome: Result<usize, String>| match outcome {
            Ok(position) if !is_there(position) => Err("NotAttempted".to_owned()),
            outcome => outcome,
        };
        outcomes.into_iter().map(abandoned).collect()
    }

    fn event(&mut self, event: &Sent, shares: bool) -> Result<usize, &'static str> {
        if event.fault == Some(Fault::NoDate) {
            return Err("MissingMandatoryAttribute");
        }
        if shares {
            return Err("DuplicateRequestUniqueIdentifier");
        }
        match event.fault {
            Some(Fault::NoSuchUnit) => return Err("UnitNotFound"),
            Some(Fault::NoSuchReferrer) => return Err("RewardsParticipantNotFound"),
            Some(Fault::WrongCode) => return Err("InvalidAccessToken"),
            _ => {}
        }
        let first =
            self.created.iter().position(|other| event.reference.is_some() && other.reference == event.reference);
        if let Some(first) = first {
            let of_first = |party: &usize| self.used.get(party).is_none_or(|user| *user == first);
            if self.same_content(event, first) && event.passwords().iter().all(of_first) {
                return Ok(first);
            }
        }
        if event.passwords().iter().any(|party| self.used.contains_key(party)) {
            return Err("InvalidAccessToken");
        }
        if event.fault == Some(Fault::PlacesDisagree) {
            return Err("PerformedByMismatch");
        }
        if event.referred == PARTIES - 1 || event.referrer == PARTIES - 1 {
            return Err("AccountsReceivableNotActive");
        }
        if first.is_some() {
            return Err("ExternalReferenceConflict");
        }
        if event.referred == event.referrer {
            return Err("SelfReferral");
        }
        if let Some(other) = self.created.iter().find(|other| other.referred == event.referred) {
            let same = other.referrer == event.referrer;
            return Err(if same { "ReferralAlreadyExists" } else { "ReferredByAnotherParticipant" });
        }
        if self.leads_up_to(event.referrer, event.referred) {
            return Err("CircularReferral");
        }
        let position = self.created.len();
        self.created.push(event.clone());
        self.used.extend(event.passwords().into_iter().map(|party| (party, position)));
        Ok(position)
    }

    fn same_content(&self, event: &Sent, first: usize) -> bool {
        let first = &self.created[first];
        let parties = |event: &Sent| (event.referred, event.referrer);
        parties(event) == parties(first) && event.description == first.description && event.fault == first.fault
    }

    fn leads_up_to(&self, from: usize, to: usize) -> bool {
        let up = self.created.iter().filter(|event| event.referred == from);
        from == to || up.into_iter().any(|event| self.leads_up_to(event.referrer, to))
    }
}
