//! Bringing the schema up to date, and what a database of Citus needs beside the steps.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use migrations::{FOR_CITUS, Migrator, MigratorTrait, has_citus};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, FromQueryResult, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait,
};

use super::{
    error::is_busy,
    pool::Pool,
    schema::{self, Schema},
    settings::{DEALLOCATE, NO_NOTICES, PLANNER},
};
use crate::error::{Error, ErrorKind, Result};

/// Takes the steps that are missing, in one transaction, and answers them.
pub(super) async fn migrate(pool: &Pool) -> Result<Vec<String>> {
    let before = Schema::look_at(pool).await?;
    before.check_change()?;
    // Where it is made already, PostgreSQL would give notice of that; and IF NOT EXISTS fails over a table that another
    // is just making. The second look finds it made.
    if !before.is_begun && Migrator::install(pool).await.is_err() {
        Migrator::install(pool).await?;
    }
    let writing =
        TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate), ..Default::default() };
    // The migrator takes none but a transaction of SeaORM.
    let mut connection = pool.connection().clone();
    let progress = Progress::of(&mut connection);
    let transaction = connection.begin_with_options(writing).await?;
    if pool.shares_sessions() {
        transaction.execute_unprepared(DEALLOCATE).await?;
    }
    if transaction.get_database_backend() == DbBackend::Postgres {
        transaction.execute_unprepared(NO_NOTICES).await?;
        transaction.execute_unprepared("LOCK TABLE seaql_migrations IN EXCLUSIVE MODE").await?;
    }
    let schema = Schema::look_at(&transaction).await?;
    schema.check_change()?;
    // The migrator fails over steps that it does not know.
    if !schema.missing.is_empty() {
        take_steps(&transaction, &progress).await?;
        schema::keep_compatible_steps(&transaction).await?;
    }
    set_planner(&transaction).await?;
    transaction.commit().await?;
    Ok(schema.missing)
}

/// How far the steps have come, for a failure to name its place.
#[derive(Clone, Default)]
struct Progress {
    /// How many are recorded as taken.
    taken: Arc<AtomicUsize>,
    /// The statement that failed first, if one has.
    failed: Arc<OnceLock<String>>,
}

impl Progress {
    /// Is told of the statements of `connection`, and of the transactions begun on it.
    fn of(connection: &mut DatabaseConnection) -> Self {
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

/// How long a step waits for a table that a transaction uses for long, as that of `pg_dump`: calls that use the table wait
/// behind it.
const PATIENCE: &str = "SET LOCAL lock_timeout = '1s'";

/// A failure names its step and statement.
async fn take_steps(transaction: &DatabaseTransaction, progress: &Progress) -> Result<()> {
    if transaction.get_database_backend() == DbBackend::Postgres {
        for setting in FOR_CITUS.into_iter().chain([PATIENCE]) {
            transaction.execute_unprepared(setting).await?;
        }
    }
    let missing = Migrator::get_pending_migrations_read_only(transaction).await?;
    Migrator::up(transaction, None).await.map_err(|cause| {
        let step = missing.get(progress.taken.load(Ordering::Relaxed)).map_or("", |step| step.name());
        let statement = progress.failed.get().map(|statement| format!(" at {statement}")).unwrap_or_default();
        let remedy = match is_busy(&cause) {
            true => "; a long transaction uses the table, as pg_dump does: run migrate again when it has ended",
            false => "",
        };
        Error::new(ErrorKind::Internal, format!("step {step} of the schema failed{statement}{remedy}")).caused_by(cause)
    })
}

#[derive(FromQueryResult)]
struct ThisDatabase {
    /// As SQL writes it.
    name: String,
    is_ours: bool,
}

/// Where there is Citus, gives the database the planner's settings: Citus hands a database's to the machines that do the
/// work, but not those of a session or of a transaction.
async fn set_planner(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
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
