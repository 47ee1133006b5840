//! The failed guesses at passwords and codes, counted so that those who guess can be made to wait.
//!
//! The table is no organisation's: a login may name one that does not exist, and is to cost and to leave the same. What
//! is guessed at is a keyed hash, so that the table holds no names. On Citus it stays a plain table of the coordinator.

use sea_orm_migration::{prelude::*, schema::*};

use crate::table::drop_all;

const TABLE: &str = "failed_guesses";

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let guesses = Table::create()
            .table(TABLE)
            .col(big_integer("subject").primary_key())
            .col(big_integer("failures"))
            .col(big_integer("free_at"))
            .col(big_integer("version"))
            .take();
        manager.create_table(guesses).await?;

        // Those that are forgotten are removed, the oldest first.
        let by_age = Index::create().name("failed_guesses_by_age").table(TABLE).col("free_at").take();
        manager.create_index(by_age).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_all(manager, &[TABLE]).await
    }
}
