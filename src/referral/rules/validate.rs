//! Whether an event is well-formed: everything that can be said of it without looking anything up. Pure.

use std::{collections::HashMap, fmt::Display};

use chrono::{DateTime, Datelike, SubsecRound, TimeDelta, Utc};

use super::{attributes::ATTRIBUTES, release::Release};
use crate::{
    referral::{
        event::{
            AccessTokenIdentifier, CheckedEvent, Details, EntryIdentifier, EventRequest, Instant, PartyIdentifier,
            PartyIdentifiers,
        },
        given::{EntryField, EntryKind, GivenEntry, GivenParty, PartyBy, PartyKind, PartyRole, party_attribute},
        violation::{Violation, ViolationKind},
    },
    secret::Secret,
    text::{self, is_blank},
};

/// Characters that a text may have.
pub const MAXIMUM_TEXT_LENGTH: usize = 255;
/// Characters that a description may have.
const MAXIMUM_DESCRIPTION_LENGTH: usize = 4000;
/// How far ahead of the server's clock `performed_on` may lie.
const MAXIMUM_AHEAD: TimeDelta = TimeDelta::hours(24);

/// An event of a call: what its caller names it, and the event where it is well-formed.
#[derive(Debug)]
pub struct Checked {
    pub request_unique_identifier: Option<String>,
    /// The system and the number in it by which the caller knows the event, as they were sent.
    pub external_reference: (Option<String>, Option<String>),
    pub event: Result<CheckedEvent, Vec<Violation>>,
}

/// Checks the events of one call, in order; `now` is the server's clock.
pub fn validate(requests: Vec<EventRequest>, now: DateTime<Utc>, release: Release) -> Vec<Checked> {
    let shared = shares_identifier(&requests);
    let check = |(mut request, is_shared): (EventRequest, bool)| {
        let request_unique_identifier = request.request_unique_identifier.take();
        let external_reference = (request.external_system.clone(), request.external_system_reference_number.clone());
        let event = Validator::new(now, release).event(request, request_unique_identifier.as_deref(), is_shared);
        Checked { request_unique_identifier: request_unique_identifier.map(cut), external_reference, event }
    };
    requests.into_iter().zip(shared).map(check).collect()
}

/// Whether each of the events shares its identifier with another one.
fn shares_identifier(requests: &[EventRequest]) -> Vec<bool> {
    let identifiers = || requests.iter().map(|request| request.request_unique_identifier.as_deref());
    let mut times_used: HashMap<Option<&str>, usize> = HashMap::new();
    for identifier in identifiers() {
        *times_used.entry(identifier).or_default() += 1;
    }
    identifiers().map(|identifier| times_used.get(&identifier).is_some_and(|times| *times > 1)).collect()
}

/// A name as it is answered. One that is too long would take as much room in the answer as in the call.
fn cut(mut name: String) -> String {
    if let Some((end, _)) = name.char_indices().nth(MAXIMUM_TEXT_LENGTH) {
        name.truncate(end);
    }
    name
}

/// A blank text of an attribute whose presence matters counts as not given.
pub fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !is_blank(text))
}

/// Checks attributes, and gathers what is wrong with them.
pub struct Validator {
    now: DateTime<Utc>,
    release: Release,
    pub violations: Vec<Violation>,
}

impl Validator {
    pub fn new(now: DateTime<Utc>, release: Release) -> Self {
        Self { now, release, violations: Vec::new() }
    }

