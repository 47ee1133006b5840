//! Every organisation has its counters from its beginning, so that taking a value is an UPDATE. Before, each was made
//! when it was first needed, by an INSERT that Citus does not run.

use sea_orm_migration::prelude::*;

use crate::table::execute;

const COUNTERS: [&str; 4] = ["event_number", "directory_key", "directory_version", "turn"];

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for counter in COUNTERS {
            // SQLite would take the ON of a SELECT without a condition for that of a join.
            let missing = format!(
                "INSERT INTO counters (organisation_id, name, last_value) \
                 SELECT id, '{counter}', 0 FROM organisations WHERE TRUE ON CONFLICT (organisation_id, name) DO NOTHING"
            );
            execute(manager, &missing).await?;
        }
        Ok(())
    }

    /// They do no harm.
    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Ok(())
    }
}
