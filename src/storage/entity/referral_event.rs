use sea_orm::entity::prelude::*;

use crate::id::{AccountKey, EntryKey, EventId, EventNumber, OrganisationId};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "referral_events")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organisation_id: OrganisationId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: EventId,
    pub number: EventNumber,
    /// True while the event stands, NULL once it is cancelled.
    pub in_force: Option<bool>,
    pub classification_key: Option<EntryKey>,
    pub performed_by_business_unit_key: Option<EntryKey>,
    pub performed_by_unit_key: Option<EntryKey>,
    pub performed_by_tap_key: Option<EntryKey>,
    pub performed_by_device_key: Option<EntryKey>,
    pub performed_on: DateTimeUtc,
    pub description: Option<String>,
    pub referred_account_key: AccountKey,
    pub referred_by_account_key: AccountKey,
    /// Empty where none was given.
    pub external_system: String,
    pub external_system_reference_number: Option<String>,
    /// What a repeat under the same external reference is compared with; NULL without a reference.
    pub content_hash: Option<Vec<u8>>,
    pub udf_string_1: Option<String>,
    pub udf_string_2: Option<String>,
    pub udf_string_3: Option<String>,
    pub udf_string_4: Option<String>,
    pub udf_string_5: Option<String>,
    pub udf_string_6: Option<String>,
    pub udf_string_7: Option<String>,
    pub udf_string_8: Option<String>,
    pub udf_float_1: Option<f64>,
    pub udf_float_2: Option<f64>,
    pub udf_float_3: Option<f64>,
    pub udf_float_4: Option<f64>,
    pub udf_date_1: Option<DateTimeUtc>,
    pub udf_date_2: Option<DateTimeUtc>,
    pub udf_date_3: Option<DateTimeUtc>,
    pub udf_date_4: Option<DateTimeUtc>,
    pub created_on: DateTimeUtc,
    pub cancelled_on: Option<DateTimeUtc>,
    pub cancellation_reason: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
