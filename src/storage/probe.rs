//! Finds out whether the database can be used.
//!
//! A probe has a connection of its own: those that calls use may all be busy, which is no fault.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, PgPool, Row, SqliteConnection, SqlitePool,
    postgres::PgConnectOptions, sqlite::SqliteConnectOptions,
};

use super::{bulk_load::end_stalled_loads, condition::Condition, error::fault_of, fault::Fault, settings::Limits};

/// By which an operator tells the connection from those of calls.
const NAME: &str = "referral-events health";

/// How long the database may take to answer a look, and how long a server to be connected to, which is several round
/// trips.
const PATIENCE: Duration = Duration::from_millis(1500);
const PATIENCE_TO_CONNECT: Duration = Duration::from_secs(4);

/// How long the lock of a SQLite file may be held by another, with nothing coming of it: as long as a call waits for it.
const LOCKED_FOR: Duration = Duration::from_secs(10);

/// Writes some 2 MiB, what a call of a thousand events does, into a table that nobody else sees and that is gone at once.
const WRITE_POSTGRES: &str = "CREATE TEMPORARY TABLE referral_events_probe ON COMMIT DROP AS \
                              SELECT n, md5(n::text) FROM generate_series(1, 30000) AS s(n)";

/// The same; with so small a cache it is written to the log before the end of the transaction, which takes it back.
const WRITE_SQLITE: &str = "CREATE TABLE referral_events_probe (value BLOB); \
                            INSERT INTO referral_events_probe VALUES (zeroblob(2097152))";
const SMALL_CACHE: &str = "16";

/// Looks at the database, now and again, and keeps what it found for all who use it.
pub struct Probe {
    condition: Condition,
    engine: Engine,
}

enum Engine {
    Postgres {
        server: Box<PgConnectOptions>,
        connection: Option<PgConnection>,
        /// The statement that ends the sessions of servers that froze while they loaded events.
        end_stalled_loads: String,
    },
    Sqlite(Box<SqliteFile>),
}

struct SqliteFile {
    path: PathBuf,
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    /// Since when the lock is held by another, and what the file's version was then.
    locked: Option<(Instant, i64)>,
}

impl Probe {
    pub(super) fn of_postgres(condition: Condition, pool: &PgPool, limits: Limits) -> Self {
        let server = PgConnectOptions::clone(&pool.connect_options()).application_name(NAME);
        let end_stalled_loads = end_stalled_loads(limits.idle_in_transaction());
        let engine = Engine::Postgres { server: Box::new(server), connection: None, end_stalled_loads };
        Self { condition, engine }
    }

    pub(super) fn of_sqlite(condition: Condition, pool: &SqlitePool) -> Self {
        let options = pool.connect_options();
        let file = SqliteFile {
            path: options.get_filename().to_owned(),
            options: SqliteConnectOptions::clone(&options)
                .create_if_missing(false)
                .pragma("busy_timeout", "0")
                .pragma("cache_size", SMALL_CACHE),
            connection: None,
            locked: None,
        };
        Self { condition, engine: Engine::Sqlite(Box::new(file)) }
    }

    /// Looks once, and closely where there is reason to doubt: then it writes too, and takes back what it wrote. Answers
    /// what is wrong. On PostgreSQL it also frees the turns that servers hold which froze while they loaded events: the
    /// others would notice nothing but that they wait.
    pub async fn look(&mut self, closely: bool) -> Option<Fault> {
        let found = match &mut self.engine {
            Engine::Postgres { server, connection, end_stalled_loads } => {
                match look_at_postgres(server, connection, closely).await {
                    Ok(open) => in_time(end_loads(open, end_stalled_loads)).await,
                    Err(fault) => Err(fault),
                }
            }
            Engine::Sqlite(file) => in_time(file.look(&self.condition, closely)).await,
        };
        let fault = found.err();
        if let Some(fault) = fault {
            self.condition.failures().count_fault(fault);
            self.engine.hang_up(fault);
        }
        self.condition.set(fault);
        fault
    }
}