    /// `is_shared` says whether another event of the call has the same identifier, which matters where there is one.
    fn event(
        mut self,
        mut request: EventRequest,
        identifier: Option<&str>,
        is_shared: bool,
    ) -> Result<CheckedEvent, Vec<Violation>> {
        self.violations = std::mem::take(&mut request.violations);
        // What cannot be read comes before all that is said here, and would only be reported once more, as missing.
        if self.violations.iter().any(|violation| violation.kind < ViolationKind::MissingMandatoryAttribute) {
            return Err(self.violations);
        }
        match identifier.filter(|identifier| !is_blank(identifier)) {
            None => self.violations.push(Violation::missing("request_unique_identifier")),
            Some(identifier) => {
                self.text("request_unique_identifier", identifier);
                if is_shared {
                    let identifier = cut(identifier.to_owned());
                    self.violations.push(Violation::duplicate_request_unique_identifier(&identifier));
                }
            }
        }

        self.release(&request);
        use EntryKind::{BusinessUnit, Classification, Device, Tap, Unit};
        let anywhere = request.performed_by_business_unit.is_some()
            || request.performed_by_unit.is_some()
            || request.performed_by_tap.is_some()
            || request.performed_by_device.is_some();
        if !anywhere {
            self.missing_one_of(&[BusinessUnit, Unit, Tap, Device].map(EntryKind::attribute));
        }
        let classification = self.entry(Classification, request.classification.take());
        let performed_by_business_unit = self.entry(BusinessUnit, request.performed_by_business_unit.take());
        let performed_by_unit = self.entry(Unit, request.performed_by_unit.take());
        let performed_by_tap = self.entry(Tap, request.performed_by_tap.take());
        let performed_by_device = self.entry(Device, request.performed_by_device.take());
        let referred = self.party(PartyRole::Referred, std::mem::take(&mut request.referred));
        let referred_by = self.party(PartyRole::ReferredBy, std::mem::take(&mut request.referred_by));
        let details = self.details(request);

        match (referred, referred_by, details) {
            (Some(referred), Some(referred_by), Some(details)) if self.violations.is_empty() => Ok(CheckedEvent {
                classification,
                performed_by_business_unit,
                performed_by_unit,
                performed_by_tap,
                performed_by_device,
                referred,
                referred_by,
                details,
            }),
            _ => Err(self.violations),
        }
    }

    /// What the release demands, and what it does not have.
    fn release(&mut self, request: &EventRequest) {
        for attribute in &ATTRIBUTES {
            let given = (attribute.is_given)(request);
            if !given && attribute.is_mandatory_in(self.release) {
                self.violations.push(Violation::missing(attribute.name));
            }
            if given && !attribute.is_available_in(self.release) {
                self.violations.push(Violation::unsupported_attribute(attribute.name, self.release));
            }
        }
    }

    /// Of several attributes none is given: those that the release has are named, unless one of them is mandatory by
    /// itself, for then that was said.
    fn missing_one_of(&mut self, attributes: &[&str]) {
        let rows = attributes.iter().filter_map(|name| ATTRIBUTES.iter().find(|row| row.name == *name));
        let rows: Vec<_> = rows.filter(|row| row.is_available_in(self.release)).collect();
        if !rows.iter().any(|row| row.is_mandatory_in(self.release)) {
            let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
            self.violations.push(Violation::missing_one_of(&names));
        }
    }

    fn details(&mut self, request: EventRequest) -> Option<Details> {
        let performed_on = match request.performed_on {
            Some(instant) => self.date("performed_on", instant),
            // One that is no date is not missing.
            None if self.violations.iter().any(|violation| violation.field == "performed_on") => None,
            None => {
                self.violations.push(Violation::missing("performed_on"));
                None
            }
        };
        if performed_on.is_some_and(|date| date > self.now + MAXIMUM_AHEAD) {
            let description = "The date is more than 24 hours ahead of the server's clock";
            self.violations.push(Violation::invalid_value("performed_on", description));
        }
        if let Some(description) = &request.description {
            self.text_of("description", description, MAXIMUM_DESCRIPTION_LENGTH);
        }
        let external_system = given(request.external_system);
        let external_system_reference_number = given(request.external_system_reference_number);
        self.optional_text("external_system", external_system.as_deref());
        self.optional_text("external_system_reference_number", external_system_reference_number.as_deref());
        for (n, text) in (1..).zip(&request.udf_strings) {
            if let Some(text) = text {
                self.text(format_args!("udf_string_{n}"), text);
            }
        }
        for (n, number) in (1..).zip(&request.udf_floats) {
            if number.is_some_and(|number| !number.is_finite()) {
                let description = "The number is not finite";
                self.violations.push(Violation::invalid_value(&format!("udf_float_{n}"), description));
            }
        }
        let mut udf_dates = [None; 4];
        for (n, (date, instant)) in (1..).zip(udf_dates.iter_mut().zip(request.udf_dates)) {
            *date = instant.and_then(|instant| self.date(format_args!("udf_date_{n}"), instant));
        }
        Some(Details {
            performed_on: performed_on?,
            description: request.description,
            external_system: external_system.unwrap_or_default(),
            external_system_reference_number,
            udf_strings: request.udf_strings,
            udf_floats: request.udf_floats,
            udf_dates,
        })
    }

