//! Organisations, their users, the tokens that were released before their end, and the counters.

use sea_orm_migration::{prelude::*, schema::*};

use crate::table::{distribute, drop_all, of_organisation, primary_key, replicate, unique};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let organisations = Table::create()
            .table("organisations")
            .col(big_pk_auto("id"))
            .col(text_uniq("name"))
            .col(timestamp_with_time_zone("created_on"))
            .take();
        let users = of_organisation("users")
            .col(text("id"))
            .col(text("name"))
            .col(text("password_hash"))
            .col(text("role"))
            .col(text_null("default_unit_id"))
            .col(timestamp_with_time_zone("created_on"))
            .primary_key(&mut primary_key("users", &["id"]))
            .index(&mut unique("users", &["name"]))
            .take();
        let released_tokens = of_organisation("released_tokens")
            .col(uuid("token_id"))
            .col(timestamp_with_time_zone("expires_on"))
            .primary_key(&mut primary_key("released_tokens", &["token_id"]))
            .take();
        let counters = of_organisation("counters")
            .col(text("name"))
            .col(big_integer("last_value"))
            .primary_key(&mut primary_key("counters", &["name"]))
            .take();
        for table in [organisations, users, released_tokens, counters] {
            manager.create_table(table).await?;
        }
        // A login asks for an organisation by its name, and every machine needs them for its foreign keys.
        replicate(manager, "organisations").await?;
        distribute(manager, &["users", "released_tokens", "counters"]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_all(manager, &["counters", "released_tokens", "users", "organisations"]).await
    }
}
