//! From a resolved event to the row that is stored.

use chrono::{DateTime, Utc};

use super::{report::Created, resolve::ResolvedEvent};
use crate::storage::bulk_load::NewEvent;

/// The row of an event that is created at `now`.
pub fn row<'a>(created: Created, event: &'a ResolvedEvent<'_>, now: DateTime<Utc>) -> NewEvent<'a> {
    let details = event.details;
    NewEvent {
        id: created.id,
        number: created.number,
        classification_key: event.classification_key,
        performed_by_business_unit_key: event.performed_by.business_unit_key,
        performed_by_unit_key: event.performed_by.unit_key,
        performed_by_tap_key: event.performed_by.tap_key,
        performed_by_device_key: event.performed_by.device_key,
        performed_on: details.performed_on,
        description: details.description.as_deref(),
        referred_account_key: event.referred.account_key,
        referred_by_account_key: event.referred_by.account_key,
        external_system: &details.external_system,
        external_system_reference_number: details.external_system_reference_number.as_deref(),
        content_hash: event.content_hash.as_ref().map(|hash| hash.as_slice()),
        udf_strings: &details.udf_strings,
        udf_floats: details.udf_floats,
        udf_dates: details.udf_dates,
        created_on: now,
    }
}
