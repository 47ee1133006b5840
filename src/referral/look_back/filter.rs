//! Which events a list is of: as a caller sent it, checked, and with what it names looked up.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr};

use crate::{
    error::Result,
    guessing::Guessing,
    id::OrganisationId,
    referral::{
        codes::{Codes, Sender},
        event::{EntryIdentifier, Instant, PartyIdentifier, PartyIdentifiers},
        find_parties::find_parties,
        given::{EntryKind, GivenEntry, GivenParty, PartyBy, PartyRole},
        pages::{earliest, latest},
        resolve::{Entries, Resolver, find_entries},
        rules::validate::{Validator, given},
        violation::Violation,
    },
    secret::CodeHasher,
    storage::event_pages::EventFilter,
    text::shown_short,
};

/// A filter as it was sent: what is not given is met by every event.
#[derive(Debug, Default)]
pub struct FilterRequest {
    pub referred: PartyIdentifiers,
    pub referred_by: PartyIdentifiers,
    pub referred_or_referred_by: PartyIdentifiers,
    pub classification: Option<EntryIdentifier>,
    pub performed_by_business_unit: Option<EntryIdentifier>,
    pub performed_by_unit: Option<EntryIdentifier>,
    pub performed_by_tap: Option<EntryIdentifier>,
    pub performed_by_device: Option<EntryIdentifier>,
    pub external_system: Option<String>,
    pub external_system_reference_number: Option<String>,
    pub life_cycle_state: Option<String>,
    pub request_id: Option<String>,
    pub created_by: Option<String>,
    pub cancelled_by: Option<String>,
    pub performed_on_from: Option<Instant>,
    pub performed_on_to: Option<Instant>,
    pub created_on_from: Option<Instant>,
    pub created_on_to: Option<Instant>,
}

/// A well-formed filter, whose identifiers are not yet resolved.
#[derive(Debug)]
pub struct CheckedFilter {
    referred: Option<GivenParty>,
    referred_by: Option<GivenParty>,
    referred_or_referred_by: Option<GivenParty>,
    classification: Option<GivenEntry>,
    performed_by_business_unit: Option<GivenEntry>,
    performed_by_unit: Option<GivenEntry>,
    performed_by_tap: Option<GivenEntry>,
    performed_by_device: Option<GivenEntry>,
    /// The filter as far as it names nothing.
    rest: EventFilter,
}

impl FilterRequest {
    /// What is wrong with it goes to the validator.
    pub fn check(self, validator: &mut Validator) -> CheckedFilter {
        use EntryKind::{BusinessUnit, Classification, Device, Tap, Unit};
        let mut external_system = given(self.external_system);
        validator.optional_text("external_system", external_system.as_deref());
        let reference = given(self.external_system_reference_number);
        validator.optional_text("external_system_reference_number", reference.as_deref());
        if reference.is_some() {
            // The number names an event within its system; alone, among the events that have none.
            external_system.get_or_insert_default();
        }
        let mut text = |field: &str, value: Option<String>| {
            let value = given(value);
            validator.optional_text(field, value.as_deref());
            value
        };
        let request_id = text("request_id", self.request_id);
        let created_by = text("created_by", self.created_by);
        let cancelled_by = text("cancelled_by", self.cancelled_by);
        let in_force = given(self.life_cycle_state).and_then(|state| match state.as_str() {
            "POSTED" => Some(true),
            "CANCELLED" => Some(false),
            _ => {
                let description = format!("{} is neither POSTED nor CANCELLED", shown_short(&state));
                validator.violations.push(Violation::invalid_value("life_cycle_state", &description));
                None
            }
        });
        let rest = EventFilter {
            external_system,
            external_system_reference_number: reference,
            request_id,
            created_by,
            cancelled_by,
            in_force,
            performed_on_from: earliest(validator, "performed_on_from", self.performed_on_from),
            performed_on_to: latest(validator, "performed_on_to", self.performed_on_to),
            created_on_from: earliest(validator, "created_on_from", self.created_on_from),
            created_on_to: latest(validator, "created_on_to", self.created_on_to),
            ..EventFilter::default()
        };
        CheckedFilter {
            referred: party(validator, PartyRole::Referred, self.referred),
            referred_by: party(validator, PartyRole::ReferredBy, self.referred_by),
            referred_or_referred_by: party(validator, PartyRole::Either, self.referred_or_referred_by),
            classification: entry(validator, Classification, self.classification),
            performed_by_business_unit: entry(validator, BusinessUnit, self.performed_by_business_unit),
            performed_by_unit: entry(validator, Unit, self.performed_by_unit),
            performed_by_tap: entry(validator, Tap, self.performed_by_tap),
            performed_by_device: entry(validator, Device, self.performed_by_device),
            rest,
        }
    }
}

