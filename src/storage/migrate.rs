//! The steps of the schema, and what a database of Citus needs beside them.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use migrations::{FOR_CITUS, Migrator, MigratorTrait, has_citus};
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, FromQueryResult, Statement};

use super::settings::PLANNER;
use crate::error::{Error, ErrorKind, Result};

/// How far the steps have come, for a failure to name its place.
#[derive(Clone, Default)]
pub(super) struct Progress {
    /// How many are recorded as taken.
    taken: Arc<AtomicUsize>,
    /// The statement that failed first, if one has.
    failed: Arc<OnceLock<String>>,
}

impl Progress {
    /// Is told of the statements of `connection`, and of the transactions begun on it.
    pub fn of(connection: &mut DatabaseConnection) -> Self {
        let progress = Self::default();
        let told = progress.clone();
        connection.set_metric_callback(move |info| {
            let sql = &info.statement.sql;
            if info.failed {
                _ = told.failed.set(sql.clone());
            } else if sql.starts_with("INSERT INTO \"seaql_migrations\"") {
                told.taken.fetch_add(1, Ordering::Relaxed);
            }
        });
        progress
    }
}

/// Takes the steps that are missing, and answers how many they were. A failure names its step and statement.
pub(super) async fn take_steps(transaction: &DatabaseTransaction, progress: &Progress) -> Result<usize> {
    if transaction.get_database_backend() == DbBackend::Postgres {
        for setting in FOR_CITUS {
            transaction.execute_unprepared(setting).await?;
        }
    }
    let missing = Migrator::get_pending_migrations_read_only(transaction).await?;
    Migrator::up(transaction, None).await.map_err(|cause| {
        let step = missing.get(progress.taken.load(Ordering::Relaxed)).map_or("", |step| step.name());
        let statement = progress.failed.get().map(|statement| format!(" at {statement}")).unwrap_or_default();
        Error::new(ErrorKind::Internal, format!("step {step} of the schema failed{statement}")).caused_by(cause)
    })?;
    Ok(missing.len())
}

#[derive(FromQueryResult)]
struct ThisDatabase {
    /// As SQL writes it.
    name: String,
    is_ours: bool,
}

/// Where there is Citus, gives the database the planner's settings: Citus hands a database's to the machines that do the
/// work, but not those of a session or of a transaction.
pub(super) async fn set_planner(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    if transaction.get_database_backend() != DbBackend::Postgres || !has_citus(transaction).await? {
        return Ok(());
    }
    let sql = "SELECT quote_ident(datname) AS name, pg_has_role(datdba, 'USAGE') AS is_ours FROM pg_database \
               WHERE datname = current_database()";
    let database = ThisDatabase::find_by_statement(Statement::from_string(DbBackend::Postgres, sql));
    let database = database.one(transaction).await?;
    let Some(ThisDatabase { name, is_ours }) = database else { return Ok(()) };
    for setting in PLANNER {
        let sql = format!("ALTER DATABASE {name} SET {setting}");
        if is_ours {
            transaction.execute_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
        } else {
            tracing::warn!(%sql, "the database's owner has to say this, for look-ups by key on all machines");
        }
    }
    Ok(())
}
