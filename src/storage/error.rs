//! What the database says, in the service's terms. Nothing here looks at the text of a message.

use sea_orm::{DbErr, RuntimeErr, SqlErr};

use crate::error::{Error, ErrorKind};

/// SQLSTATE of a transaction that lost against another (serialization failure, deadlock), and SQLite's
/// busy, snapshot-is-stale and locked codes. Running the transaction again is the answer to each.
const CONTENTION: [&str; 7] = ["40001", "40P01", "5", "261", "517", "6", "262"];

/// What the SQLSTATE begins with where the server, or a pooler in front of it, ends or refuses a connection: connection
/// exceptions, shutdown and start, no free connection.
const UNREACHABLE: [&str; 3] = ["08", "57P", "53300"];

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
        Error::internal(cause)
    }
}

/// Whether the transaction failed for another's sake alone, so that running it again is right.
pub fn is_contention(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error))
    | DbErr::Query(RuntimeErr::SqlxError(error))
    | DbErr::Conn(RuntimeErr::SqlxError(error))) = error
    else {
        return false;
    };
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| CONTENTION.contains(&code.as_ref()))
}

/// Whether a row was refused for a key that another row has.
pub fn is_unique_violation(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}
