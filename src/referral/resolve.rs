//! From the names that events give to the rows of the directory: all names of a call at once.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr};

use super::{
    event::{CheckedEvent, Details},
    find_parties::{PARTY_STATEMENTS, find_parties},
    given::{EntryField, EntryKind, GivenEntry, GivenParty, PartyBy, PartyKind},
    rules::{
        content::{ContentHash, content_hash},
        performed_by::{self, NamedPlaces, PerformedBy},
    },
    violation::Violation,
};
use crate::{
    id::{AccessTokenKey, AccountKey, EntryKey, EventNumber, OrganisationId},
    secret::{CodeHasher, Hashes},
    storage::{
        Versioned,
        access_tokens::{StaleCode, StaleHash},
        directory_entries::{self, Entry, EntryColumn},
        parties::{self, AccessToken, Party},
    },
};

/// An event whose identifiers are resolved.
#[derive(Debug)]
pub struct ResolvedEvent<'a> {
    /// Which event of the call.
    pub position: usize,
    pub classification_key: Option<EntryKey>,
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
    pub fn live_passwords(&self) -> impl Iterator<Item = (AccessTokenKey, &str)> {
        let live = self.one_time_passwords().filter(|password| password.used_by.is_none());
        live.map(|password| (password.access_token_key, password.hash.as_str()))
    }
}

/// A party that was found.
#[derive(Debug)]
pub struct ResolvedParty<'a> {
    pub account_key: AccountKey,
    /// How the event names it.
    pub given: &'a GivenParty,
    /// Why it may not take part, if so.
    pub inactive: Vec<Violation>,
    /// The one-time password that identified it, if one did.
    pub one_time_password: Option<OneTimePassword>,
    /// The code that identified it, where it is stored by the hash of an older key.
    pub stale: Option<Box<StaleHash>>,
}

impl ResolvedParty<'_> {
    pub fn is_by_used_password(&self) -> bool {
        self.one_time_password.as_ref().is_some_and(|password| password.used_by.is_some())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTimePassword {
    pub access_token_key: AccessTokenKey,
    /// What it was found by. Its access token may have been given another password since.
    pub hash: String,
    /// What it is to be stored as.
    pub new_hash: String,
    /// The number of the event that used it up already.
    pub used_by: Option<EventNumber>,
}

/// What events were resolved to, in their order, each by itself.
pub struct Resolved<'a> {
    pub events: Vec<Result<ResolvedEvent<'a>, Vec<Violation>>>,
    /// The versions of the directory that it is from.
    pub directory_versions: Vec<i64>,
}

/// Resolves the events, each with its position in the call; a constant number of statements, at once where `connection`
/// is a pool. `now` decides which access tokens are effective.
pub async fn resolve<'a, C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    hasher: &CodeHasher,
    events: &[(usize, &'a CheckedEvent)],
    now: DateTime<Utc>,
) -> Result<Resolved<'a>, DbErr> {
    let entries = events.iter().flat_map(|(_, event)| event.entries());
    let parties = events.iter().flat_map(|(_, event)| [&event.referred, &event.referred_by]);
    let (entries, parties) = tokio::try_join!(
        find_entries(connection, organisation_id, entries),
        find_parties(connection, organisation_id, hasher, parties, PARTY_STATEMENTS),
    )?;
    let directory_versions = entries.version.into_iter().chain(parties.versions.iter().copied()).collect();
    let resolver = Resolver { organisation_id, hasher, entries: entries.found, now };
    let mut parties = parties.of_each();
    let mut party = || parties.next().unwrap_or_default();
    let events = events.iter().map(|(position, event)| resolver.event(*position, event, party(), party())).collect();
    Ok(Resolved { events, directory_versions })
}

/// The entries that are there, by how they were given.
pub type Entries<'a> = HashMap<&'a GivenEntry, Entry>;

/// Looks up entries, in one statement.
pub async fn find_entries<'a, C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    given: impl Iterator<Item = &'a GivenEntry>,
) -> Result<Versioned<Entries<'a>>, DbErr> {
    let mut entries: HashMap<&GivenEntry, Option<Entry>> = given.map(|entry| (entry, None)).collect();
    let asked: Vec<(&GivenEntry, EntryColumn)> =
        entries.keys().filter_map(|entry| Some((*entry, column_of(entry)?))).collect();
    let names: Vec<(EntryColumn, &str)> = asked.iter().map(|(entry, column)| (*column, entry.value.as_str())).collect();
    let Versioned { found, version } =
        directory_entries::find_many_by_name(connection, organisation_id, &names).await?;
    for ((given, _), entry) in asked.into_iter().zip(found) {
        entries.insert(given, entry);
    }
    let found = entries.into_iter().filter_map(|(given, entry)| Some((given, entry?))).collect();
    Ok(Versioned { found, version })
}

