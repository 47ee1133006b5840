//! The answers that are kept for the repeats of calls with an idempotency key.

use sea_orm_migration::{prelude::*, schema::*};

use crate::table::{
    distribute, drop_all, forget_organisations, of_organisation, primary_key, refer_before_distributing,
};

const TABLE: &str = "idempotency_keys";

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        refer_before_distributing(manager).await?;
        let keys = of_organisation(TABLE)
            .col(text("method"))
            .col(text("idempotency_key"))
            .col(blob("fingerprint"))
            .col(blob("answer"))
            .col(timestamp_with_time_zone("created_on"))
            .primary_key(&mut primary_key(TABLE, &["method", "idempotency_key"]))
            .take();
        manager.create_table(keys).await?;

        // Old answers are removed, the oldest first.
        let by_age = Index::create()
            .name("idempotency_keys_by_age")
            .table(TABLE)
            .col("organisation_id")
            .col("created_on")
            .take();
        manager.create_index(by_age).await?;
        forget_organisations(manager, TABLE).await?;
        distribute(manager, &[TABLE]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_all(manager, &[TABLE]).await
    }
}
