//! What the database says, in the service's terms. Nothing here looks at the text of a message.

use std::{borrow::Cow, error::Error as StdError, sync::Arc};

use sea_orm::{DbErr, RuntimeErr, SqlErr};
use sqlx::error::{DatabaseError, ErrorKind as SqlxErrorKind};

use super::fault::Fault;
use crate::error::{Error, ErrorKind};

/// SQLSTATE of a transaction that lost against another (serialization failure, deadlock), and SQLite's
/// busy, snapshot-is-stale and locked codes. Running the transaction again is the answer to each.
const CONTENTION: [&str; 7] = ["40001", "40P01", "5", "261", "517", "6", "262"];

/// The faults of PostgreSQL, by what the SQLSTATE begins with.
const POSTGRES_FAULTS: [(&str, Fault); 14] = [
    (READ_ONLY, Fault::ReadOnly),
    ("53100", Fault::Full),
    ("58030", Fault::Full),
    // No free connection, no memory.
    ("53", Fault::Exhausted),
    // It lost against another, a lock was not to be had in time, a statement took too long, the transaction was ended for
    // its silence, and what is said in it afterwards.
    ("40001", Fault::Busy),
    ("40P01", Fault::Busy),
    ("55P03", Fault::Busy),
    ("57014", Fault::Busy),
    ("25P03", Fault::Busy),
    ("25P02", Fault::Busy),
    // The server, or a pooler in front of it, ends or refuses the connection: connection exceptions, stop and start. While
    // it is set up anew, it does not know the user, or does not have the database yet.
    ("08", Fault::Unreachable),
    ("57P", Fault::Unreachable),
    ("28", Fault::Unreachable),
    ("3D000", Fault::Unreachable),
];

/// SQLSTATE of a transaction that the server does not let write, as one that has become a standby.
const READ_ONLY: &str = "25006";

/// SQLSTATE with which a standby refuses to begin a transaction that is to write: it has none such.
const NOT_SUPPORTED: &str = "0A000";

/// SQLSTATE of what has no other: Citus gives it for whatever fails a COPY on a worker, and for a worker that is lost at
/// COMMIT.
const UNCLEAR: &str = "XX000";

/// The faults of SQLite, by the primary result code: busy and locked, read-only, I/O error, full, cannot be opened.
const SQLITE_FAULTS: [(u32, Fault); 6] = [
    (5, Fault::Locked),
    (6, Fault::Locked),
    (8, Fault::ReadOnly),
    (10, Fault::Full),
    (13, Fault::Full),
    (14, Fault::Failing),
];

impl From<DbErr> for Error {
    fn from(cause: DbErr) -> Self {
        match fault(&cause) {
            Some(fault) => Error::new(ErrorKind::ServiceUnavailable, fault.to_string()).caused_by(cause),
            None => Error::internal(cause),
        }
    }
}

/// The fault of the database that an error tells of. `None` where the database did what was asked of it: the statement
/// was wrong, or a row that cannot be read.
fn fault(error: &DbErr) -> Option<Fault> {
    match error {
        // Whatever it is, it is the connection's.
        DbErr::Conn(RuntimeErr::SqlxError(error)) => Some(fault_of_connection(error)),
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => fault_of(error),
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Some(Fault::Unreachable),
        _ => None,
    }
}

fn fault_of_connection(error: &sqlx::Error) -> Fault {
    match fault_of(error) {
        Some(fault) => fault,
        None if code_of(error).as_deref() == Some(NOT_SUPPORTED) => Fault::ReadOnly,
        None => Fault::Failing,
    }
}

pub(super) fn fault_of(error: &sqlx::Error) -> Option<Fault> {
    use sqlx::Error as Sqlx;
    match error {
        Sqlx::Database(error) => error.code().and_then(|code| fault_of_code(&code)),
        Sqlx::AnyDriverError(error) => error.downcast_ref().copied(),
        Sqlx::Io(_)
        | Sqlx::Tls(_)
        | Sqlx::Protocol(_)
        | Sqlx::PoolTimedOut
        | Sqlx::PoolClosed
        | Sqlx::WorkerCrashed
        | Sqlx::BeginFailed
        | Sqlx::InvalidSavePointStatement => Some(Fault::Unreachable),
        _ => None,
    }
}

/// A SQLSTATE has five characters; SQLite's codes are numbers of fewer digits, whose lowest byte is the primary code.
fn fault_of_code(code: &str) -> Option<Fault> {
    if code.len() == 5 {
        return POSTGRES_FAULTS.iter().find(|(begin, _)| code.starts_with(begin)).map(|(_, fault)| *fault);
    }
    let primary = code.parse::<u32>().ok()? & 0xFF;
    SQLITE_FAULTS.iter().find(|(code, _)| *code == primary).map(|(_, fault)| *fault)
}

/// A fault that was known before anything was asked of the database.
impl From<Fault> for DbErr {
    fn from(fault: Fault) -> Self {
        DbErr::Conn(RuntimeErr::SqlxError(Arc::new(sqlx::Error::AnyDriverError(Box::new(fault)))))
    }
}

/// An error that SQLite answered past sqlx, which cannot make one of its own from it.
#[derive(Debug, thiserror::Error)]
#[error("(code: {code}) {message}")]
struct SqliteError {
    code: String,
    message: String,
}

impl DatabaseError for SqliteError {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.code))
    }

    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> SqlxErrorKind {
        SqlxErrorKind::Other
    }
}

/// The error with its code, where SQLite gave it one.
pub(super) fn sqlite_failure(error: &rusqlite::Error) -> DbErr {
    let message = error.to_string();
    DbErr::Exec(match error.sqlite_error() {
        Some(failure) => {
            let error = SqliteError { code: failure.extended_code.to_string(), message };
            RuntimeErr::SqlxError(Arc::new(sqlx::Error::Database(Box::new(error))))
        }
        None => RuntimeErr::Internal(message),
    })
}

pub(super) fn failure(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)))
}

/// What the database calls the error, where it was the database that refused.
pub(super) fn code_of(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}

fn code(error: &DbErr) -> Option<Cow<'_, str>> {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error))
        | DbErr::Conn(RuntimeErr::SqlxError(error)) => code_of(error),
        _ => None,
    }
}

/// Whether nothing more can be done in the session: it is not known where the conversation stands, or the server ends
/// it, or another server has to be found.
pub(super) fn ends_the_session(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().map(|error| error.code().unwrap_or_default());
    code.is_none_or(|code| ["08", "57P", "25P03", READ_ONLY].iter().any(|begin| code.starts_with(begin)))
}

/// The error as one of the connection, which no call is to blame for.
pub(super) fn of_the_connection(error: DbErr) -> DbErr {
    match error {
        DbErr::Query(cause) | DbErr::Exec(cause) => DbErr::Conn(cause),
        error => error,
    }
}

/// Whether others were faster, or what it waited for was not to be had in time.
pub(super) fn is_busy(error: &DbErr) -> bool {
    matches!(fault(error), Some(Fault::Busy))
}

/// Whether the database gives no reason that can be told, as Citus does for a key that another row has.
pub fn is_unclear(error: &DbErr) -> bool {
    code(error).is_some_and(|code| code == UNCLEAR)
}

/// Whether the transaction failed for another's sake alone, so that running it again is right.
pub fn is_contention(error: &DbErr) -> bool {
    code(error).is_some_and(|code| CONTENTION.contains(&&*code))
}

/// Whether a row was refused for a key that another row has.
pub fn is_unique_violation(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}
