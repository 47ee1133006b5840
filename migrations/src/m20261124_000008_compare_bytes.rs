//! On PostgreSQL, texts are compared by their bytes, as SQLite does. The database's own collation is a language's by
//! default: it makes each step down an index a comparison by that language's rules, and ties every index to a version
//! of them, which an update of the system may change.
//!
//! Nothing is sorted by a text for somebody to read, and which texts are equal does not depend on it.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DbBackend, Statement},
};

use crate::table::execute;

/// The tables that have texts in an index.
const TABLES: [&str; 13] = [
    "organisations",
    "users",
    "counters",
    "business_units",
    "units",
    "taps",
    "devices",
    "classifications",
    "accounts_receivable",
    "rewards_participants",
    "access_tokens",
    "referral_events",
    "idempotency_keys",
];

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        collate(manager, "C").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        collate(manager, "default").await
    }
}

/// Gives all texts of the tables a collation; their indexes are made anew.
async fn collate(manager: &SchemaManager<'_>, collation: &str) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    if manager.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    for table in TABLES {
        let changes = format!(
            "SELECT string_agg(format('ALTER %I TYPE TEXT COLLATE \"{collation}\"', attname), ', ') AS changes \
             FROM pg_attribute WHERE attrelid = '{table}'::regclass AND atttypid = 'text'::regtype"
        );
        let row = connection.query_one_raw(Statement::from_string(DbBackend::Postgres, changes)).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound(table.to_owned()))?;
        let changes: String = row.try_get("", "changes")?;
        execute(manager, &format!("ALTER TABLE {table} {changes}")).await?;
    }
    Ok(())
}
