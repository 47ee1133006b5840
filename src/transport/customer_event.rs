//! An event that is looked back on, in the contract's terms.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;

use crate::{
    contract::{Classification, CustomerEvent, Party, Place},
    referral::{EventView, Named},
};

/// The event as the contract has it.
pub fn customer_event(view: EventView) -> CustomerEvent {
    let event = view.event;
    let state = if event.in_force.is_some() { "POSTED" } else { CANCELLED };
    CustomerEvent {
        id: Some(format!("{:X}", event.id.simple())),
        number: Some(event.number.to_string()),
        r#type: Some("REFERRAL".to_owned()),
        life_cycle_state: Some(state.to_owned()),
        performed_on: Some(timestamp(event.performed_on)),
        description: event.description,
        external_system: Some(event.external_system).filter(|system| !system.is_empty()),
        external_system_reference_number: event.external_system_reference_number,
        classification: view.classification.map(|Named { id, code, name }| Classification {
            id: Some(id),
            name,
            alternative_code: Some(code),
        }),
        performed_by_business_unit: view.business_unit.map(place),
        performed_by_unit: view.unit.map(place),
        performed_by_tap: view.tap.map(place),
        performed_by_device: view.device.map(place),
        referred_accounts_receivable: view.referred_account.map(party),
        referred_rewards_participant: view.referred_participant.map(party),
        referred_by_accounts_receivable: view.referred_by_account.map(party),
        referred_by_rewards_participant: view.referred_by_participant.map(party),
        udf_string_1: event.udf_string_1,
        udf_string_2: event.udf_string_2,
        udf_string_3: event.udf_string_3,
        udf_string_4: event.udf_string_4,
        udf_string_5: event.udf_string_5,
        udf_string_6: event.udf_string_6,
        udf_string_7: event.udf_string_7,
        udf_string_8: event.udf_string_8,
        udf_float_1: event.udf_float_1,
        udf_float_2: event.udf_float_2,
        udf_float_3: event.udf_float_3,
        udf_float_4: event.udf_float_4,
        udf_date_1: event.udf_date_1.map(timestamp),
        udf_date_2: event.udf_date_2.map(timestamp),
        udf_date_3: event.udf_date_3.map(timestamp),
        udf_date_4: event.udf_date_4.map(timestamp),
        created_on: Some(timestamp(event.created_on)),
        cancelled_on: event.cancelled_on.map(timestamp),
        cancellation_reason: event.cancellation_reason,
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

fn timestamp(date: DateTime<Utc>) -> Timestamp {
    let nanos = i32::try_from(date.timestamp_subsec_nanos()).unwrap_or_default();
    Timestamp { seconds: date.timestamp(), nanos }
}
