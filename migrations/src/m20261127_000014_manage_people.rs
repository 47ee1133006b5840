//! Users and organisations that are disabled, and what administrators did.
//!
//! A token tells the `token_generation` that its user had when it was issued; one of an earlier generation has ended. A
//! program that does not know this step accepts the tokens of all generations, and issues those of the first.
//!
//! The new columns are empty or have a constant default, so no row is written anew.

use sea_orm_migration::{prelude::*, schema::*};

use crate::table::{distribute, drop_all, of_organisation, primary_key, refer_before_distributing};

const AUDIT: &str = "audit_entries";

fn columns() -> [(&'static str, &'static str, ColumnDef); 3] {
    [
        ("users", "disabled_on", timestamp_with_time_zone_null("disabled_on")),
        ("users", "token_generation", big_integer("token_generation").default(0).take()),
        ("organisations", "disabled_on", timestamp_with_time_zone_null("disabled_on")),
    ]
}

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        refer_before_distributing(manager).await?;
        for (table, _, column) in columns() {
            manager.alter_table(Table::alter().table(table).add_column(column).take()).await?;
        }
        let audit = of_organisation(AUDIT)
            .col(uuid("id"))
            .col(timestamp_with_time_zone("occurred_on"))
            .col(text("actor"))
            .col(text("host"))
            .col(text("action"))
            .col(text_null("user_name"))
            .col(text_null("details"))
            .primary_key(&mut primary_key(AUDIT, &["id"]))
            .take();
        manager.create_table(audit).await?;
        distribute(manager, &[AUDIT]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_all(manager, &[AUDIT]).await?;
        for (table, column, _) in columns() {
            manager.alter_table(Table::alter().table(table).drop_column(column).take()).await?;
        }
        Ok(())
    }
}
