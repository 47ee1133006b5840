//! From the names that events give to the rows of the directory: all names of a call at once.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use sea_orm::{ConnectionTrait, DbErr};

use super::{
    content::{ContentHash, content_hash},
    event::{CheckedEvent, Details, PartyBy, PartyKey, PartyKind},
    interrupted::Interrupted,
    performed_by::{self, NamedPlaces, PerformedBy},
    validate::place_field,
    violation::Violation,
};
use crate::{
    secret::{CodeHasher, equal_in_constant_time},
    storage::{
        parties::{self, Party, PartyColumn, PartyName, Token},
        places::{self, Place, PlaceName},
    },
};

/// An event whose identifiers are resolved.
#[derive(Debug)]
pub struct ResolvedEvent<'a> {
    pub classification_key: Option<i64>,
    pub performed_by: PerformedBy,
    /// That its places disagree, if they do. A one-time password that was used is told before, which the judge knows.
    pub mismatch: Option<Violation>,
    pub referred: ResolvedParty<'a>,
    pub referred_by: ResolvedParty<'a>,
    pub details: &'a Details,
    /// Present where there is an external reference.
    pub content_hash: Option<ContentHash>,
}

impl ResolvedEvent<'_> {
    /// The one-time passwords that identified its parties.
    pub fn one_time_passwords(&self) -> impl Iterator<Item = &OneTimePassword> {
        [&self.referred, &self.referred_by].into_iter().filter_map(|party| party.one_time_password.as_ref())
    }

    /// Those of them that were not used yet: the key of each one's access token, and its hash.
    pub fn live_passwords(&self) -> impl Iterator<Item = (i64, &str)> {
        let live = self.one_time_passwords().filter(|password| password.used_by.is_none());
        live.map(|password| (password.access_token_key, password.hash.as_str()))
    }
}

/// A party that was found.
#[derive(Debug)]
pub struct ResolvedParty<'a> {
    pub account_key: i64,
    /// How the event names it.
    pub key: &'a PartyKey,
    /// Why it may not take part, if so.
    pub inactive: Vec<Violation>,
    /// The one-time password that identified it, if one did.
    pub one_time_password: Option<OneTimePassword>,
}

impl ResolvedParty<'_> {
    pub fn is_by_used_password(&self) -> bool {
        self.one_time_password.as_ref().is_some_and(|password| password.used_by.is_some())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTimePassword {
    pub access_token_key: i64,
    /// What it was found by. Its access token may have been given another password since.
    pub hash: String,
    /// The number of the event that used it up already.
    pub used_by: Option<i64>,
}

/// What events were resolved to, in their order, each by itself.
pub struct Resolved<'a> {
    pub events: Vec<Result<ResolvedEvent<'a>, Vec<Violation>>>,
    /// The version of the directory that all of it is from.
    pub directory_version: Option<i64>,
}

/// Resolves the events; a constant number of statements, at once where `connection` is a pool. `now` decides which
/// access tokens are effective.
pub async fn resolve<'a, C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    hasher: &CodeHasher,
    events: &[(usize, &'a CheckedEvent)],
    now: DateTime<Utc>,
) -> Result<Resolved<'a>, Interrupted> {
    let names: HashSet<&PlaceName> = events.iter().flat_map(|(_, event)| event.places()).collect();
    let keys = events.iter().flat_map(|(_, event)| [&event.referred, &event.referred_by]);
    let (places, parties) = tokio::try_join!(
        places::find_many_by_name(connection, organisation_id, &names),
        find_parties(connection, organisation_id, hasher, keys, PARTY_STATEMENTS),
    )?;
    let mut versions = [places.version].into_iter().chain(parties.versions.iter().copied()).flatten();
    let directory_version = versions.next();
    if versions.any(|version| Some(version) != directory_version) {
        return Err(Interrupted::DirectoryChanged);
    }
    let resolver = Resolver { organisation_id, hasher, places: places.found, now };
    let mut parties = parties.of_each();
    let mut party = || parties.next().unwrap_or_default();
    let events = events.iter().map(|(_, event)| resolver.event(event, party(), party())).collect();
    Ok(Resolved { events, directory_version })
}

/// What keys lead to.
pub struct Parties {
    /// What each name leads to, of which there are fewer than keys.
    found: Vec<Vec<Party>>,
    /// The position of each key's name.
    named: Vec<usize>,
    /// The versions of the directory that they are from.
    versions: Vec<Option<i64>>,
}

