//! An event that is looked back on, in the contract's terms.

use crate::{
    contract::{Classification, CustomerEvent, Party, Place, date::timestamp},
    referral::{self, Named},
};

/// The event as the contract has it.
pub fn customer_event(event: referral::CustomerEvent) -> CustomerEvent {
    let state = if event.cancellation.is_none() { "POSTED" } else { CANCELLED };
    let (cancelled_on, cancellation_reason) =
        event.cancellation.map_or((None, None), |cancellation| (cancellation.on, cancellation.reason));
    let origin = event.origin.unwrap_or_default();
    let details = event.details;
    let [
        udf_string_1,
        udf_string_2,
        udf_string_3,
        udf_string_4,
        udf_string_5,
        udf_string_6,
        udf_string_7,
        udf_string_8,
    ] = details.udf_strings;
    let [udf_float_1, udf_float_2, udf_float_3, udf_float_4] = details.udf_floats;
    let [udf_date_1, udf_date_2, udf_date_3, udf_date_4] = details.udf_dates.map(|date| date.map(timestamp));
    CustomerEvent {
        id: Some(event.identity.id.to_string()),
        number: Some(event.identity.number.to_string()),
        r#type: Some("REFERRAL".to_owned()),
        life_cycle_state: Some(state.to_owned()),
        performed_on: Some(timestamp(details.performed_on)),
        description: details.description,
        external_system: Some(details.external_system).filter(|system| !system.is_empty()),
        external_system_reference_number: details.external_system_reference_number,
        classification: event.classification.map(|Named { id, code, name }| Classification {
            id: Some(id),
            name,
            alternative_code: Some(code),
        }),
        performed_by_business_unit: event.business_unit.map(place),
        performed_by_unit: event.unit.map(place),
        performed_by_tap: event.tap.map(place),
        performed_by_device: event.device.map(place),
        referred_accounts_receivable: event.referred_account.map(party),
        referred_rewards_participant: event.referred_participant.map(party),
        referred_by_accounts_receivable: event.referred_by_account.map(party),
        referred_by_rewards_participant: event.referred_by_participant.map(party),
        udf_string_1,
        udf_string_2,
        udf_string_3,
        udf_string_4,
        udf_string_5,
        udf_string_6,
        udf_string_7,
        udf_string_8,
        udf_float_1,
        udf_float_2,
        udf_float_3,
        udf_float_4,
        udf_date_1,
        udf_date_2,
        udf_date_3,
        udf_date_4,
        created_on: Some(timestamp(event.created_on)),
        cancelled_on: cancelled_on.map(timestamp),
        cancellation_reason,
        created_by: origin.created_by,
        request_id: origin.request_id,
        cancelled_by: origin.cancelled_by,
        cancellation_request_id: origin.cancellation_request_id,
    }
}

/// The state of an event that was cancelled.
pub const CANCELLED: &str = "CANCELLED";

fn place(Named { id, code, name }: Named) -> Place {
    Place { id: Some(id), code: Some(code), name }
}

fn party(Named { id, code, .. }: Named) -> Party {
    Party { id: Some(id), number: Some(code) }
}
