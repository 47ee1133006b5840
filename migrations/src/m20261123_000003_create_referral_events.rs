//! Referral events.
//!
//! `in_force` is true while the event stands and NULL once it is cancelled. It is the last column of the two keys
//! that a cancelled event must leave: a NULL never collides, so cancelling frees the referred party and the external
//! reference. `external_system` is empty, not NULL, where none was given, for the references without a system are
//! unique among themselves.
//!
//! Events carry no foreign keys: each would cost a look-up and a row lock for every event. Organisations and directory
//! rows are never deleted, and the organisation is the token's.

use sea_orm_migration::{prelude::*, schema::*};

use crate::table::{distribute, drop_all, forget_organisations, primary_key, unique};

const TABLE: &str = "referral_events";

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut events = Table::create()
            .table(TABLE)
            .col(big_integer("organisation_id"))
            .col(uuid("id"))
            .col(big_integer("number"))
            .col(boolean_null("in_force"))
            .col(big_integer_null("classification_key"))
            .col(big_integer_null("performed_by_business_unit_key"))
            .col(big_integer_null("performed_by_unit_key"))
            .col(big_integer_null("performed_by_tap_key"))
            .col(big_integer_null("performed_by_device_key"))
            .col(timestamp_with_time_zone("performed_on"))
            .col(text_null("description"))
            .col(big_integer("referred_account_key"))
            .col(big_integer("referred_by_account_key"))
            .col(text("external_system"))
            .col(text_null("external_system_reference_number"))
            .col(blob_null("content_hash"))
            .take();
        for i in 1..=8 {
            events.col(text_null(format!("udf_string_{i}")));
        }
        for i in 1..=4 {
            events.col(double_null(format!("udf_float_{i}")));
        }
        for i in 1..=4 {
            events.col(timestamp_with_time_zone_null(format!("udf_date_{i}")));
        }
        events
            .col(timestamp_with_time_zone("created_on"))
            .primary_key(&mut primary_key(TABLE, &["id"]))
            .index(&mut unique(TABLE, &["number"]))
            .index(&mut unique(TABLE, &["referred_account_key", "in_force"]))
            .index(&mut unique(TABLE, &["external_system", "external_system_reference_number", "in_force"]));
        manager.create_table(events).await?;

        // Each call asks whether the parties that it refers have referred somebody, without which no circle is possible.
        let by_referrer = Index::create()
            .name("referral_events_by_referrer")
            .table(TABLE)
            .col("organisation_id")
            .col("referred_by_account_key")
            .take();
        manager.create_index(by_referrer).await?;
        forget_organisations(manager, TABLE).await?;
        distribute(manager, &[TABLE]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_all(manager, &[TABLE]).await
    }
}