impl CheckedFilter {
    fn sides(&self) -> [&Option<GivenParty>; 3] {
        [&self.referred, &self.referred_by, &self.referred_or_referred_by]
    }

    /// The parties that it names.
    pub fn parties(&self) -> impl Iterator<Item = &GivenParty> {
        self.sides().into_iter().flatten()
    }
}

/// Looks up the codes of parties before anything else is, and counts those that are wrong. The refusal for a wrong one
/// is told only once it is counted.
pub async fn count_codes<'a, C: ConnectionTrait>(
    connection: &C,
    guessing: &'a Guessing,
    sender: &Sender,
    hasher: &CodeHasher,
    parties: impl Iterator<Item = &'a GivenParty>,
    now: DateTime<Utc>,
) -> Result<()> {
    let organisation_id = sender.organisation_id;
    let parties: Vec<&GivenParty> = parties.filter(|party| party.by.is_code()).collect();
    if parties.is_empty() {
        return Ok(());
    }
    let mut codes = Codes::of(guessing, sender, parties.iter().copied()).await?;
    let wait = |codes: &Codes<'_>| parties.iter().filter_map(|party| codes.wait_of_party(0, party)).max();
    if let Some(wait) = wait(&codes) {
        return Err(Codes::refusal(wait));
    }
    let found = find_parties(connection, organisation_id, hasher, parties.iter().copied(), 1).await?;
    let resolver = Resolver { organisation_id, hasher, entries: Entries::new(), now };
    let wrong = parties.iter().zip(found.of_each()).filter(|(given, found)| {
        let party = resolver.party(given, found);
        party.is_err() || party.is_ok_and(|party| party.is_by_used_password())
    });
    let wrong: Vec<(usize, &PartyBy)> = wrong.map(|(given, _)| (0, &given.by)).collect();
    codes.count(wrong.into_iter()).await?;
    wait(&codes).map_or(Ok(()), |wait| Err(Codes::refusal(wait)))
}

/// An identifier without anything in it filters nothing.
fn entry(validator: &mut Validator, kind: EntryKind, identifier: Option<EntryIdentifier>) -> Option<GivenEntry> {
    validator.entry(kind, identifier.filter(|identifier| !identifier.is_empty()))
}

fn party(validator: &mut Validator, role: PartyRole, identifiers: PartyIdentifiers) -> Option<GivenParty> {
    let given = |identifier: Option<Box<PartyIdentifier>>| identifier.filter(|identifier| !identifier.is_empty());
    let (accounts_receivable, rewards_participant) =
        (given(identifiers.accounts_receivable), given(identifiers.rewards_participant));
    let is_given = accounts_receivable.is_some() || rewards_participant.is_some();
    if is_given { validator.party(role, PartyIdentifiers { accounts_receivable, rewards_participant }) } else { None }
}

/// Looks up what the filter names. Parties need not be active: it is about what was.
pub async fn resolve<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    hasher: &CodeHasher,
    filter: CheckedFilter,
    now: DateTime<Utc>,
) -> Result<Result<EventFilter, Vec<Violation>>, DbErr> {
    let named = [
        &filter.classification,
        &filter.performed_by_business_unit,
        &filter.performed_by_unit,
        &filter.performed_by_tap,
        &filter.performed_by_device,
    ];
    let entries = find_entries(connection, organisation_id, named.into_iter().flatten()).await?.found;
    let parties = find_parties(connection, organisation_id, hasher, filter.parties(), 1).await?;
    let resolver = Resolver { organisation_id, hasher, entries, now };

    let mut violations = Vec::new();
    let [classification_key, business_unit_key, unit_key, tap_key, device_key] = named.map(|given| {
        let given = given.as_ref()?;
        let entry = resolver.entries.get(given);
        if entry.is_none() {
            violations.push(Violation::entry_not_found(given));
        }
        entry.map(|entry| entry.key)
    });
    let mut parties = parties.of_each();
    let [referred_account_key, referred_by_account_key, referred_or_referred_by_account_key] =
        filter.sides().map(|given| {
            let given = given.as_ref()?;
            match resolver.party(given, parties.next()?) {
                // A one-time password that was used identifies nobody any more.
                Ok(party) if party.is_by_used_password() => {
                    violations.push(Violation::invalid_access_token(&given.path()));
                    None
                }
                Ok(party) => Some(party.account_key),
                Err(violation) => {
                    violations.push(violation);
                    None
                }
            }
        });
    if !violations.is_empty() {
        return Ok(Err(violations));
    }
    Ok(Ok(EventFilter {
        referred_account_key,
        referred_by_account_key,
        referred_or_referred_by_account_key,
        classification_key,
        performed_by_business_unit_key: business_unit_key,
        performed_by_unit_key: unit_key,
        performed_by_tap_key: tap_key,
        performed_by_device_key: device_key,
        ..filter.rest
    }))
}
