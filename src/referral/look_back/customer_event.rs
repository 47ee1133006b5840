//! An event that is there, with the names of what it refers to.

use std::{collections::HashMap, hash::Hash};

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr};

use crate::{
    id::{EventNumber, OrganisationId},
    referral::event::{Details, EventIdentity},
    storage::{
        calls::{self, Origin},
        directory_names::{DirectoryName, DirectoryNames, find_names_of},
        entity::referral_event::Model,
    },
};

/// An event with what callers know its classification, its places and its parties by.
#[derive(Clone, Debug)]
pub struct CustomerEvent {
    pub identity: EventIdentity,
    pub details: Details,
    pub classification: Option<Named>,
    pub business_unit: Option<Named>,
    pub unit: Option<Named>,
    pub tap: Option<Named>,
    pub device: Option<Named>,
    pub referred_account: Option<Named>,
    pub referred_participant: Option<Named>,
    pub referred_by_account: Option<Named>,
    pub referred_by_participant: Option<Named>,
    pub created_on: DateTime<Utc>,
    /// By which requests it came to be and was cancelled.
    pub origin: Option<Origin>,
    /// `None` for an event in force.
    pub cancellation: Option<Cancellation>,
}

/// When an event was cancelled, and why.
#[derive(Clone, Debug)]
pub struct Cancellation {
    pub on: Option<DateTime<Utc>>,
    pub reason: Option<String>,
}

/// What callers know a row of the directory by.
#[derive(Clone, Debug)]
pub struct Named {
    pub id: String,
    /// Its code, its alternative code or its number, whichever its kind has.
    pub code: String,
    pub name: Option<String>,
}

impl From<&DirectoryName> for Named {
    fn from(DirectoryName { id, code, name }: &DirectoryName) -> Self {
        Self { id: id.clone(), code: code.clone(), name: name.clone() }
    }
}

/// The events of these rows, with all that is told of them.
pub async fn describe<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    rows: Vec<Model>,
) -> Result<Vec<CustomerEvent>, DbErr> {
    let names = find_names_of(connection, organisation_id, &rows).await?;
    let numbers: Vec<EventNumber> = rows.iter().map(|row| row.number).collect();
    let origins = calls::find_origins(connection, organisation_id, &numbers).await?;
    let mut origins: HashMap<EventNumber, Origin> = origins.into_iter().map(|origin| (origin.number, origin)).collect();
    let describe = |row: Model| {
        let origin = origins.remove(&row.number);
        CustomerEvent::new(row, &names, origin)
    };
    Ok(rows.into_iter().map(describe).collect())
}

impl CustomerEvent {
    /// The event of a row, whose names are among `names`.
    fn new(row: Model, names: &DirectoryNames, origin: Option<Origin>) -> Self {
        Self {
            identity: EventIdentity { id: row.id, number: row.number },
            classification: named(&names.classifications, row.classification_key),
            business_unit: named(&names.business_units, row.performed_by_business_unit_key),
            unit: named(&names.units, row.performed_by_unit_key),
            tap: named(&names.taps, row.performed_by_tap_key),
            device: named(&names.devices, row.performed_by_device_key),
            referred_account: named(&names.accounts, Some(row.referred_account_key)),
            referred_participant: named(&names.participants, Some(row.referred_account_key)),
            referred_by_account: named(&names.accounts, Some(row.referred_by_account_key)),
            referred_by_participant: named(&names.participants, Some(row.referred_by_account_key)),
            created_on: row.created_on,
            origin,
            cancellation: match row.in_force {
                Some(_) => None,
                None => Some(Cancellation { on: row.cancelled_on, reason: row.cancellation_reason }),
            },
            details: Details {
                performed_on: row.performed_on,
                description: row.description,
                external_system: row.external_system,
                external_system_reference_number: row.external_system_reference_number,
                udf_strings: [
                    row.udf_string_1,
                    row.udf_string_2,
                    row.udf_string_3,
                    row.udf_string_4,
                    row.udf_string_5,
                    row.udf_string_6,
                    row.udf_string_7,
                    row.udf_string_8,
                ],
                udf_floats: [row.udf_float_1, row.udf_float_2, row.udf_float_3, row.udf_float_4],
                udf_dates: [row.udf_date_1, row.udf_date_2, row.udf_date_3, row.udf_date_4],
            },
        }
    }
}

fn named<K: Eq + Hash>(names: &HashMap<K, DirectoryName>, key: Option<K>) -> Option<Named> {
    names.get(&key?).map(Named::from)
}