impl Parties {
    /// The parties that each key leads to, in the order of the keys.
    pub fn of_each(&self) -> impl Iterator<Item = &[Party]> {
        self.named.iter().map(|index| self.found[*index].as_slice())
    }
}

/// In how many statements the parties of a call are looked up at once, an equal part in each: reading their names from
/// the indexes is what takes the time, and the database has more than one core.
const PARTY_STATEMENTS: usize = 2;

/// Looks up what the keys lead to, in so many statements at once.
pub async fn find_parties<'a, C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    hasher: &CodeHasher,
    keys: impl Iterator<Item = &'a PartyKey>,
    statements: usize,
) -> Result<Parties, DbErr> {
    let mut indexes = HashMap::new();
    let named: Vec<usize> = keys
        .map(|key| {
            let next = indexes.len();
            *indexes.entry(name_of(key, organisation_id, hasher)).or_insert(next)
        })
        .collect();
    let mut names: Vec<(PartyName, usize)> = indexes.into_iter().collect();
    names.sort_unstable_by_key(|(_, index)| *index);
    let names: Vec<&PartyName> = names.iter().map(|(name, _)| name).collect();
    let parts = names.chunks(names.len().div_ceil(statements).max(1));
    let parts = parts.map(|names| parties::find_many_by_name(connection, organisation_id, names));
    let mut found = Vec::with_capacity(names.len());
    let mut versions = Vec::new();
    for part in try_join_all(parts).await? {
        found.extend(part.found);
        versions.push(part.version);
    }
    // An accounts receivable identifier that names no account may name its participant.
    let (missing, by_participant): (Vec<usize>, Vec<PartyName>) = (0..names.len())
        .filter(|index| found[*index].is_empty())
        .filter_map(|index| Some((index, participants_name(names[index])?)))
        .unzip();
    let by_participant: Vec<&PartyName> = by_participant.iter().collect();
    let participants = parties::find_many_by_name(connection, organisation_id, &by_participant).await?;
    for (index, parties) in missing.into_iter().zip(participants.found) {
        found[index] = parties;
    }
    versions.push(participants.version);
    Ok(Parties { found, named, versions })
}

/// What to look for first.
fn name_of(key: &PartyKey, organisation_id: i64, hasher: &CodeHasher) -> PartyName {
    let (column, value) = match (&key.by, key.kind) {
        (PartyBy::Id(id), PartyKind::AccountsReceivable) => (PartyColumn::AccountId, id.clone()),
        (PartyBy::Id(id), PartyKind::RewardsParticipant) => (PartyColumn::ParticipantId, id.clone()),
        (PartyBy::Number(number), PartyKind::AccountsReceivable) => (PartyColumn::AccountNumber, number.clone()),
        (PartyBy::Number(number), PartyKind::RewardsParticipant) => (PartyColumn::ParticipantNumber, number.clone()),
        (PartyBy::AuthenticationCode(code), _) => {
            (PartyColumn::AuthenticationCodeHash, hasher.authentication_code(organisation_id, code))
        }
        (PartyBy::PassCode { identifier, .. }, _) => (PartyColumn::TokenIdentifier, identifier.clone()),
        (PartyBy::OneTimePassword(password), _) => {
            (PartyColumn::OneTimePasswordHash, hasher.one_time_password(organisation_id, password))
        }
    };
    PartyName { column, value }
}

/// An accounts receivable identifier that names no account may name its participant.
fn participants_name(name: &PartyName) -> Option<PartyName> {
    let column = match name.column {
        PartyColumn::AccountId => PartyColumn::ParticipantId,
        PartyColumn::AccountNumber => PartyColumn::ParticipantNumber,
        _ => return None,
    };
    Some(PartyName { column, value: name.value.clone() })
}

pub struct Resolver<'a> {
    pub organisation_id: i64,
    pub hasher: &'a CodeHasher,
    pub places: HashMap<PlaceName, Place>,
    pub now: DateTime<Utc>,
}

