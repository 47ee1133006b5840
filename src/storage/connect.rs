//! A database that is open: how its connections are made and kept, and what is begun on them.

use std::{os::fd::BorrowedFd, path::Path, sync::Arc, time::Duration};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr};
use socket2::SockRef;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use super::{
    caller::Callers,
    condition::Condition,
    counters::{Numbers, Wanted},
    error::is_contention,
    fault::Fault,
    migrate::migrate,
    opening::{cannot_be_opened, check_sqlite, sqlite_refusal, try_postgres},
    pool::Pool,
    probe::Probe,
    schema::Schema,
    session::PROOF,
    settings::{self, Access, Limits},
    shards::Shards,
    transaction::{Observer, Transaction},
    url::{postgres_server, sqlite_file},
};
use crate::{error::Result, id::OrganisationId, metrics::Step, retry::Attempts};

/// A database that is open.
///
/// On SQLite there is one connection that writes, for SQLite lets one write at a time and a queue of our own is fairer
/// and faster than its polling. On PostgreSQL calls that wait for their turn hold connections that write, and look-ups
/// need not wait for them; besides, what a session has once read it reads faster again, and the two read different
/// tables.
#[derive(Clone)]
pub struct Database {
    write: Pool,
    read: Pool,
    condition: Condition,
    shards: Shards,
}

/// How connections are kept.
#[derive(Clone, Copy, Debug)]
pub struct PoolOptions {
    /// How many there are at most, on PostgreSQL.
    pub connections: u32,
    /// How long a call waits for a connection before it is answered with `ServiceUnavailableException`.
    pub acquire_timeout: Duration,
    /// How long a connection is kept that nobody uses, on PostgreSQL.
    pub idle_timeout: Duration,
    /// How long a call may take. PostgreSQL is told by it how long a statement may take, may wait for a lock, and a
    /// transaction for its next statement.
    pub time_limit: Duration,
}

/// How many connections there are at most. Where there are too few to part, the same ones are counted twice.
#[derive(Clone, Copy, Debug)]
pub struct PoolSizes {
    pub write: usize,
    pub read: usize,
}

/// How many connections are used, how many are open beside them, and how many there are at most.
#[derive(Clone, Copy, Debug)]
pub struct PoolUse {
    pub in_use: usize,
    pub idle: usize,
    pub maximum: usize,
}

impl PoolOptions {
    pub const DEFAULT: Self = Self {
        connections: 16,
        acquire_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(600),
        time_limit: Duration::from_secs(30),
    };

    fn limits(self) -> Limits {
        Limits { call: self.time_limit }
    }
}

/// Connections for reading beside the one that writes, on SQLite.
const SQLITE_READERS: u32 = 4;
/// How long a connection to PostgreSQL counts as open after its last use; one unused for longer is asked first, which
/// takes a round trip.
const PROVEN: Duration = Duration::from_secs(1);
/// Of so many connections to PostgreSQL, one is for reading.
const POSTGRES_CONNECTIONS_PER_READER: u32 = 4;
/// How long a writer waits for another process that writes to the same SQLite file.
const SQLITE_BUSY_TIMEOUT_MS: &str = "10000";

/// How much of a SQLite file the connection that writes maps, in bytes. The directory, which an import looks its rows up
/// in, is near the beginning of the file; what is mapped and read counts as memory of the process, once for each map.
const SQLITE_MAPPED: u32 = 32 * 1024 * 1024;

/// The pages that a connection keeps, in KiB, as SQLite writes it. The one that writes keeps what a call changes; those
/// that read keep the upper pages of a few indexes, and would not find the lower ones in four times as much.
const SQLITE_WRITER_CACHE: &str = "-16000";
const SQLITE_READER_CACHE: &str = "-500";

/// The pages of SQLite's log at which a commit brings the log into the file itself. Every event changes pages that
/// others change too: the longer the log, the fewer pages are written in the end, and the longer the commit takes that
/// writes them. [`Database::checkpoint`] has most of them written before it comes to that.
const SQLITE_LOG: &str = "16384";

