//! Between the contract and the domain.

use prost::{Message, length_delimiter_len};

use super::status;
use crate::{
    contract::{
        self, BulkCreateReferralEventsResponse, BulkSummary, ConflictingEvent, CreateReferralEventResponse,
        ProcessedCustomerEvent, UnprocessedCustomerEvent,
    },
    error::{Error, ErrorKind, Result},
    referral::{
        Outcome, Report, Reported,
        event::{
            AccessTokenIdentifier, EntryIdentifier, EventIdentity, EventRequest, Instant, PartyIdentifier,
            PartyIdentifiers,
        },
        violation::Violation,
    },
    secret::Secret,
};

#[allow(deprecated, reason = "what is deprecated is accepted")]
impl From<contract::ReferralCustomerEvent> for EventRequest {
    fn from(event: contract::ReferralCustomerEvent) -> Self {
        Self {
            request_unique_identifier: event.request_unique_identifier,
            classification: unboxed(event.classification_identifier),
            performed_by_business_unit: unboxed(event.performed_by_business_unit_identifier),
            performed_by_unit: unboxed(event.performed_by_unit_identifier),
            performed_by_tap: unboxed(event.performed_by_tap_identifier),
            performed_by_device: unboxed(event.performed_by_device_identifier),
            performed_on: event.performed_on.map(instant),
            description: event.description,
            referred: PartyIdentifiers {
                accounts_receivable: unboxed(event.referred_accounts_receivable_identifier),
                rewards_participant: unboxed(event.referred_rewards_participant_identifier),
            },
            referred_by: PartyIdentifiers {
                accounts_receivable: unboxed(event.referred_by_accounts_receivable_identifier),
                rewards_participant: unboxed(event.referred_by_rewards_participant_identifier),
            },
            external_system: event.external_system,
            external_system_reference_number: event.external_system_reference_number,
            udf_strings: [
                event.udf_string_1,
                event.udf_string_2,
                event.udf_string_3,
                event.udf_string_4,
                event.udf_string_5,
                event.udf_string_6,
                event.udf_string_7,
                event.udf_string_8,
            ],
            udf_floats: [event.udf_float_1, event.udf_float_2, event.udf_float_3, event.udf_float_4],
            udf_dates: [event.udf_date_1, event.udf_date_2, event.udf_date_3, event.udf_date_4]
                .map(|date| date.map(instant)),
            violations: Vec::new(),
        }
    }
}

impl From<contract::CustomerEventClassificationIdentifier> for EntryIdentifier {
    fn from(identifier: contract::CustomerEventClassificationIdentifier) -> Self {
        Self { id: identifier.id, name: identifier.name, code: identifier.alternative_code }
    }
}

impl From<contract::BusinessUnitIdentifier> for EntryIdentifier {
    fn from(identifier: contract::BusinessUnitIdentifier) -> Self {
        Self { id: identifier.id, name: identifier.name, code: identifier.code }
    }
}

impl From<contract::UnitIdentifier> for EntryIdentifier {
    fn from(identifier: contract::UnitIdentifier) -> Self {
        Self { id: identifier.id, name: identifier.name, code: identifier.alternative_code }
    }
}

impl From<contract::TransactionAcquiringPointIdentifier> for EntryIdentifier {
    fn from(identifier: contract::TransactionAcquiringPointIdentifier) -> Self {
        Self { id: identifier.id, name: identifier.name, code: identifier.code }
    }
}

impl From<contract::DeviceIdentifier> for EntryIdentifier {
    fn from(identifier: contract::DeviceIdentifier) -> Self {
        Self { id: identifier.id, name: None, code: identifier.code }
    }
}

/// The contract keeps identifiers in boxes, for an event has room for many of them and holds a few.
pub fn unboxed<I: Into<T>, T>(identifier: Option<Box<I>>) -> Option<T> {
    identifier.map(|identifier| (*identifier).into())
}

pub fn instant(timestamp: prost_types::Timestamp) -> Instant {
    Instant { seconds: timestamp.seconds, nanoseconds: timestamp.nanos }
}

impl From<contract::AccountsReceivableIdentifier> for Box<PartyIdentifier> {
    fn from(identifier: contract::AccountsReceivableIdentifier) -> Self {
        Self::new(PartyIdentifier {
            id: identifier.id,
            number: identifier.number,
            access_token: unboxed(identifier.access_token_identifier),
        })
    }
}

impl From<contract::RewardsParticipantIdentifier> for Box<PartyIdentifier> {
    fn from(identifier: contract::RewardsParticipantIdentifier) -> Self {
        Self::new(PartyIdentifier {
            id: identifier.id,
            number: identifier.number,
            access_token: unboxed(identifier.access_token_identifier),
        })
    }
}