impl Resolver<'_> {
    fn event<'e>(
        &self,
        event: &'e CheckedEvent,
        referred: &[Party],
        referred_by: &[Party],
    ) -> Result<ResolvedEvent<'e>, Vec<Violation>> {
        let mut violations = Vec::new();
        let mut place = |name: &Option<PlaceName>| {
            let name = name.as_ref()?;
            let place = self.places.get(name).copied();
            if place.is_none() {
                violations.push(Violation::place_not_found(name.kind, &place_field(name), &name.value));
            }
            place
        };
        let classification = place(&event.classification);
        let named = NamedPlaces {
            business_unit: place(&event.performed_by_business_unit),
            unit: place(&event.performed_by_unit),
            tap: place(&event.performed_by_tap),
            device: place(&event.performed_by_device),
        };
        let (performed_by, mismatch) = match performed_by::derive(named) {
            Ok(performed_by) => (performed_by, None),
            Err(performed_by::Mismatch) => {
                let field = event.places().find(|name| Some(*name) != event.classification.as_ref()).map(place_field);
                (PerformedBy::default(), Some(Violation::performed_by_mismatch(&field.unwrap_or_default())))
            }
        };
        let mut party = |key, found| self.party(key, found).map_err(|violation| violations.push(violation)).ok();
        let (referred, referred_by) = (party(&event.referred, referred), party(&event.referred_by, referred_by));
        let (Some(referred), Some(referred_by), true) = (referred, referred_by, violations.is_empty()) else {
            return Err(violations);
        };
        let key = |place: Option<Place>| place.map(|place| place.key);
        let named_keys =
            [key(classification), key(named.business_unit), key(named.unit), key(named.tap), key(named.device)];
        let content_hash = event
            .details
            .external_reference()
            .map(|_| content_hash(named_keys, [referred.account_key, referred_by.account_key], &event.details));
        Ok(ResolvedEvent {
            classification_key: key(classification),
            performed_by,
            mismatch,
            referred,
            referred_by,
            details: &event.details,
            content_hash,
        })
    }

    pub fn party<'e>(&self, key: &'e PartyKey, found: &[Party]) -> Result<ResolvedParty<'e>, Violation> {
        let (party, one_time_password) = match &key.by {
            PartyBy::Id(_) | PartyBy::Number(_) => (found.first().ok_or_else(|| not_found(key))?, None),
            _ => self.identified(key, found).ok_or_else(|| Violation::invalid_access_token(&key.field()))?,
        };
        let mut inactive = Vec::new();
        if !party.is_account_active {
            inactive.push(Violation::accounts_receivable_not_active(&key.field(), &key.label()));
        }
        if !party.is_participant_effective {
            inactive.push(Violation::rewards_participant_not_effective(&key.field(), &key.label()));
        }
        Ok(ResolvedParty { account_key: party.account_key, key, inactive, one_time_password })
    }

    /// The party that an access token identifies, and the one-time password where it took one.
    fn identified<'p>(&self, key: &PartyKey, found: &'p [Party]) -> Option<(&'p Party, Option<OneTimePassword>)> {
        let mut effective = found.iter().filter_map(|party| {
            let token = party.token.as_ref()?;
            self.is_effective(token).then_some((party, token))
        });
        match &key.by {
            PartyBy::PassCode { pass_code, .. } => {
                // Hashed whether or not the token exists, so that both take the same time.
                let token_id = found.first().and_then(|party| party.token.as_ref()).map_or("", |token| &token.id);
                let hash = self.hasher.pass_code(self.organisation_id, token_id, pass_code);
                effective
                    .find(|(_, token)| {
                        token.pass_code_hash.as_ref().is_some_and(|stored| equal_in_constant_time(stored, &hash))
                    })
                    .map(|(party, _)| (party, None))
            }
            PartyBy::OneTimePassword(password) => effective
                .filter(|(_, token)| {
                    let expired = token.one_time_password_expires_on.is_some_and(|end| end < self.now);
                    token.one_time_password_used_by.is_some() || !expired
                })
                // One that can still be used comes first, then the one that was used last.
                .max_by_key(|(_, token)| (token.is_one_time_password_live, token.one_time_password_used_by))
                .map(|(party, token)| {
                    let hash = self.hasher.one_time_password(self.organisation_id, password);
                    let used_by = token.one_time_password_used_by;
                    (party, Some(OneTimePassword { access_token_key: token.key, hash, used_by }))
                }),
            _ => effective.next().map(|(party, _)| (party, None)),
        }
    }

    fn is_effective(&self, token: &Token) -> bool {
        token.state == parties::EFFECTIVE
            && token.effective_from.is_none_or(|from| from <= self.now)
            && token.effective_to.is_none_or(|to| self.now <= to)
    }
}

fn not_found(key: &PartyKey) -> Violation {
    match key.kind {
        PartyKind::AccountsReceivable => Violation::accounts_receivable_not_found(&key.field(), &key.label()),
        PartyKind::RewardsParticipant => Violation::rewards_participant_not_found(&key.field(), &key.label()),
    }
}
