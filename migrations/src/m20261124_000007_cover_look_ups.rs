//! On PostgreSQL, the indexes by which parties are looked up hold all that a look-up asks for, so that it reads no
//! table. SQLite has no such indexes.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use crate::table::{execute, unique};

/// Each a table, what names its rows, and what a look-up asks of them.
const LOOK_UPS: [(&str, [&str; 2], [&str; 3]); 2] = [
    ("accounts_receivable", ["id", "number"], ["key", "state", "has_ineffective_participant"]),
    ("rewards_participants", ["id", "number"], ["account_key", "state", "has_inactive_account"]),
];

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() != DbBackend::Postgres {
            return Ok(());
        }
        for (table, names, asked) in LOOK_UPS {
            for name in names {
                let mut covering = unique(table, &[name]);
                covering.name(covering_name(table, name)).table(table);
                for column in asked {
                    covering.include(column);
                }
                manager.create_index(covering).await?;
                let constraint = format!("ALTER TABLE {table} DROP CONSTRAINT {table}_unique_{name}");
                execute(manager, &constraint).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() != DbBackend::Postgres {
            return Ok(());
        }
        for (table, names, _) in LOOK_UPS {
            for name in names {
                let constraint = format!(
                    "ALTER TABLE {table} ADD CONSTRAINT {table}_unique_{name} UNIQUE (organisation_id, {name})"
                );
                execute(manager, &constraint).await?;
                manager.drop_index(Index::drop().name(covering_name(table, name)).table(table).to_owned()).await?;
            }
        }
        Ok(())
    }
}

fn covering_name(table: &str, name: &str) -> String {
    format!("{table}_by_{name}")
}
