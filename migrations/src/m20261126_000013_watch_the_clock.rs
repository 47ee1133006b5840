//! How far events lie behind others that were numbered before them, by the clock: so much more than a period is to be
//! read to find all events that were created in it. Clocks of several servers differ, and are set back.
//!
//! The counter of the events' numbers keeps it, in microseconds, for each number is taken there. `greatest_lag` is about
//! the events numbered from `steady_from` on, `latest_creation` the latest of their dates; `greatest_lag_before` is about
//! those before, where the clock was once set back so far that a new beginning was made.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DbBackend, Statement},
};

const COLUMNS: [&str; 4] = ["steady_from", "latest_creation", "greatest_lag", "greatest_lag_before"];
/// A lag that is no difference between clocks any more: a day, in microseconds.
const DAY: i64 = 86_400_000_000;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let backend = manager.get_database_backend();
        // All events are read, before a lock is taken that calls would wait for.
        let rows = connection.query_all_raw(Statement::from_string(backend, lags(backend))).await?;
        for column in COLUMNS {
            let add = format!("ALTER TABLE counters ADD COLUMN {column} BIGINT NOT NULL DEFAULT 0");
            connection.execute_unprepared(&add).await?;
        }
        for row in rows {
            let of = |column: &str| row.try_get::<i64>("", column);
            let (organisation_id, lag, latest) = (of("organisation_id")?, of("lag")?, of("latest")?);
            let set = match lag {
                ..=DAY => format!("latest_creation = {latest}, greatest_lag = {lag}"),
                _ => format!("steady_from = last_value + 1, greatest_lag_before = {lag}"),
            };
            let update = format!(
                "UPDATE counters SET {set} WHERE organisation_id = {organisation_id} AND name = 'event_number'"
            );
            connection.execute_unprepared(&update).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in COLUMNS {
            manager.get_connection().execute_unprepared(&format!("ALTER TABLE counters DROP COLUMN {column}")).await?;
        }
        Ok(())
    }
}

/// Asks for each organisation's greatest lag and latest date. SQLite's days have no more than milliseconds, so its lag is
/// rounded up.
fn lags(backend: DbBackend) -> String {
    let (lag, latest) = match backend {
        DbBackend::Postgres => (
            "CAST(EXTRACT(EPOCH FROM max(e.latest - e.created_on)) * 1000000 AS BIGINT)",
            "CAST(EXTRACT(EPOCH FROM max(e.latest)) * 1000000 AS BIGINT)",
        ),
        _ => (
            "(CAST(max(julianday(e.latest) - julianday(e.created_on)) * 86400 AS BIGINT) + 1) * 1000000",
            "CAST(strftime('%s', max(e.latest)) AS BIGINT) * 1000000",
        ),
    };
    format!(
        "SELECT e.organisation_id, {lag} AS lag, {latest} AS latest FROM (SELECT organisation_id, created_on, \
         max(created_on) OVER (PARTITION BY organisation_id ORDER BY number) AS latest FROM referral_events) AS e \
         GROUP BY e.organisation_id"
    )
}
