//! Between the contract and the domain.

use crate::{
    contract::{self, BulkCreateReferralEventsResponse, ProcessedCustomerEvent, UnprocessedCustomerEvent},
    referral::{
        Outcome, Report,
        event::{AccessTokenIdentifier, EventRequest, Instant, PartyIdentifier, PartyIdentifiers, PlaceIdentifier},
    },
    secret::Secret,
    transport::fields::Fields,
};

impl From<contract::ReferralCustomerEvent> for EventRequest {
    fn from(event: contract::ReferralCustomerEvent) -> Self {
        Self {
            request_unique_identifier: event.request_unique_identifier,
            classification: event.classification_identifier.map(Into::into),
            performed_by_business_unit: event.performed_by_business_unit_identifier.map(Into::into),
            performed_by_unit: event.performed_by_unit_identifier.map(Into::into),
            performed_by_tap: event.performed_by_tap_identifier.map(Into::into),
            performed_by_device: event.performed_by_device_identifier.map(Into::into),
            performed_on: event.performed_on.map(instant),
            description: event.description,
            referred: PartyIdentifiers {
                accounts_receivable: event.referred_accounts_receivable_identifier.map(account),
                rewards_participant: event.referred_rewards_participant_identifier.map(participant),
            },
            referred_by: PartyIdentifiers {
                accounts_receivable: event.referred_by_accounts_receivable_identifier.map(account),
                rewards_participant: event.referred_by_rewards_participant_identifier.map(participant),
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

impl From<contract::CustomerEventClassificationIdentifier> for PlaceIdentifier {
    fn from(identifier: contract::CustomerEventClassificationIdentifier) -> Self {
        Self { id: identifier.id, name: identifier.name, code: identifier.alternative_code }
    }
}

impl From<contract::BusinessUnitIdentifier> for PlaceIdentifier {
    fn from(identifier: contract::BusinessUnitIdentifier) -> Self {
        Self { id: identifier.id, name: identifier.name, code: identifier.code }
    }
}

impl From<contract::UnitIdentifier> for PlaceIdentifier {
    fn from(identifier: contract::UnitIdentifier) -> Self {
        Self { id: identifier.id, name: identifier.name, code: identifier.alternative_code }
    }
}

impl From<contract::TransactionAcquiringPointIdentifier> for PlaceIdentifier {
    fn from(identifier: contract::TransactionAcquiringPointIdentifier) -> Self {
        Self { id: identifier.id, name: identifier.name, code: identifier.code }
    }
}

impl From<contract::DeviceIdentifier> for PlaceIdentifier {
    fn from(identifier: contract::DeviceIdentifier) -> Self {
        Self { id: identifier.id, name: None, code: identifier.code }
    }
}

pub fn instant(timestamp: prost_types::Timestamp) -> Instant {
    Instant { seconds: timestamp.seconds, nanoseconds: timestamp.nanos }
}

pub fn account(identifier: contract::AccountsReceivableIdentifier) -> PartyIdentifier {
    PartyIdentifier {
        id: identifier.id,
        number: identifier.number,
        access_token: identifier.access_token_identifier.map(access_token),
    }
}

pub fn participant(identifier: contract::RewardsParticipantIdentifier) -> PartyIdentifier {
    PartyIdentifier {
        id: identifier.id,
        number: identifier.number,
        access_token: identifier.access_token_identifier.map(access_token),
    }
}

fn access_token(identifier: contract::AccessTokenIdentifier) -> AccessTokenIdentifier {
    AccessTokenIdentifier {
        authentication_code: identifier.authentication_code.map(Secret::new),
        identifier: identifier.identifier,
        pass_code: identifier.pass_code.map(Secret::new),
        one_time_password: identifier.one_time_password.map(Secret::new),
    }
}

/// The answer to a bulk call: each event in one of the two sets, each set in request order.
pub fn bulk_response(report: Report, fields: &Fields) -> BulkCreateReferralEventsResponse {
    let mut response = BulkCreateReferralEventsResponse::default();
    for (request_unique_identifier, outcome) in report {
        match outcome {
            Outcome::Processed(created) => {
                let mut event = ProcessedCustomerEvent {
                    request_unique_identifier,
                    id: Some(format!("{:X}", created.id.simple())),
                    number: Some(created.number.to_string()),
                    ..Default::default()
                };
                fields.keep_of_processed(&mut event);
                response.processed_customer_events_set.push(event);
            }
            Outcome::Unprocessed(violations) => {
                let first = violations.first();
                let mut event = UnprocessedCustomerEvent {
                    request_unique_identifier,
                    error_code: first.map(|violation| violation.kind.code().to_owned()),
                    error_description: first.map(|violation| violation.error_description()),
                    ..Default::default()
                };
                fields.keep_of_unprocessed(&mut event);
                response.unprocessed_customer_events_set.push(event);
            }
        }
    }
    response
}
