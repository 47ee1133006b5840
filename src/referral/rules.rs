//! The rules between events, judged one event after another, each seeing those before it. Pure.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{
    resolve::{OneTimePassword, ResolvedEvent},
    violation::Violation,
};

/// What the database knows that matters to the events of a call.
#[derive(Debug, Default)]
pub struct Known {
    /// By whom accounts were referred. Holds the whole way up from every referrer, where a circle is possible.
    pub referrer_of: HashMap<i64, i64>,
    /// The events under the external references of the call.
    pub references: HashMap<(String, String), KnownEvent>,
}

#[derive(Clone, Debug)]
pub struct KnownEvent {
    pub id: Uuid,
    pub number: i64,
    pub content_hash: Vec<u8>,
}

/// What becomes of an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is created.
    Create,
    /// It was created before, by an earlier call.
    Existing {
        id: Uuid,
        number: i64,
    },
    /// It repeats an earlier event of this call, which stands at that position.
    Repeats {
        position: usize,
    },
    Refuse(Vec<Violation>),
}

/// Judges the events of one call in order.
pub struct Judge {
    known: Known,
    allow_circles: bool,
    /// The events of this call that are created, by external reference.
    created: HashMap<(String, String), (usize, Vec<u8>)>,
    /// The position of the event of this call that uses up the one-time password of an access token.
    used_passwords: HashMap<i64, usize>,
}

impl Judge {
    pub fn new(known: Known, allow_circles: bool) -> Self {
        Self { known, allow_circles, created: HashMap::new(), used_passwords: HashMap::new() }
    }

    /// Judges the event at `position`; one that is to be created is known to those judged after it.
    pub fn judge(&mut self, position: usize, event: &ResolvedEvent) -> Verdict {
        // Before all rules: the event's first sending would trip its repetition up.
        if let Some(verdict) = self.repetition(event) {
            return verdict;
        }
        let violations = self.violations(event);
        if !violations.is_empty() {
            return Verdict::Refuse(violations);
        }
        self.known.referrer_of.insert(event.referred.account_key, event.referred_by.account_key);
        if let (Some(reference), Some(hash)) = (owned_reference(event), &event.content_hash) {
            self.created.insert(reference, (position, hash.clone()));
        }
        for password in passwords(event) {
            self.used_passwords.insert(password.access_token_key, position);
        }
        Verdict::Create
    }

    /// Whether the event was sent before, by its external reference and content. A one-time password that its own
    /// first sending used up is no second use; one that another event used up, here or in the database, is.
    fn repetition(&self, event: &ResolvedEvent) -> Option<Verdict> {
        let reference = owned_reference(event)?;
        let hash = event.content_hash.as_ref()?;
        if let Some((position, created)) = self.created.get(&reference) {
            let own_passwords = passwords(event).all(|password| {
                let user = self.used_passwords.get(&password.access_token_key);
                password.used_by.is_none() && user.is_none_or(|user| user == position)
            });
            return (created == hash && own_passwords).then_some(Verdict::Repeats { position: *position });
        }
        let known = self.known.references.get(&reference)?;
        let own_passwords = passwords(event).all(|password| match password.used_by {
            Some(number) => number == known.number,
            None => !self.used_passwords.contains_key(&password.access_token_key),
        });
        let same = known.content_hash == *hash && own_passwords;
        same.then_some(Verdict::Existing { id: known.id, number: known.number })
    }

    fn violations(&self, event: &ResolvedEvent) -> Vec<Violation> {
        let (referred, referred_by) = (&event.referred, &event.referred_by);
        let mut violations = Vec::new();
        for party in [referred, referred_by] {
            let used_up = party.one_time_password.is_some_and(|password| {
                password.used_by.is_some() || self.used_passwords.contains_key(&password.access_token_key)
            });
            if used_up {
                violations.push(Violation::invalid_access_token(&party.field));
            }
            violations.extend(party.inactive.iter().cloned());
        }
        violations.extend(event.mismatch.clone());
        if let Some(reference) = owned_reference(event)
            && (self.created.contains_key(&reference) || self.known.references.contains_key(&reference))
        {
            violations.push(Violation::external_reference_conflict(&reference.1));
        }
        if referred.account_key == referred_by.account_key {
            violations.push(Violation::self_referral(&referred.field, &referred.label));
        }
        match self.known.referrer_of.get(&referred.account_key) {
            Some(referrer) if *referrer == referred_by.account_key => {
                violations.push(Violation::referral_already_exists(&referred.field, &referred.label));
            }
            Some(_) => violations.push(Violation::referred_by_another_participant(&referred.field, &referred.label)),
            None if self.closes_circle(referred.account_key, referred_by.account_key) => {
                violations.push(Violation::circular_referral(&referred.field, &referred.label));
            }
            None => {}
        }
        violations
    }

    /// Whether the way up from the referrer leads to the referred.
    fn closes_circle(&self, referred: i64, referrer: i64) -> bool {
        if self.allow_circles || referred == referrer {
            return false;
        }
        // Circles from a time when they were allowed must not hold the walk.
        let mut seen = HashSet::new();
        let mut account = referrer;
        while let Some(&next) = self.known.referrer_of.get(&account) {
            if next == referred {
                return true;
            }
            if !seen.insert(account) {
                return false;
            }
            account = next;
        }
        false
    }
}

fn owned_reference(event: &ResolvedEvent) -> Option<(String, String)> {
    event.details.external_reference().map(|(system, number)| (system.to_owned(), number.to_owned()))
}

fn passwords(event: &ResolvedEvent) -> impl Iterator<Item = OneTimePassword> {
    [&event.referred, &event.referred_by].into_iter().filter_map(|party| party.one_time_password)
}
