use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "referral_events")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organisation_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub number: i64,
    /// True while the event stands, NULL once it is cancelled.
    pub in_force: Option<bool>,
    pub classification_key: Option<i64>,
    pub performed_by_business_unit_key: Option<i64>,
    pub performed_by_unit_key: Option<i64>,
    pub performed_by_tap_key: Option<i64>,
    pub performed_by_device_key: Option<i64>,
    pub performed_on: DateTimeUtc,
    pub description: Option<String>,
    pub referred_account_key: i64,
    pub referred_by_account_key: i64,
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
