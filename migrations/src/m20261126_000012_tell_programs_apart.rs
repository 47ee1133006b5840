//! What programs that share a database must know of each other. `compatible_steps` has the steps of the schema that a
//! program can do without knowing, each with the last step that it `needs` to know for that. `key_checks` has what tells
//! whether a program has the key that the database's codes are hashed with.
//!
//! Both belong to no organisation, and are read when a program starts: on Citus they stay on the coordinator.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use crate::table::drop_all;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // As step 8 has it.
        let text = match manager.get_database_backend() {
            DbBackend::Postgres => "TEXT COLLATE \"C\"",
            _ => "TEXT",
        };
        for table in [
            format!("CREATE TABLE compatible_steps (step {text} NOT NULL PRIMARY KEY, needs {text} NOT NULL)"),
            format!("CREATE TABLE key_checks (name {text} NOT NULL PRIMARY KEY, value {text} NOT NULL)"),
        ] {
            manager.get_connection().execute_unprepared(&table).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_all(manager, &["key_checks", "compatible_steps"]).await
    }
}
