//! Who created events, and who cancelled them, each with the id of the request.
//!
//! What a call creates has consecutive numbers, so `calls` has one row for each call that created something, whatever
//! the number of its events, and the events are as they were. Events are cancelled one by one, and few are: `cancellations`
//! has a row for each. Neither refers to another table: each reference would cost a call a look-up and a lock. Events from
//! before have no row.

use sea_orm_migration::prelude::*;

use crate::table::{distribute, drop_all, execute, keep_no_statistics, text_type};

const TABLES: [&str; 2] = ["calls", "cancellations"];

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = text_type(manager);
        for statement in [
            format!(
                "CREATE TABLE calls (organisation_id BIGINT NOT NULL, first_number BIGINT NOT NULL, \
                 last_number BIGINT NOT NULL, request_id {text} NOT NULL, created_by {text} NOT NULL, \
                 PRIMARY KEY (organisation_id, first_number))"
            ),
            format!(
                "CREATE TABLE cancellations (organisation_id BIGINT NOT NULL, number BIGINT NOT NULL, \
                 request_id {text} NOT NULL, cancelled_by {text} NOT NULL, PRIMARY KEY (organisation_id, number))"
            ),
            // A request id is the caller's own and may come again; a user has many calls. Both are read by number.
            "CREATE INDEX calls_by_request ON calls (organisation_id, request_id, first_number)".to_owned(),
            "CREATE INDEX calls_by_user ON calls (organisation_id, created_by, first_number)".to_owned(),
            "CREATE INDEX cancellations_by_request ON cancellations (organisation_id, request_id, number)".to_owned(),
        ] {
            execute(manager, &statement).await?;
        }
        for table in TABLES {
            keep_no_statistics(manager, table).await?;
        }
        distribute(manager, &TABLES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_all(manager, &TABLES).await
    }
}