impl Engine {
    /// The next look begins with a new connection: it may lead to another server, and the old one may have been left in
    /// the middle of something.
    fn hang_up(&mut self, fault: Fault) {
        match (self, fault) {
            // The lock was refused, or nothing was asked at all.
            (Self::Sqlite(_), Fault::Locked | Fault::FileGone) => {}
            (Self::Sqlite(file), _) => file.connection = None,
            (Self::Postgres { connection, .. }, _) => *connection = None,
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.condition.forget_log();
    }
}

async fn in_time(look: impl Future<Output = Result<(), Fault>>) -> Result<(), Fault> {
    tokio::time::timeout(PATIENCE, look).await.unwrap_or(Err(Fault::Silent))
}

/// Answers the connection that it asked on.
async fn look_at_postgres<'a>(
    server: &PgConnectOptions,
    connection: &'a mut Option<PgConnection>,
    closely: bool,
) -> Result<&'a mut PgConnection, Fault> {
    if let Some(mut open) = connection.take() {
        match in_time(ask_postgres(&mut open, closely)).await {
            Ok(()) => return Ok(connection.insert(open)),
            Err(Fault::Silent) => return Err(Fault::Silent),
            // A session that was ended since the last look says nothing of the server.
            Err(_) => {}
        }
    }
    let opened = tokio::time::timeout(PATIENCE_TO_CONNECT, server.connect()).await;
    let new = connection.insert(opened.map_err(|_| Fault::Unreachable)?.map_err(as_fault)?);
    in_time(ask_postgres(new, closely)).await.map_err(|fault| match fault {
        // Somebody is there: a pooler perhaps whose sessions are all in use.
        Fault::Unreachable => Fault::Silent,
        fault => fault,
    })?;
    Ok(new)
}

async fn end_loads(connection: &mut PgConnection, end_stalled_loads: &str) -> Result<(), Fault> {
    let ended = connection.execute(sqlx::raw_sql(AssertSqlSafe(end_stalled_loads.to_owned()))).await;
    match ended.map(|ended| ended.rows_affected()) {
        Ok(0) => {}
        Ok(sessions) => tracing::warn!(sessions, "ended sessions that waited too long for their events"),
        Err(error) if fault_of(&error).is_some() => return Err(as_fault(error)),
        Err(error) => tracing::debug!(%error, "stalled sessions are not ended, for want of the right to"),
    }
    Ok(())
}

async fn ask_postgres(connection: &mut PgConnection, closely: bool) -> Result<(), Fault> {
    let asked = sqlx::raw_sql("SELECT pg_is_in_recovery() AS is_read_only").fetch_one(&mut *connection).await;
    if asked.and_then(|row| row.try_get::<bool, _>(0)).map_err(as_fault)? {
        return Err(Fault::ReadOnly);
    }
    if closely {
        let mut transaction = connection.begin_with("BEGIN READ WRITE").await.map_err(as_fault)?;
        match transaction.execute(sqlx::raw_sql(WRITE_POSTGRES)).await {
            // Who may not make tables of its own has not found a fault.
            Err(error) if fault_of(&error).is_some() => return Err(as_fault(error)),
            _ => transaction.rollback().await.map_err(as_fault)?,
        }
    }
    Ok(())
}

impl SqliteFile {
    async fn look(&mut self, condition: &Condition, closely: bool) -> Result<(), Fault> {
        condition.check_files()?;
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let mut connection = self.options.connect().await.map_err(as_fault)?;
                // The log is there once something was read.
                version(&mut connection).await.map_err(as_fault)?;
                condition.know_log(&self.path);
                none.insert(connection)
            }
        };
        let version = version(connection).await.map_err(as_fault)?;
        match ask_sqlite(connection, closely).await {
            Err(error) if fault_of(&error) == Some(Fault::Locked) => {
                // Whoever holds the lock and commits, ours or another, holds up nobody.
                let since = match self.locked {
                    Some((since, of_version)) if of_version == version => since,
                    _ => Instant::now(),
                };
                self.locked = Some((since, version));
                if since.elapsed() >= LOCKED_FOR { Err(Fault::Locked) } else { Ok(()) }
            }
            asked => {
                self.locked = None;
                asked.map_err(as_fault)
            }
        }
    }
}

/// A number that is another one once somebody else has committed.
async fn version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA data_version").fetch_one(connection).await
}

/// Takes the write lock for a moment, and writes where it is to look closely.
async fn ask_sqlite(connection: &mut SqliteConnection, closely: bool) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let written = match closely {
        true => transaction.execute(sqlx::raw_sql(WRITE_SQLITE)).await.map(|_| ()),
        false => Ok(()),
    };
    let taken_back = transaction.rollback().await;
    written.and(taken_back)
}

/// What the error tells of the database; the error itself goes to the log.
fn as_fault(error: sqlx::Error) -> Fault {
    let fault = fault_of(&error).unwrap_or(Fault::Failing);
    tracing::debug!(%error, ?fault, "the database does not do what it is asked to prove that it is well");
    fault
}