    fn text(&mut self, field: impl Display, text: &str) {
        self.text_of(field, text, MAXIMUM_TEXT_LENGTH);
    }

    pub fn optional_text(&mut self, field: impl Display, text: Option<&str>) {
        if let Some(text) = text {
            self.text(field, text);
        }
    }

    /// `field` is made a text where there is something to say of it.
    fn text_of(&mut self, field: impl Display, text: &str, maximum: usize) {
        if text::is_longer_than(text, maximum) {
            let description = format!("The text is longer than {maximum} characters");
            self.violations.push(Violation::invalid_value(&field.to_string(), &description));
        }
        if text::has_control_character_but_tabs_and_line_ends(text) {
            self.violations.push(Violation::invalid_value(&field.to_string(), "The text contains a control character"));
        }
    }

    /// The date to the microsecond, which is what both databases keep.
    pub fn date(&mut self, field: impl Display, instant: Instant) -> Option<DateTime<Utc>> {
        let nanoseconds = u32::try_from(instant.nanoseconds).ok().filter(|nanoseconds| *nanoseconds < 1_000_000_000);
        let date = nanoseconds.and_then(|nanoseconds| DateTime::from_timestamp(instant.seconds, nanoseconds));
        let date = date.filter(|date| (1..=9999).contains(&date.year()));
        if date.is_none() {
            let description = match nanoseconds {
                Some(_) => "The date is outside the years 1 to 9999",
                None => "The nanoseconds of the date are not 0 to 999999999",
            };
            self.violations.push(Violation::invalid_value(&field.to_string(), description));
        }
        date.map(|date| date.trunc_subsecs(6))
    }

    pub fn entry(&mut self, kind: EntryKind, identifier: Option<EntryIdentifier>) -> Option<GivenEntry> {
        self.entry_at(kind.attribute(), kind, identifier)
    }

    /// The same of an attribute of another name.
    pub fn entry_at(
        &mut self,
        attribute: &str,
        kind: EntryKind,
        identifier: Option<EntryIdentifier>,
    ) -> Option<GivenEntry> {
        let EntryIdentifier { id, name, code } = identifier?;
        let fields = [(EntryField::Id, id), (EntryField::Name, name), (EntryField::Code, code)];
        let mut entries: Vec<GivenEntry> = fields
            .into_iter()
            .filter_map(|(by, value)| given(value).map(|value| GivenEntry { kind, by, value }))
            .collect();
        for entry in &entries {
            self.text(format_args!("{attribute}.{}", entry.field()), &entry.value);
        }
        if entries.len() != 1 {
            let is_given = |field: &EntryField| (field.name(kind), entries.iter().any(|entry| entry.by == *field));
            let fields: Vec<_> = EntryField::of(kind).iter().map(is_given).collect();
            self.violations.push(one_field_expected(attribute, &fields));
        }
        entries.pop()
    }