/// The bytes to which SQLite cuts its log when it begins it anew: twice those of [`SQLITE_LOG`], so that it is not made
/// shorter and longer in turns under load. A log that grew beyond, while somebody read the database as it was before, would
/// stay as large for good.
const SQLITE_LOG_LIMIT: &str = "134217728";

/// Rows of one answer that SQLite's thread may be ahead of ours.
const SQLITE_ROW_BUFFER: usize = 4096;

impl Database {
    /// Opens the database that `url` names (`sqlite:…` or `postgres://…`); a SQLite file that is not there is made.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::connect_with(url, PoolOptions::DEFAULT).await
    }

    pub async fn connect_with(url: &str, options: PoolOptions) -> Result<Self> {
        let condition = Condition::default();
        if let Some(file) = sqlite_file(url)? {
            check_sqlite(&file)?;
            let write = sqlite_pool(&file, 1, SQLITE_MAPPED, SQLITE_WRITER_CACHE, options, &condition).await?;
            let read = sqlite_pool(&file, SQLITE_READERS, 0, SQLITE_READER_CACHE, options, &condition).await?;
            condition.know_file(&file);
            return Ok(Self::of(write, read, condition));
        }
        let server = postgres_server(url)?;
        let waited_for = try_postgres(&server, options.acquire_timeout).await?;
        let connected = Self::connect_postgres(&server, options, condition).await;
        connected.map_err(|error| waited_for.unwrap_or(error))
    }

    fn of(write: Pool, read: Pool, condition: Condition) -> Self {
        Self { write, read, condition, shards: Shards::default() }
    }

    async fn connect_postgres(server: &PgConnectOptions, options: PoolOptions, condition: Condition) -> Result<Self> {
        let readers = options.connections / POSTGRES_CONNECTIONS_PER_READER;
        if readers == 0 {
            let pool = postgres_pool(server, options, &condition).await?;
            return Ok(Self::of(pool.clone(), pool, condition));
        }
        let of = |connections| PoolOptions { connections, ..options };
        let write = postgres_pool(server, of(options.connections - readers), &condition).await?;
        let read = postgres_pool(server, of(readers), &condition).await?;
        Ok(Self::of(write, read, condition))
    }

    /// Brings the schema up to date, in one transaction, and answers which steps were missing; one that is newer, and
    /// that this program can use, stays as it is. Of several programs that do so at once, one does it while the others
    /// wait, and then find nothing missing.
    pub async fn migrate(&self) -> Result<Vec<String>> {
        migrate(&self.write).await
    }

    /// How the schema stands to that of this program.
    pub async fn schema(&self) -> Result<Schema> {
        Schema::look_at(&self.write).await
    }

    /// Begins a transaction that will write. On SQLite it takes the write lock at once: a transaction that reads
    /// first and asks for the lock later can be refused it.
    pub async fn begin(&self) -> Result<Transaction> {
        Ok(self.write.begin(Access::Write).await?)
    }

    /// Begins a transaction in the turn of an organisation, for which it waits. What it looks up about the organisation's
    /// events stays true until it ends: calls of one organisation take turns, calls of several don't meet.
    pub async fn begin_turn(&self, organisation_id: OrganisationId) -> Result<Transaction> {
        let _timer = Callers::current().timer(Step::Turn);
        Ok(self.write.begin_turn(organisation_id).await?)
    }

    /// The same, and takes the numbers of new events in it.
    pub async fn begin_turn_with(
        &self,
        organisation_id: OrganisationId,
        wanted: &Wanted<'_>,
    ) -> Result<(Transaction, Numbers)> {
        let _timer = Callers::current().timer(Step::Turn);
        Ok(self.write.begin_turn_with(organisation_id, wanted).await?)
    }

    /// Begins a transaction that only reads, all of it as of one moment, and stands in no writer's way.
    pub async fn begin_read(&self) -> Result<Transaction> {
        Ok(self.read.begin(Access::Read).await?)
    }

    /// Brings what was committed from the log of a SQLite database into its file, in no caller's way.
    pub async fn checkpoint(&self) -> Result<()> {
        self.read.session().await?.run("PRAGMA wal_checkpoint(PASSIVE)").await?;
        Ok(())
    }

    /// What finds out whether the database can be used.
    pub fn probe(&self) -> Probe {
        match self.is_sqlite() {
            true => Probe::of_sqlite(self.condition.clone(), self.write.connection().get_sqlite_connection_pool()),
            false => {
                let pool = self.write.connection().get_postgres_connection_pool();
                Probe::of_postgres(self.condition.clone(), pool, self.write.limits())
            }
        }
    }

    /// What the last probe found to be wrong.
    pub fn fault(&self) -> Option<Fault> {
        self.condition.fault()
    }

    /// The shards of a cluster of Citus, as its workers were found last; none elsewhere.
    pub fn shards(&self) -> &Shards {
        &self.shards
    }

    /// How many connections there are at most.
    pub fn pool_sizes(&self) -> PoolSizes {
        PoolSizes { write: self.write.size(), read: self.read.size() }
    }

    /// How the connections are used at present, those for writing and those for reading. Where there are too few to part,
    /// the same ones are told of twice.
    pub fn pool_use(&self) -> [(&'static str, PoolUse); 2] {
        [("write", &self.write), ("read", &self.read)].map(|(name, pool)| {
            let (open, idle) = pool.open();
            (name, PoolUse { in_use: open.saturating_sub(idle), idle, maximum: pool.size() })
        })
    }

    /// How often the database failed, by kind.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.condition.failures().by_kind()
    }

    /// For reads outside a transaction.
    pub fn reader(&self) -> &Pool {
        &self.read
    }

    /// For single statements that write.
    pub fn writer(&self) -> &Pool {
        &self.write
    }

    /// For single statements that write and hold nothing after it, which must not wait for calls that wait for their
    /// turn: on PostgreSQL the connections for reading will do.
    pub fn side_writer(&self) -> &Pool {
        if self.is_sqlite() { &self.write } else { &self.read }
    }

    pub fn is_sqlite(&self) -> bool {
        self.write.get_database_backend() == DbBackend::Sqlite
    }

    /// Calls `observer` with each statement's text, from now on. Its clones made earlier are not observed.
    pub fn observe_statements(&mut self, observer: impl Fn(&str) + Send + Sync + 'static) {
        let observer: Observer = Arc::new(observer);
        self.write.observe(observer.clone());
        self.read.observe(observer);
    }

    /// Closes the connections. Those in use are waited for, but not for long: the work of a caller who has left may go
    /// on in them, waiting for a lock. What is not committed then, the database rolls back by itself.
    pub async fn close(self) -> Result<()> {
        // The last connection to a SQLite file brings its log into it.
        let patience = Duration::from_secs(if self.is_sqlite() { 5 } else { 1 });
        let close = async {
            self.read.connection().clone().close().await?;
            self.write.connection().clone().close().await
        };
        match timeout(patience, close).await {
            Ok(closed) => Ok(closed?),
            Err(_) => {
                tracing::warn!("the connections to the database were not closed in time");
                Ok(())
            }
        }
    }
}

