//! The journal of unprocessed events: what a caller was told of events that were not created, for some days.
//!
//! Ids rise with the time, so a page of the newest is read, and the oldest are removed, by the primary key alone: what is
//! written beside the calls is to cost as little as it can.

use sea_orm_migration::prelude::*;

use crate::table::{distribute, drop_all, execute, id_type, keep_no_statistics, moment_type, text_type};

const TABLE: &str = "unprocessed_events";

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (id, moment, text) = (id_type(manager), moment_type(manager), text_type(manager));
        let table = format!(
            "CREATE TABLE {TABLE} (organisation_id BIGINT NOT NULL, id {id} NOT NULL, created_on {moment} NOT NULL, \
             created_by {text} NOT NULL, request_id {text} NOT NULL, event_index BIGINT NOT NULL, \
             request_unique_identifier {text}, error_codes {text} NOT NULL, error_description {text} NOT NULL, \
             external_system {text}, external_system_reference_number {text}, PRIMARY KEY (organisation_id, id))"
        );
        execute(manager, &table).await?;
        keep_no_statistics(manager, TABLE).await?;
        distribute(manager, &[TABLE]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_all(manager, &[TABLE]).await
    }
}