impl From<contract::AccessTokenIdentifier> for AccessTokenIdentifier {
    fn from(identifier: contract::AccessTokenIdentifier) -> Self {
        Self {
            authentication_code: identifier.authentication_code.map(Secret::new),
            identifier: identifier.identifier,
            pass_code: identifier.pass_code.map(Secret::new),
            one_time_password: identifier.one_time_password.map(Secret::new),
        }
    }
}

/// Where the event stands in the request of a call of one.
pub const EVENT: &str = "referral_customer_event";

/// The whole answer to a bulk call, of `limit` bytes at most: each event in one of the two sets, each set in request order.
pub fn bulk_response(report: &Report, limit: usize) -> BulkCreateReferralEventsResponse {
    let mut response = BulkCreateReferralEventsResponse::default();
    let mut replayed_events = 0;
    for (index, Reported { request_unique_identifier, outcome }) in report.iter().enumerate() {
        let (request_unique_identifier, index) = (request_unique_identifier.clone(), Some(count(index)));
        match outcome {
            Outcome::Processed { event, replayed } => {
                replayed_events += u32::from(*replayed);
                response.processed_customer_events_set.push(ProcessedCustomerEvent {
                    request_unique_identifier,
                    id: event.map(id),
                    number: event.map(number),
                    index,
                    replayed: Some(*replayed),
                });
            }
            Outcome::Unprocessed { violations, cause } => {
                let first = violations.first();
                response.unprocessed_customer_events_set.push(UnprocessedCustomerEvent {
                    request_unique_identifier,
                    error_code: first.map(|violation| violation.kind.code().to_owned()),
                    error_description: first.map(Violation::error_description),
                    index,
                    violations: first.map(violation).into_iter().collect(),
                    retryable: Some(violations.iter().all(|violation| violation.kind.is_retryable())),
                    conflicting_event: cause
                        .map(|event| ConflictingEvent { id: Some(id(event)), number: Some(number(event)) }),
                });
            }
        }
    }
    response.summary = Some(BulkSummary {
        requested: Some(count(report.len())),
        processed: Some(count(response.processed_customer_events_set.len())),
        replayed: Some(replayed_events),
        unprocessed: Some(count(response.unprocessed_customer_events_set.len())),
    });
    add_violations(report, &mut response, limit);
    response
}

/// What a message takes within another one whose field has a number up to 15.
pub fn size_within(message: &impl Message) -> usize {
    let length = message.encoded_len();
    1 + length_delimiter_len(length) + length
}

/// Adds what else is wrong with the events, in their order, for as long as the answer does not become too large.
fn add_violations(report: &Report, response: &mut BulkCreateReferralEventsResponse, limit: usize) {
    /// What it takes at most to say of an event how many violations are left out, and for its longer length.
    const RESERVED: usize = 80;
    let reserved = response.unprocessed_customer_events_set.len() * RESERVED;
    let mut room = limit.saturating_sub(response.encoded_len() + reserved);
    let violations = report.iter().filter_map(|reported| match &reported.outcome {
        Outcome::Unprocessed { violations, .. } => Some(violations),
        Outcome::Processed { .. } => None,
    });
    for (event, violations) in response.unprocessed_customer_events_set.iter_mut().zip(violations) {
        for more in violations.iter().skip(1).map(violation) {
            let Some(left) = room.checked_sub(size_within(&more)) else { break };
            room = left;
            event.violations.push(more);
        }
        let left_out = status::left_out(violations.len() - event.violations.len());
        if let Some(description) = event.violations.last_mut().and_then(|last| last.error_description.as_mut()) {
            description.push_str(&left_out);
        }
    }
}

/// The answer to a call of one event; what is wrong with the event refuses the call.
pub fn create_response(report: &Report) -> Result<CreateReferralEventResponse> {
    match report.first() {
        Some(Reported { outcome: Outcome::Processed { event, replayed }, .. }) => {
            Ok(CreateReferralEventResponse { id: event.map(id), number: event.map(number), replayed: Some(*replayed) })
        }
        Some(Reported { outcome: Outcome::Unprocessed { violations, .. }, .. }) => Err(refused(violations)),
        None => Err(Error::internal("the event of the call has no answer")),
    }
}

fn refused(violations: &[Violation]) -> Error {
    let Some(first) = violations.first() else { return Error::internal("a refused event has no violation") };
    let error = Error::new(ErrorKind::EventRefused(first.kind), first.error_description());
    violations.iter().fold(error, |error, violation| {
        let path = [EVENT, &violation.field].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
        error.with_violation(path, violation.error_description())
    })
}

fn violation(violation: &Violation) -> contract::Violation {
    contract::Violation {
        field: Some(violation.field.clone()),
        error_code: Some(violation.kind.code().to_owned()),
        error_description: Some(violation.error_description()),
    }
}

fn id(event: EventIdentity) -> String {
    event.id.to_string()
}

fn number(event: EventIdentity) -> String {
    event.number.to_string()
}

/// A number of events of one call.
fn count(events: usize) -> u32 {
    u32::try_from(events).unwrap_or(u32::MAX)
}
