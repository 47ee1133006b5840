//! A referral event: as a caller sent it, and as it stands once it is known to be well-formed.

use chrono::{DateTime, Utc};

use super::violation::Violation;
use crate::{secret::Secret, storage::places::PlaceName};

/// An event as it was sent: any attribute may be missing, and nothing has been checked.
#[derive(Debug, Default)]
pub struct EventRequest {
    pub request_unique_identifier: Option<String>,
    pub classification: Option<PlaceIdentifier>,
    pub performed_by_business_unit: Option<PlaceIdentifier>,
    pub performed_by_unit: Option<PlaceIdentifier>,
    pub performed_by_tap: Option<PlaceIdentifier>,
    pub performed_by_device: Option<PlaceIdentifier>,
    pub performed_on: Option<Instant>,
    pub description: Option<String>,
    pub referred: PartyIdentifiers,
    pub referred_by: PartyIdentifiers,
    pub external_system: Option<String>,
    pub external_system_reference_number: Option<String>,
    pub udf_strings: [Option<String>; 8],
    pub udf_floats: [Option<f64>; 4],
    pub udf_dates: [Option<Instant>; 4],
    /// What was wrong with it already when it was read.
    pub violations: Vec<Violation>,
}

/// A date as it was sent, which may lie outside the years that are allowed.
#[derive(Clone, Copy, Debug)]
pub struct Instant {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    pub nanoseconds: i32,
}

/// An identifier object of a place or a classification, as it was sent. `code` is the alternative code of units and
/// classifications.
#[derive(Debug, Default)]
pub struct PlaceIdentifier {
    pub id: Option<String>,
    pub name: Option<String>,
    pub code: Option<String>,
}

/// The two ways to identify one party, as they were sent.
#[derive(Debug, Default)]
pub struct PartyIdentifiers {
    pub accounts_receivable: Option<Box<PartyIdentifier>>,
    pub rewards_participant: Option<Box<PartyIdentifier>>,
}

/// An identifier object of a party, as it was sent.
#[derive(Debug, Default)]
pub struct PartyIdentifier {
    pub id: Option<String>,
    pub number: Option<String>,
    pub access_token: Option<AccessTokenIdentifier>,
}

/// An identifier object of an access token, as it was sent.
#[derive(Debug, Default)]
pub struct AccessTokenIdentifier {
    pub authentication_code: Option<Secret>,
    pub identifier: Option<String>,
    pub pass_code: Option<Secret>,
    pub one_time_password: Option<Secret>,
}

/// A well-formed event, whose identifiers are not yet resolved.
#[derive(Debug)]
pub struct CheckedEvent {
    pub request_unique_identifier: String,
    pub classification: Option<PlaceName>,
    pub performed_by_business_unit: Option<PlaceName>,
    pub performed_by_unit: Option<PlaceName>,
    pub performed_by_tap: Option<PlaceName>,
    pub performed_by_device: Option<PlaceName>,
    pub referred: PartyKey,
    pub referred_by: PartyKey,
    pub details: Details,
}

impl CheckedEvent {
    /// The places that the event names.
    pub fn places(&self) -> impl Iterator<Item = &PlaceName> {
        [
            &self.classification,
            &self.performed_by_business_unit,
            &self.performed_by_unit,
            &self.performed_by_tap,
            &self.performed_by_device,
        ]
        .into_iter()
        .flatten()
    }
}

/// The attributes that are stored as they came.
#[derive(Clone, Debug)]
pub struct Details {
    pub performed_on: DateTime<Utc>,
    pub description: Option<String>,
    /// Empty where none was given.
    pub external_system: String,
    pub external_system_reference_number: Option<String>,
    pub udf_strings: [Option<String>; 8],
    pub udf_floats: [Option<f64>; 4],
    pub udf_dates: [Option<DateTime<Utc>>; 4],
}

impl Details {
    /// What names the event in the caller's own system: the system (empty for none) and the reference number.
    pub fn external_reference(&self) -> Option<(&str, &str)> {
        self.external_system_reference_number.as_deref().map(|number| (self.external_system.as_str(), number))
    }
}

/// The role a party plays in an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartyRole {
    Referred,
    ReferredBy,
}

/// Which of the two identifier objects names a party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartyKind {
    AccountsReceivable,
    RewardsParticipant,
}

/// How a party is identified, well-formed.
#[derive(Clone, Debug)]
pub struct PartyKey {
    pub role: PartyRole,
    pub kind: PartyKind,
    pub by: PartyBy,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PartyBy {
    Id(String),
    Number(String),
    AuthenticationCode(Secret),
    PassCode { identifier: String, pass_code: Secret },
    OneTimePassword(Secret),
}

impl PartyKey {
    /// The path of the attribute that names the party.
    pub fn field(&self) -> String {
        let attribute = party_attribute(self.role, self.kind);
        let field = match self.by {
            PartyBy::Id(_) => "id",
            PartyBy::Number(_) => "number",
            _ => "access_token_identifier",
        };
        format!("{attribute}.{field}")
    }

    /// The party for a sentence: by what was given, save where that is a secret.
    pub fn label(&self) -> String {
        let kind = match self.kind {
            PartyKind::AccountsReceivable => "Accounts Receivable",
            PartyKind::RewardsParticipant => "Participant",
        };
        match &self.by {
            PartyBy::Id(given) | PartyBy::Number(given) | PartyBy::PassCode { identifier: given, .. } => {
                format!("{kind} {given}")
            }
            PartyBy::AuthenticationCode(_) | PartyBy::OneTimePassword(_) => kind.to_owned(),
        }
    }
}

/// The documented name of the attribute that identifies a party in one of the two ways.
pub fn party_attribute(role: PartyRole, kind: PartyKind) -> &'static str {
    match (role, kind) {
        (PartyRole::Referred, PartyKind::AccountsReceivable) => "referred_accounts_receivable_identifier",
        (PartyRole::Referred, PartyKind::RewardsParticipant) => "referred_rewards_participant_identifier",
        (PartyRole::ReferredBy, PartyKind::AccountsReceivable) => "referred_by_accounts_receivable_identifier",
        (PartyRole::ReferredBy, PartyKind::RewardsParticipant) => "referred_by_rewards_participant_identifier",
    }
}

pub(super) fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}
