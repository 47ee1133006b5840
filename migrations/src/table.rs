//! The shapes that the tables share.

use sea_orm_migration::{
    prelude::*,
    schema::*,
    sea_orm::{ConnectionTrait, DbBackend, Statement},
};

/// A table of one organisation's rows: `organisation_id`, not null, and the reference to its organisation.
pub fn of_organisation(name: &'static str) -> TableCreateStatement {
    Table::create()
        .table(name)
        .col(big_integer("organisation_id"))
        .foreign_key(
            ForeignKey::create()
                .name(format!("{name}_organisation"))
                .from(name, "organisation_id")
                .to("organisations", "id"),
        )
        .take()
}

/// A directory table: `key` for other rows to refer to, and `id` for callers to name.
pub fn of_directory(name: &'static str) -> TableCreateStatement {
    of_organisation(name)
        .col(big_integer("key"))
        .col(text("id"))
        .primary_key(&mut primary_key(name, &["key"]))
        .index(&mut unique(name, &["id"]))
        .take()
}

/// The primary key: the organisation, then `columns`.
pub fn primary_key(table: &str, columns: &[&'static str]) -> IndexCreateStatement {
    columns
        .iter()
        .fold(Index::create().name(format!("{table}_key")).col("organisation_id"), |index, column| index.col(*column))
        .take()
}

/// A unique key: the organisation, then `columns`. Rows in which one of them is NULL never collide.
pub fn unique(table: &str, columns: &[&'static str]) -> IndexCreateStatement {
    columns
        .iter()
        .fold(
            Index::create().unique().name(format!("{table}_unique_{}", columns.join("_"))).col("organisation_id"),
            |index, column| index.col(*column),
        )
        .take()
}

/// A reference to a directory row of the same organisation.
pub fn reference(from: &'static str, column: &'static str, to: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .name(format!("{from}_{column}"))
        .from(from, ("organisation_id", column))
        .to(to, ("organisation_id", "key"))
        .take()
}

/// Where PostgreSQL has Citus, puts each organisation's rows of `tables` on one of its machines, the same one for all
/// tables. Those that others refer to come first.
pub async fn distribute(manager: &SchemaManager<'_>, tables: &[&str]) -> Result<(), DbErr> {
    on_citus(manager, tables, |table| format!("SELECT create_distributed_table('{table}', 'organisation_id')")).await
}

/// Where PostgreSQL has Citus, puts a copy of `table` on each of its machines.
pub async fn replicate(manager: &SchemaManager<'_>, table: &str) -> Result<(), DbErr> {
    on_citus(manager, &[table], |table| format!("SELECT create_reference_table('{table}')")).await
}

/// Where PostgreSQL has Citus, has no statistics made of which organisation has how many rows of `table`, as
/// `m20261124_000010_forget_organisations` does elsewhere. Citus takes it over for all parts of a table, before the table
/// is distributed and never after.
pub async fn forget_organisations(manager: &SchemaManager<'_>, table: &str) -> Result<(), DbErr> {
    on_citus(manager, &[table], |table| format!("ALTER TABLE {table} ALTER organisation_id SET STATISTICS 0")).await
}

/// The same on all of PostgreSQL, for a table that is made now.
pub async fn keep_no_statistics(manager: &SchemaManager<'_>, table: &str) -> Result<(), DbErr> {
    if manager.get_database_backend() == DbBackend::Postgres {
        execute(manager, &format!("ALTER TABLE {table} ALTER organisation_id SET STATISTICS 0")).await?;
    }
    Ok(())
}

/// The type of a text that is compared by its bytes on both databases.
pub fn text_type(manager: &SchemaManager<'_>) -> &'static str {
    match manager.get_database_backend() {
        DbBackend::Postgres => "TEXT COLLATE \"C\"",
        _ => "TEXT",
    }
}

/// The type of an id of 128 bits.
pub fn id_type(manager: &SchemaManager<'_>) -> &'static str {
    match manager.get_database_backend() {
        DbBackend::Postgres => "UUID",
        _ => "uuid_text",
    }
}

/// The type of a moment.
pub fn moment_type(manager: &SchemaManager<'_>) -> &'static str {
    match manager.get_database_backend() {
        DbBackend::Postgres => "TIMESTAMPTZ",
        _ => "timestamp_with_timezone_text",
    }
}

/// Lets a table refer to one that each machine has a copy of before it is distributed itself; Citus would otherwise take
/// it for one to keep whole. [`crate::FOR_CITUS`] has it for all steps together, this is for who calls the migrator.
pub async fn refer_before_distributing(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    if manager.get_database_backend() == DbBackend::Postgres {
        execute(manager, crate::FOR_CITUS[0]).await?;
    }
    Ok(())
}

async fn on_citus(manager: &SchemaManager<'_>, tables: &[&str], call: fn(&str) -> String) -> Result<(), DbErr> {
    if manager.get_database_backend() == DbBackend::Postgres && has_citus(manager.get_connection()).await? {
        for table in tables {
            execute(manager, &call(table)).await?;
        }
    }
    Ok(())
}

/// Runs a statement that has no parameters. Unlike one sent unprepared it is known to who reports its failure.
pub async fn execute(manager: &SchemaManager<'_>, sql: &str) -> Result<(), DbErr> {
    let statement = Statement::from_string(manager.get_database_backend(), sql);
    manager.get_connection().execute_raw(statement).await.map(|_| ())
}

/// Whether the PostgreSQL database is one of Citus.
pub async fn has_citus<C: ConnectionTrait>(connection: &C) -> Result<bool, DbErr> {
    let is_installed = "SELECT 1 AS installed FROM pg_extension WHERE extname = 'citus'";
    let statement = Statement::from_string(DbBackend::Postgres, is_installed);
    Ok(connection.query_one_raw(statement).await?.is_some())
}

/// Drops `tables`, in the order given.
pub async fn drop_all(manager: &SchemaManager<'_>, tables: &[&'static str]) -> Result<(), DbErr> {
    for table in tables {
        manager.drop_table(Table::drop().table(*table).take()).await?;
    }
    Ok(())
}
