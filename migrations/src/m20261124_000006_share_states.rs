//! What an account and its participant know of each other's state, so that either name finds all there is to know of a
//! party with one look-up, of which a call makes two thousand.
//!
//! Both columns say the exception: nearly all parties are active, and importing those writes to no other row.

use sea_orm_migration::{prelude::*, schema::*};

use crate::table::execute;

/// Each a table, its column, and what holds where it is true.
const EXCEPTIONS: [(&str, &str, &str); 2] = [
    (
        "accounts_receivable",
        "has_ineffective_participant",
        "SELECT 1 FROM rewards_participants o WHERE o.organisation_id = accounts_receivable.organisation_id \
         AND o.account_key = accounts_receivable.key AND o.state <> 'EFFECTIVE'",
    ),
    (
        "rewards_participants",
        "has_inactive_account",
        "SELECT 1 FROM accounts_receivable o WHERE o.organisation_id = rewards_participants.organisation_id \
         AND o.key = rewards_participants.account_key AND o.state <> 'ACTIVE'",
    ),
];

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column, holds) in EXCEPTIONS {
            let added = boolean(column).default(false).take();
            manager.alter_table(Table::alter().table(table).add_column(added).take()).await?;
            let update = format!("UPDATE {table} SET {column} = TRUE WHERE EXISTS ({holds})");
            execute(manager, &update).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column, _) in EXCEPTIONS {
            manager.alter_table(Table::alter().table(table).drop_column(column).take()).await?;
        }
        Ok(())
    }
}
