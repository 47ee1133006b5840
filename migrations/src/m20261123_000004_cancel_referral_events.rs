//! Cancelling referral events, and looking back on them.

use sea_orm_migration::{prelude::*, schema::*};

const TABLE: &str = "referral_events";
const BY_REFERRER: &str = "referral_events_by_referrer";
const BY_REFERRER_AND_NUMBER: &str = "referral_events_by_referrer_and_number";

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // One column a statement: SQLite takes no more.
        for column in [timestamp_with_time_zone_null("cancelled_on"), text_null("cancellation_reason")] {
            manager.alter_table(Table::alter().table(TABLE).add_column(column).take()).await?;
        }
        // With the number it serves the pages of one referrer too, the newest event first. It comes before the old one
        // goes: each event that is created asks whom its referred party has referred.
        manager.create_index(by_referrer(BY_REFERRER_AND_NUMBER).col("number").take()).await?;
        manager.drop_index(Index::drop().name(BY_REFERRER).table(TABLE).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_index(by_referrer(BY_REFERRER)).await?;
        manager.drop_index(Index::drop().name(BY_REFERRER_AND_NUMBER).table(TABLE).to_owned()).await?;
        for column in ["cancellation_reason", "cancelled_on"] {
            manager.alter_table(Table::alter().table(TABLE).drop_column(column).take()).await?;
        }
        Ok(())
    }
}

fn by_referrer(name: &str) -> IndexCreateStatement {
    Index::create().name(name).table(TABLE).col("organisation_id").col("referred_by_account_key").take()
}
