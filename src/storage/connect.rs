//! Connecting, migrating, beginning.

use std::{os::fd::BorrowedFd, sync::Arc, time::Duration};

use migrations::{Migrator, MigratorTrait};
use sea_orm::{ConnectOptions, DatabaseConnection, DbBackend};
use socket2::SockRef;

use super::transaction::{Observer, Transaction};
use crate::error::{Error, ErrorKind, Result};

/// A database that is open.
///
/// On SQLite there is one connection that writes, for SQLite lets one write at a time and a queue of our own is fairer
/// and faster than its polling; on PostgreSQL both fields are the same pool.
#[derive(Clone)]
pub struct Database {
    write: DatabaseConnection,
    read: DatabaseConnection,
    observer: Option<Observer>,
}

/// Connections for reading beside the one that writes, on SQLite.
const SQLITE_READERS: u32 = 4;
/// Connections, on PostgreSQL.
const POSTGRES_CONNECTIONS: u32 = 16;
/// How long a call waits for a connection before it is answered with `ServiceUnavailableException`.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a writer waits for another process that writes to the same SQLite file.
const SQLITE_BUSY_TIMEOUT_MS: &str = "10000";

/// How much of a SQLite file the connection that writes maps, in bytes. The directory, which its look-ups read, is near
/// the beginning of the file; what is mapped and read counts as memory of the process.
const SQLITE_MAPPED: u32 = 32 * 1024 * 1024;

/// Rows of one answer that SQLite's thread may be ahead of ours.
const SQLITE_ROW_BUFFER: usize = 4096;

impl Database {
    /// Opens the database that `url` names (`sqlite:…` or `postgres://…`); a SQLite file that is not there is made.
    pub async fn connect(url: &str) -> Result<Self> {
        if is_sqlite(url) {
            let write = connect_sqlite(url, 1, SQLITE_MAPPED).await?;
            let read = connect_sqlite(url, SQLITE_READERS, 0).await?;
            return Ok(Self { write, read, observer: None });
        }
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(Error::new(
                ErrorKind::ServiceUnavailable,
                "the database URL begins with sqlite:, postgres:// or postgresql://",
            ));
        }
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_timeout(ACQUIRE_TIMEOUT)
            .sqlx_logging(false);
        options.map_sqlx_postgres_pool_opts(|pool| {
            pool.after_connect(|_, _| {
                send_without_delay();
                Box::pin(async { Ok(()) })
            })
        });
        let connection = open(options).await?;
        Ok(Self { write: connection.clone(), read: connection, observer: None })
    }

    /// Brings the schema up to date.
    pub async fn migrate(&self) -> Result<()> {
        Ok(Migrator::up(&self.write, None).await?)
    }

    /// How many steps of the schema are missing.
    pub async fn pending_migrations(&self) -> Result<usize> {
        Ok(Migrator::get_pending_migrations_read_only(&self.write).await?.len())
    }

    /// Begins a transaction that will write. On SQLite it takes the write lock at once: a transaction that reads
    /// first and asks for the lock later can be refused it.
    pub async fn begin(&self) -> Result<Transaction> {
        let transaction = if self.is_sqlite() {
            let pool = self.write.get_sqlite_connection_pool();
            Transaction::begin_sqlite(pool, "BEGIN IMMEDIATE", self.observer.clone()).await
        } else {
            Transaction::begin_postgres(self.write.get_postgres_connection_pool(), self.observer.clone()).await
        };
        Ok(transaction?)
    }

    /// Begins a transaction that only reads, and stands in no writer's way.
    pub async fn begin_read(&self) -> Result<Transaction> {
        let transaction = if self.is_sqlite() {
            Transaction::begin_sqlite(self.read.get_sqlite_connection_pool(), "BEGIN", self.observer.clone()).await
        } else {
            Transaction::begin_postgres(self.read.get_postgres_connection_pool(), self.observer.clone()).await
        };
        Ok(transaction?)
    }

    /// For reads outside a transaction.
    pub fn read(&self) -> &DatabaseConnection {
        &self.read
    }

    /// For single statements that write.
    pub fn write(&self) -> &DatabaseConnection {
        &self.write
    }

    pub fn is_sqlite(&self) -> bool {
        self.write.get_database_backend() == DbBackend::Sqlite
    }

    /// Calls `observer` with each statement's text, from now on. Its clones made earlier are not observed.
    pub fn observe_statements(&mut self, observer: impl Fn(&str) + Send + Sync + 'static) {
        let observer: Observer = Arc::new(observer);
        for connection in [&mut self.write, &mut self.read] {
            let observer = observer.clone();
            connection.set_metric_callback(move |info| observer(&info.statement.sql));
        }
        self.observer = Some(observer);
    }

    /// Waits for the connections in use and closes them all.
    pub async fn close(self) -> Result<()> {
        self.read.close().await?;
        Ok(self.write.close().await?)
    }
}

/// Whether the URL names a SQLite file.
pub fn is_sqlite(url: &str) -> bool {
    url.starts_with("sqlite:")
}

async fn connect_sqlite(url: &str, connections: u32, mapped: u32) -> Result<DatabaseConnection> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT).sqlx_logging(false);
    options.map_sqlx_sqlite_opts(move |options| {
        options
            .create_if_missing(true)
            .foreign_keys(true)
            // A row is handed over from SQLite's thread; with room for all of them neither side waits at each.
            .row_buffer_size(SQLITE_ROW_BUFFER)
            .pragma("busy_timeout", SQLITE_BUSY_TIMEOUT_MS)
            .pragma("journal_mode", "WAL")
            // FULL syncs the log at every commit: what was acknowledged survives a power cut.
            .pragma("synchronous", "FULL")
            .pragma("temp_store", "MEMORY")
            .pragma("cache_size", "-16000")
            // A page is read through a map at a tenth of what copying it to the cache costs.
            .pragma("mmap_size", mapped.to_string())
    });
    open(options).await
}

/// Sets TCP_NODELAY on the sockets of this process, for sqlx neither sets it nor lets a connection be reached: the end
/// of a COPY, a small packet after a large one, would wait some 40 ms for an acknowledgement that the database holds
/// back. No other socket of the process is the worse for it.
fn send_without_delay() {
    let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers = descriptors.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    for descriptor in numbers {
        // SAFETY: the number is used for one call that neither closes nor keeps it. Should another thread close it in
        // between, the call fails, or sets the option on the socket that took the number: harmless either way.
        let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
        _ = SockRef::from(&socket).set_tcp_nodelay(true);
    }
}

async fn open(options: ConnectOptions) -> Result<DatabaseConnection> {
    sea_orm::Database::connect(options)
        .await
        .map_err(|cause| Error::new(ErrorKind::ServiceUnavailable, "the database cannot be opened").caused_by(cause))
}