    pub fn party(&mut self, role: PartyRole, identifiers: PartyIdentifiers) -> Option<GivenParty> {
        let (kind, identifier) = match (identifiers.accounts_receivable, identifiers.rewards_participant) {
            (Some(identifier), None) => (PartyKind::AccountsReceivable, identifier),
            (None, Some(identifier)) => (PartyKind::RewardsParticipant, identifier),
            (None, None) => {
                let kinds = [PartyKind::AccountsReceivable, PartyKind::RewardsParticipant];
                self.missing_one_of(&kinds.map(|kind| party_attribute(role, kind)));
                return None;
            }
            (Some(account), Some(participant)) => {
                self.violations.push(Violation::invalid_identifier(
                    party_attribute(role, PartyKind::RewardsParticipant),
                    "Both an accounts receivable identifier and a rewards participant identifier are given, where one \
                     of them is expected",
                ));
                // What is wrong with their texts has precedence.
                self.party_identifier(party_attribute(role, PartyKind::AccountsReceivable), *account);
                self.party_identifier(party_attribute(role, PartyKind::RewardsParticipant), *participant);
                return None;
            }
        };
        let by = self.party_identifier(party_attribute(role, kind), *identifier)?;
        Some(GivenParty { role, kind, by })
    }

    fn party_identifier(&mut self, attribute: &str, identifier: PartyIdentifier) -> Option<PartyBy> {
        let id = given(identifier.id);
        let number = given(identifier.number);
        self.optional_text(format_args!("{attribute}.id"), id.as_deref());
        self.optional_text(format_args!("{attribute}.number"), number.as_deref());
        let fields = [
            ("id", id.is_some()),
            ("number", number.is_some()),
            ("access_token_identifier", identifier.access_token.is_some()),
        ];
        let is_one = fields.iter().filter(|(_, is_given)| *is_given).count() == 1;
        if !is_one {
            self.violations.push(one_field_expected(attribute, &fields));
        }
        // Looked at even so, for what is wrong with its texts has precedence.
        let token = identifier.access_token;
        let by_token =
            token.and_then(|token| self.access_token(&format!("{attribute}.access_token_identifier"), token));
        if !is_one {
            return None;
        }
        by_token.or(id.map(PartyBy::Id)).or(number.map(PartyBy::Number))
    }

    fn access_token(&mut self, attribute: &str, token: AccessTokenIdentifier) -> Option<PartyBy> {
        let secret = |secret: Option<Secret>| secret.filter(|secret| !is_blank(secret.expose()));
        let authentication_code = secret(token.authentication_code);
        let identifier = given(token.identifier);
        let pass_code = secret(token.pass_code);
        let one_time_password = secret(token.one_time_password);
        let texts = [
            ("authentication_code", authentication_code.as_ref().map(Secret::expose)),
            ("identifier", identifier.as_deref()),
            ("pass_code", pass_code.as_ref().map(Secret::expose)),
            ("one_time_password", one_time_password.as_ref().map(Secret::expose)),
        ];
        for (field, text) in texts {
            self.optional_text(format_args!("{attribute}.{field}"), text);
        }
        let fields = texts.map(|(name, text)| (name, text.is_some()));
        match (authentication_code, identifier, pass_code, one_time_password) {
            (Some(code), None, None, None) => Some(PartyBy::AuthenticationCode(code)),
            (None, Some(identifier), Some(pass_code), None) => Some(PartyBy::PassCode { identifier, pass_code }),
            (None, None, None, Some(password)) => Some(PartyBy::OneTimePassword(password)),
            _ => {
                let description = format!(
                    "One of authentication_code, identifier with pass_code, and one_time_password is expected, and {}",
                    are_given(&fields)
                );
                self.violations.push(Violation::invalid_identifier(attribute, &description));
                None
            }
        }
    }
}

/// What is wrong with an identifier of whose fields not exactly one is given; each comes with whether it is.
pub fn one_field_expected(attribute: &str, fields: &[(&str, bool)]) -> Violation {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let description = format!("One of {} is expected, and {}", text::listed(&names), are_given(fields));
    Violation::invalid_identifier(attribute, &description)
}

/// Which of an identifier's fields are there, for a sentence.
pub fn are_given(fields: &[(&str, bool)]) -> String {
    let given: Vec<&str> = fields.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name).collect();
    match &given[..] {
        [] => "none is given".to_owned(),
        [name] => format!("{name} alone is given"),
        names => format!("{} are given", text::listed(names)),
    }
}
