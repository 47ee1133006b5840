//! A copy of a SQLite database, made while others read and write it.
//!
//! `VACUUM INTO` copies what is committed as of one moment, in a transaction that only reads: calls go on meanwhile, and
//! what they write stays in the log until it is done. The copy is whole by itself, without a log, and has nothing of what
//! was removed. SQLite's other way, page by page, begins anew whenever another process writes, or keeps the removed too.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

use crate::error::{Error, ErrorKind, Result};

/// How long it waits for another process that has the file to itself, as while it takes up the log of one that was killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// What SQLite says of a database in which nothing is wrong.
const SOUND: &str = "ok";

/// Copies the database to a file that is not there, and reads the copy through. It takes as long as the disk does.
pub fn copy_sqlite(database: &Path, copy: &Path) -> Result<()> {
    let copied = open(database, OpenFlags::SQLITE_OPEN_READ_WRITE).and_then(|connection| {
        connection.execute("VACUUM INTO ?1", [copy.as_os_str().to_string_lossy()])?;
        Ok(())
    });
    copied.map_err(|cause| failed(format!("the database {} cannot be copied", database.display()), cause))?;
    let looked_through = open(copy, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .and_then(|connection| connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)));
    let said = looked_through.map_err(|cause| failed("the copy cannot be read", cause))?;
    if said != SOUND {
        return Err(failed(format!("the database {} is damaged, and so is its copy", database.display()), said));
    }
    Ok(())
}

fn open(file: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(PATIENCE)?;
    Ok(connection)
}

fn failed(message: impl Into<String>, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::ServiceUnavailable, message).caused_by(cause)
}