fn column_of(entry: &GivenEntry) -> Option<EntryColumn> {
    Some(match (entry.kind, entry.by) {
        (EntryKind::BusinessUnit, EntryField::Id) => EntryColumn::BusinessUnitId,
        (EntryKind::BusinessUnit, EntryField::Name) => EntryColumn::BusinessUnitName,
        (EntryKind::BusinessUnit, EntryField::Code) => EntryColumn::BusinessUnitCode,
        (EntryKind::Unit, EntryField::Id) => EntryColumn::UnitId,
        (EntryKind::Unit, EntryField::Name) => EntryColumn::UnitName,
        (EntryKind::Unit, EntryField::Code) => EntryColumn::UnitAlternativeCode,
        (EntryKind::Tap, EntryField::Id) => EntryColumn::TapId,
        (EntryKind::Tap, EntryField::Name) => EntryColumn::TapName,
        (EntryKind::Tap, EntryField::Code) => EntryColumn::TapCode,
        (EntryKind::Device, EntryField::Id) => EntryColumn::DeviceId,
        (EntryKind::Device, EntryField::Code) => EntryColumn::DeviceCode,
        (EntryKind::Classification, EntryField::Id) => EntryColumn::ClassificationId,
        (EntryKind::Classification, EntryField::Name) => EntryColumn::ClassificationName,
        (EntryKind::Classification, EntryField::Code) => EntryColumn::ClassificationAlternativeCode,
        // Devices have no names.
        (EntryKind::Device, EntryField::Name) => return None,
    })
}

pub struct Resolver<'a> {
    pub organisation_id: OrganisationId,
    pub hasher: &'a CodeHasher,
    pub entries: Entries<'a>,
    pub now: DateTime<Utc>,
}

