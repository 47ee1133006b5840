//! What the database says, in the service's terms. Nothing here looks at the text of a message.

use std::sync::Arc;

use sea_orm::{DbErr, RuntimeErr, SqlErr};

use crate::error::{Error, ErrorKind};

/// SQLSTATE of a transaction that lost against another (serialization failure, deadlock), and SQLite's
/// busy, snapshot-is-stale and locked codes. Running the transaction again is the answer to each.
const CONTENTION: [&str; 7] = ["40001", "40P01", "5", "261", "517", "6", "262"];

/// What the SQLSTATE begins with where the server, or a pooler in front of it, ends or refuses a connection: connection
/// exceptions, shutdown and start, no free connection.
const UNREACHABLE: [&str; 3] = ["08", "57P", "53300"];

/// SQLSTATE of a lock that was not to be had in time, of a statement that took too long, of a transaction that was ended
/// for its silence and of what is said in it afterwards, and of a worker of Citus that was lost at a COPY.
const BUSY: [&str; 5] = ["55P03", "57014", "25P03", "25P02", "58030"];

/// SQLSTATE of a transaction that the server does not let write, as one that has become a standby.
const READ_ONLY: &str = "25006";

/// SQLSTATE of what has no other: Citus gives it for whatever fails a COPY on a worker, and for a worker that is lost at
/// COMMIT.
const UNCLEAR: &str = "XX000";

impl From<DbErr> for Error {
    fn from(cause: DbErr) -> Self {
        let unreachable = match &cause {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
            DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
                error.as_database_error().is_none_or(|error| {
                    error.code().is_some_and(|code| UNREACHABLE.iter().any(|begin| code.starts_with(begin)))
                })
            }
            _ => false,
        };
        if unreachable {
            return Error::new(ErrorKind::ServiceUnavailable, "The database cannot be reached; try again.")
                .caused_by(cause);
        }
        if is_contention(&cause) || code(&cause).is_some_and(|code| BUSY.contains(&code.as_str())) {
            return Error::new(ErrorKind::ServiceUnavailable, "The database is busy; try again.").caused_by(cause);
        }
        Error::internal(cause)
    }
}

pub(super) fn failure(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)))
}

/// What the database calls the error, where it was the database that refused.
fn code(error: &DbErr) -> Option<String> {
    let (DbErr::Exec(RuntimeErr::SqlxError(error))
    | DbErr::Query(RuntimeErr::SqlxError(error))
    | DbErr::Conn(RuntimeErr::SqlxError(error))) = error
    else {
        return None;
    };
    error.as_database_error()?.code().map(|code| code.into_owned())
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

/// Whether a row was refused for a reason that the database does not tell, such as a key that another row has.
pub fn is_unclear(error: &DbErr) -> bool {
    code(error).is_some_and(|code| code == UNCLEAR)
}

/// Whether the transaction failed for another's sake alone, so that running it again is right.
pub fn is_contention(error: &DbErr) -> bool {
    code(error).is_some_and(|code| CONTENTION.contains(&code.as_str()))
}

/// Whether a row was refused for a key that another row has.
pub fn is_unique_violation(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}
