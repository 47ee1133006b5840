//! From a resolved event to the row that is stored.

use chrono::{DateTime, Utc};

use crate::{
    id::OrganisationId,
    referral::{
        event::{Details, EventIdentity},
        resolve::ResolvedEvent,
    },
    storage::entity::referral_event::Model,
};

/// The row of an event of the organisation that is created at `now`, in force from then on.
pub fn row(
    organisation_id: OrganisationId,
    identity: EventIdentity,
    event: &ResolvedEvent<'_>,
    now: DateTime<Utc>,
) -> Model {
    let EventIdentity { id, number } = identity;
    let Details {
        performed_on,
        description,
        external_system,
        external_system_reference_number,
        udf_strings,
        udf_floats,
        udf_dates,
    } = event.details.clone();
    let [
        udf_string_1,
        udf_string_2,
        udf_string_3,
        udf_string_4,
        udf_string_5,
        udf_string_6,
        udf_string_7,
        udf_string_8,
    ] = udf_strings;
    let [udf_float_1, udf_float_2, udf_float_3, udf_float_4] = udf_floats;
    let [udf_date_1, udf_date_2, udf_date_3, udf_date_4] = udf_dates;
    Model {
        organisation_id,
        id,
        number,
        in_force: Some(true),
        classification_key: event.classification_key,
        performed_by_business_unit_key: event.performed_by.business_unit_key,
        performed_by_unit_key: event.performed_by.unit_key,
        performed_by_tap_key: event.performed_by.tap_key,
        performed_by_device_key: event.performed_by.device_key,
        performed_on,
        description,
        referred_account_key: event.referred.account_key,
        referred_by_account_key: event.referred_by.account_key,
        external_system,
        external_system_reference_number,
        content_hash: event.content_hash.map(|hash| hash.to_vec()),
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
        created_on: now,
        cancelled_on: None,
        cancellation_reason: None,
    }
}