async fn sqlite_pool(
    file: &Path,
    connections: u32,
    mapped: u32,
    cache: &'static str,
    pool: PoolOptions,
    condition: &Condition,
) -> Result<Pool> {
    // The file is named below, past the reader of URLs of the library.
    let mut options = sea_orm::ConnectOptions::new("sqlite:");
    options.max_connections(connections).acquire_timeout(pool.acquire_timeout).sqlx_logging(false);
    // A file does not hang up.
    options.test_before_acquire(false);
    let filename = file.to_owned();
    options.map_sqlx_sqlite_opts(move |options| {
        options
            .filename(&filename)
            .create_if_missing(true)
            .foreign_keys(true)
            // A row is handed over from SQLite's thread; with room for all of them neither side waits at each.
            .row_buffer_size(SQLITE_ROW_BUFFER)
            .pragma("busy_timeout", SQLITE_BUSY_TIMEOUT_MS)
            .pragma("journal_mode", "WAL")
            // FULL syncs the log at every commit: what was acknowledged survives a power cut.
            .pragma("synchronous", "FULL")
            .pragma("wal_autocheckpoint", SQLITE_LOG)
            .pragma("journal_size_limit", SQLITE_LOG_LIMIT)
            .pragma("temp_store", "MEMORY")
            .pragma("cache_size", cache)
            // A page is read through a map at a tenth of what copying it to the cache costs.
            .pragma("mmap_size", mapped.to_string())
    });
    let connection = open_sqlite(options).await.map_err(|cause| sqlite_refusal(file, cause))?;
    Ok(Pool::sqlite(connection, pool.limits(), condition.clone()))
}

