//! A referral event: as a caller sent it, and as it stands once it is known to be well-formed.

use chrono::{DateTime, Utc};

use super::{
    given::{GivenEntry, GivenParty},
    violation::Violation,
};
use crate::{
    id::{EventId, EventNumber},
    secret::Secret,
    text::is_blank,
};

/// An event as it was sent: any attribute may be missing, and nothing has been checked.
#[derive(Debug, Default)]
pub struct EventRequest {
    pub request_unique_identifier: Option<String>,
    pub classification: Option<EntryIdentifier>,
    pub performed_by_business_unit: Option<EntryIdentifier>,
    pub performed_by_unit: Option<EntryIdentifier>,
    pub performed_by_tap: Option<EntryIdentifier>,
    pub performed_by_device: Option<EntryIdentifier>,
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

/// An identifier object of an entry of the directory, a place or a classification, as it was sent. `code` is the
/// alternative code of units and classifications.
#[derive(Debug, Default)]
pub struct EntryIdentifier {
    pub id: Option<String>,
    pub name: Option<String>,
    pub code: Option<String>,
}

impl EntryIdentifier {
    pub fn is_empty(&self) -> bool {
        [&self.id, &self.name, &self.code].into_iter().flatten().all(|text| is_blank(text))
    }
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

impl PartyIdentifier {
    pub fn is_empty(&self) -> bool {
        [&self.id, &self.number].into_iter().flatten().all(|text| is_blank(text)) && self.access_token.is_none()
    }
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
    pub classification: Option<GivenEntry>,
    pub performed_by_business_unit: Option<GivenEntry>,
    pub performed_by_unit: Option<GivenEntry>,
    pub performed_by_tap: Option<GivenEntry>,
    pub performed_by_device: Option<GivenEntry>,
    pub referred: GivenParty,
    pub referred_by: GivenParty,
    pub details: Details,
}

impl CheckedEvent {
    /// The entries of the directory that the event names, its classification first.
    pub fn entries(&self) -> impl Iterator<Item = &GivenEntry> {
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

/// What an event is known by once it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventIdentity {
    pub id: EventId,
    pub number: EventNumber,
}
