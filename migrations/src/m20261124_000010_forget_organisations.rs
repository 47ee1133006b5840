//! PostgreSQL keeps no statistics of which organisation has how many rows of the tables that calls fill. It would take an
//! organisation that it did not see when it last looked for one without rows, and read any index that begins with the
//! organisation from end to end, once for each key: 6 s for a thousand keys where there are 30,000 events. Without
//! statistics it takes every organisation for one of many rows.
//!
//! The directory keeps its statistics, which imports bring up to date. On Citus it was said when the
//! tables were made: it has no ALTER TABLE of the kind for one that is distributed.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use crate::table::{execute, has_citus};

const TABLES: [&str; 2] = ["referral_events", "idempotency_keys"];

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        set_statistics(manager, 0).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        set_statistics(manager, -1).await
    }
}

/// Says in how much detail the column is looked at. What is known of it so far goes with a change of its type, of which
/// there is none: nothing is written anew.
async fn set_statistics(manager: &SchemaManager<'_>, detail: i32) -> Result<(), DbErr> {
    if manager.get_database_backend() != DbBackend::Postgres || has_citus(manager.get_connection()).await? {
        return Ok(());
    }
    for table in TABLES {
        let sql = format!(
            "ALTER TABLE {table} ALTER organisation_id TYPE BIGINT, ALTER organisation_id SET STATISTICS {detail}"
        );
        execute(manager, &sql).await?;
    }
    Ok(())
}