async fn open_sqlite(options: sea_orm::ConnectOptions) -> Result<DatabaseConnection, DbErr> {
    /// How often a new file is opened that others open too: its switch to the write-ahead log waits for nobody.
    const ATTEMPTS: u32 = 20;
    let mut attempts = Attempts::up_to(ATTEMPTS);
    loop {
        match sea_orm::Database::connect(options.clone()).await {
            Err(error) if is_contention(&error) && !attempts.is_last() => attempts.next().await,
            opened => return opened,
        }
    }
}

/// SeaORM's own way of connecting would show the URL, with its password, in its errors and at the level `trace`.
async fn postgres_pool(server: &PgConnectOptions, options: PoolOptions, condition: &Condition) -> Result<Pool> {
    let limits = options.limits();
    // Who switches the cache of statements off has a pooler in between.
    let shares_sessions =
        server.to_url_lossy().query_pairs().any(|(name, value)| name == "statement-cache-capacity" && value == "0");
    let spoilt = condition.clone();
    let pool = PgPoolOptions::new()
        .max_connections(options.connections)
        .acquire_timeout(options.acquire_timeout)
        .idle_timeout(options.idle_timeout)
        .test_before_acquire(false)
        .before_acquire(move |connection, metadata| {
            let is_spoilt = spoilt.has_spoilt(metadata.age);
            Box::pin(async move {
                if is_spoilt {
                    return Ok(false);
                }
                if metadata.idle_for < PROVEN {
                    return Ok(true);
                }
                // One that does not answer is closed without a word: the database may not listen any more.
                timeout(PROOF, connection.ping()).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
                Ok(true)
            })
        })
        .after_connect(move |connection, _| {
            send_without_delay();
            Box::pin(async move {
                if !shares_sessions {
                    connection.execute(AssertSqlSafe(settings::of_session(limits))).await?;
                }
                Ok(())
            })
        });
    let pool = pool.connect_with(server.clone()).await.map_err(|cause| cannot_be_opened(cause.to_string()))?;
    // In one round trip and without preparing anything, for a pooler may be in between.
    let citus = sqlx::raw_sql("SELECT 1 FROM pg_extension WHERE extname = 'citus'").fetch_optional(&pool).await;
    let is_citus = citus.map_err(|cause| cannot_be_opened(cause.to_string()))?.is_some();
    Ok(Pool::postgres(DatabaseConnection::from(pool), limits, condition.clone(), is_citus, shares_sessions))
}

/// Sets TCP_NODELAY on the sockets of this process, for sqlx 0.9.0 neither sets it nor lets a connection be reached: the
/// end of a COPY, a small packet after a large one, would wait some 40 ms for an acknowledgement that the database holds
/// back. No other socket of the process is the worse for it.
///
/// It is issue 4335 of sqlx, which pull request 4336 has fixed: with the next release of sqlx this goes.
fn send_without_delay() {
    let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers = descriptors.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    for descriptor in numbers {
        // SAFETY: a borrowed descriptor must not be -1, which no name in that folder is, and should stay open, which
        // another thread may not let it. No memory hangs on that: the one call that it is borrowed for then fails, or
        // sets the option on the socket that took the number, which is as good.
        let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
        _ = SockRef::from(&socket).set_tcp_nodelay(true);
    }
}