impl Resolver<'_> {
    fn event<'e>(
        &self,
        position: usize,
        event: &'e CheckedEvent,
        referred: &[Party],
        referred_by: &[Party],
    ) -> Result<ResolvedEvent<'e>, Vec<Violation>> {
        let mut violations = Vec::new();
        let mut entry = |given: &Option<GivenEntry>| {
            let given = given.as_ref()?;
            let entry = self.entries.get(given).copied();
            if entry.is_none() {
                violations.push(Violation::entry_not_found(given));
            }
            entry
        };
        let classification = entry(&event.classification);
        let named = NamedPlaces {
            business_unit: entry(&event.performed_by_business_unit),
            unit: entry(&event.performed_by_unit),
            tap: entry(&event.performed_by_tap),
            device: entry(&event.performed_by_device),
        };
        let (performed_by, mismatch) = match performed_by::derive(named) {
            Ok(performed_by) => (performed_by, None),
            Err(performed_by::Mismatch) => {
                let place = event.entries().find(|given| given.kind != EntryKind::Classification);
                let field = place.map(GivenEntry::path);
                (PerformedBy::default(), Some(Violation::performed_by_mismatch(&field.unwrap_or_default())))
            }
        };
        let mut party = |key, found| self.party(key, found).map_err(|violation| violations.push(violation)).ok();
        let (referred, referred_by) = (party(&event.referred, referred), party(&event.referred_by, referred_by));
        let (Some(referred), Some(referred_by), true) = (referred, referred_by, violations.is_empty()) else {
            return Err(violations);
        };
        let key = |entry: Option<Entry>| entry.map(|entry| entry.key);
        let named_keys =
            [key(classification), key(named.business_unit), key(named.unit), key(named.tap), key(named.device)];
        let content_hash = event
            .details
            .external_reference()
            .map(|_| content_hash(named_keys, [referred.account_key, referred_by.account_key], &event.details));
        Ok(ResolvedEvent {
            position,
            classification_key: key(classification),
            performed_by,
            mismatch,
            referred,
            referred_by,
            details: &event.details,
            content_hash,
        })
    }

    pub fn party<'e>(&self, given: &'e GivenParty, found: &[Party]) -> Result<ResolvedParty<'e>, Violation> {
        let Identified { party, one_time_password, stale } = match &given.by {
            PartyBy::Id(_) | PartyBy::Number(_) => Identified::plainly(found.first().ok_or_else(|| not_found(given))?),
            _ => self.identified(given, found).ok_or_else(|| Violation::invalid_access_token(&given.path()))?,
        };
        let mut inactive = Vec::new();
        if !party.is_account_active {
            inactive.push(Violation::accounts_receivable_not_active(&given.path(), &given.label()));
        }
        if !party.is_participant_effective {
            inactive.push(Violation::rewards_participant_not_effective(&given.path(), &given.label()));
        }
        Ok(ResolvedParty { account_key: party.account_key, given, inactive, one_time_password, stale })
    }

    /// The party that an access token identifies.
    fn identified<'p>(&self, given: &GivenParty, found: &'p [Party]) -> Option<Identified<'p>> {
        let mut effective = found.iter().filter_map(|party| {
            let token = party.token.as_ref()?;
            self.is_effective(token).then_some((party, token))
        });
        match &given.by {
            PartyBy::PassCode { pass_code, .. } => {
                // Hashed whether or not the token exists, so that both take the same time.
                let token_id = found.first().and_then(|party| party.token.as_ref()).map_or("", |token| &token.id);
                let hashes = self.hasher.pass_code(self.organisation_id, token_id, pass_code);
                let (party, token) = effective
                    .find(|(_, token)| token.pass_code_hash.as_ref().is_some_and(|stored| hashes.have(stored)))?;
                let is_old = token.pass_code_hash.as_ref() != Some(&hashes.first);
                let stale = is_old.then(|| stale(token, StaleCode::PassCode, hashes)).flatten();
                Some(Identified { party, one_time_password: None, stale })
            }
            PartyBy::OneTimePassword(password) => effective
                .filter(|(_, token)| {
                    let expired = token.one_time_password_expires_on.is_some_and(|end| end < self.now);
                    token.one_time_password_used_by.is_some() || !expired
                })
                // One that can still be used comes first, then the one that was used last.
                .max_by_key(|(_, token)| (token.is_one_time_password_live, token.one_time_password_used_by))
                .map(|(party, token)| {
                    let hashes = self.hasher.one_time_password(self.organisation_id, password);
                    let old_hash = hashes.second.filter(|_| token.is_by_old_hash);
                    let one_time_password = OneTimePassword {
                        access_token_key: token.key,
                        hash: old_hash.unwrap_or_else(|| hashes.first.clone()),
                        new_hash: hashes.first,
                        used_by: token.one_time_password_used_by,
                    };
                    Identified { party, one_time_password: Some(one_time_password), stale: None }
                }),
            PartyBy::AuthenticationCode(code) => effective.next().map(|(party, token)| {
                let hashes = || self.hasher.authentication_code(self.organisation_id, code);
                let is_old = token.is_by_old_hash;
                let stale = is_old.then(|| stale(token, StaleCode::AuthenticationCode, hashes())).flatten();
                Identified { party, one_time_password: None, stale }
            }),
            PartyBy::Id(_) | PartyBy::Number(_) => effective.next().map(|(party, _)| Identified::plainly(party)),
        }
    }

    fn is_effective(&self, token: &AccessToken) -> bool {
        token.state == parties::EFFECTIVE
            && token.effective_from.is_none_or(|from| from <= self.now)
            && token.effective_to.is_none_or(|to| self.now <= to)
    }
}

/// A party that was identified, and by what.
struct Identified<'p> {
    party: &'p Party,
    /// The one-time password, where it took one.
    one_time_password: Option<OneTimePassword>,
    /// The code, where it is stored by the hash of an older key.
    stale: Option<Box<StaleHash>>,
}

impl<'p> Identified<'p> {
    fn plainly(party: &'p Party) -> Self {
        Self { party, one_time_password: None, stale: None }
    }
}

fn stale(token: &AccessToken, code: StaleCode, hashes: Hashes) -> Option<Box<StaleHash>> {
    let Hashes { first: new_hash, second } = hashes;
    Some(Box::new(StaleHash { access_token_key: token.key, code, hash: second?, new_hash }))
}

fn not_found(given: &GivenParty) -> Violation {
    match given.kind {
        PartyKind::AccountsReceivable => Violation::accounts_receivable_not_found(&given.path(), &given.label()),
        PartyKind::RewardsParticipant => Violation::rewards_participant_not_found(&given.path(), &given.label()),
    }
}
