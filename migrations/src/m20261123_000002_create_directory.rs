//! The directory: places, classifications, accounts, participants and access tokens.

use sea_orm_migration::{prelude::*, schema::*};

use crate::table::{distribute, drop_all, of_directory, refer_before_distributing, reference, unique};

/// Each after those that it refers to.
const TABLES: [&str; 8] = [
    "business_units",
    "units",
    "taps",
    "devices",
    "classifications",
    "accounts_receivable",
    "rewards_participants",
    "access_tokens",
];

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        refer_before_distributing(manager).await?;
        // A place names its default TAP, rather than a TAP its place: two defaults are impossible that way. No
        // foreign key holds it, for TAPs refer to places already and a circle of keys can't be loaded in any order.
        let business_units = of_directory("business_units")
            .col(text("code"))
            .col(text_null("name"))
            .col(big_integer_null("default_tap_key"))
            .index(&mut unique("business_units", &["code"]))
            .index(&mut unique("business_units", &["name"]))
            .take();
        let units = of_directory("units")
            .col(text_null("name"))
            .col(text("alternative_code"))
            .col(big_integer_null("business_unit_key"))
            .col(big_integer_null("default_tap_key"))
            .index(&mut unique("units", &["alternative_code"]))
            .index(&mut unique("units", &["name"]))
            .foreign_key(&mut reference("units", "business_unit_key", "business_units"))
            .take();
        let taps = of_directory("taps")
            .col(text("code"))
            .col(text_null("name"))
            .col(big_integer_null("business_unit_key"))
            .col(big_integer_null("unit_key"))
            .index(&mut unique("taps", &["code"]))
            .index(&mut unique("taps", &["name"]))
            .foreign_key(&mut reference("taps", "business_unit_key", "business_units"))
            .foreign_key(&mut reference("taps", "unit_key", "units"))
            .take();
        let devices = of_directory("devices")
            .col(text("code"))
            .col(big_integer_null("unit_key"))
            .index(&mut unique("devices", &["code"]))
            .foreign_key(&mut reference("devices", "unit_key", "units"))
            .take();
        let classifications = of_directory("classifications")
            .col(text_null("name"))
            .col(text("alternative_code"))
            .index(&mut unique("classifications", &["alternative_code"]))
            .index(&mut unique("classifications", &["name"]))
            .take();
        let accounts_receivable = of_directory("accounts_receivable")
            .col(text("number"))
            .col(text("state"))
            .index(&mut unique("accounts_receivable", &["number"]))
            .take();
        let rewards_participants = of_directory("rewards_participants")
            .col(text("number"))
            .col(big_integer("account_key"))
            .col(text("state"))
            .index(&mut unique("rewards_participants", &["number"]))
            .index(&mut unique("rewards_participants", &["account_key"]))
            .foreign_key(&mut reference("rewards_participants", "account_key", "accounts_receivable"))
            .take();
        // A one-time password that was used keeps its hash and the number of the event that used it, so that the retry
        // of that event can be told from a second use; `one_time_password_live` turns NULL, which frees the code for
        // another token.
        let access_tokens = of_directory("access_tokens")
            .col(text("identifier"))
            .col(text_null("authentication_code_hash"))
            .col(text_null("pass_code_hash"))
            .col(text("state"))
            .col(timestamp_with_time_zone_null("effective_from"))
            .col(timestamp_with_time_zone_null("effective_to"))
            .col(big_integer("participant_key"))
            .col(text_null("one_time_password_hash"))
            .col(boolean_null("one_time_password_live"))
            .col(timestamp_with_time_zone_null("one_time_password_expires_on"))
            .col(big_integer_null("one_time_password_used_by"))
            .index(&mut unique("access_tokens", &["identifier"]))
            .index(&mut unique("access_tokens", &["authentication_code_hash"]))
            .index(&mut unique("access_tokens", &["one_time_password_hash", "one_time_password_live"]))
            .foreign_key(&mut reference("access_tokens", "participant_key", "rewards_participants"))
            .take();
        for table in [
            business_units,
            units,
            taps,
            devices,
            classifications,
            accounts_receivable,
            rewards_participants,
            access_tokens,
        ] {
            manager.create_table(table).await?;
        }
        distribute(manager, &TABLES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut tables = TABLES;
        tables.reverse();
        drop_all(manager, &tables).await
    }
}
