//! Why a database cannot be opened, and what mends it, for the operator who starts the service.

use std::{io::ErrorKind as IoErrorKind, path::Path, time::Duration};

use sqlx::{ConnectOptions, Connection, postgres::PgConnectOptions};
use tokio::time::timeout;

use super::{error::code_of, url::SPELLING};
use crate::error::{Error, ErrorKind, Result};

/// SQLSTATE of a server that has no free connection, and of one that starts: it is worth waiting for both.
const WORTH_WAITING: [&str; 2] = ["53300", "57P03"];

/// Refuses a SQLite file that cannot be there.
pub(super) fn check_sqlite(file: &Path) -> Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        let folder = folder.display();
        return Err(cannot_be_opened(format!(
            "the folder {folder} does not exist: make it (mkdir -p '{folder}'), or mend the path in the database URL"
        )));
    }
    if file.is_dir() {
        return Err(cannot_be_opened(format!("{} is a folder: name a file in it", file.display())));
    }
    Ok(())
}

/// Why SQLite did not open the file.
pub(super) fn sqlite_refusal(file: &Path, cause: impl std::error::Error) -> Error {
    cannot_be_opened(format!(
        "the file {}: {cause}; it must be one of SQLite, and it and its folder be open to this user for writing",
        file.display()
    ))
}

/// Connects once, so that what is wrong is known at once, and said as it is: a pool tries again until it is out of time.
/// Answers what may pass if it is waited for.
pub(super) async fn try_postgres(server: &PgConnectOptions, patience: Duration) -> Result<Option<Error>> {
    let place = place(server);
    if server.get_socket().is_none() {
        let host = server.get_host().trim_matches(['[', ']']);
        if let Err(cause) = tokio::net::lookup_host((host, server.get_port())).await {
            return Err(cannot_be_opened(format!(
                "the host {host} of the database URL cannot be found: {cause}; mend it, or the user name and password \
                 before it: {SPELLING}"
            )));
        }
    }
    match timeout(patience, server.connect()).await {
        Ok(Ok(connection)) => {
            _ = connection.close().await;
            Ok(None)
        }
        Ok(Err(error)) => {
            let refusal = cannot_be_opened(reason(server, &place, &error));
            match code_of(&error) {
                Some(code) if WORTH_WAITING.contains(&&*code) => Ok(Some(refusal)),
                _ => Err(refusal),
            }
        }
        Err(_) => Err(cannot_be_opened(format!(
            "{place} does not answer within {} seconds: check the host and port of the database URL, and what lies \
             between (a firewall, a network)",
            patience.as_secs()
        ))),
    }
}

fn place(server: &PgConnectOptions) -> String {
    match server.get_socket() {
        Some(folder) => format!("PostgreSQL's socket in {}, port {}", folder.display(), server.get_port()),
        None => format!("PostgreSQL at {}:{}", server.get_host(), server.get_port()),
    }
}

fn reason(server: &PgConnectOptions, place: &str, error: &sqlx::Error) -> String {
    if let sqlx::Error::Io(cause) = error
        && (cause.kind() == IoErrorKind::ConnectionRefused || server.get_socket().is_some())
    {
        return format!("{place} is not there ({cause}): start it, or mend the host and port of the database URL");
    }
    let message = error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    let user = server.get_username();
    // Without a name it is the user's.
    let database = server.get_database().unwrap_or(user);
    let remedy = match code_of(error).as_deref() {
        Some("28P01") => format!("set the password of {user} in the database URL; {SPELLING}"),
        Some(code) if code.starts_with("28") => {
            format!("check the user {user} of the database URL, and whom the server lets in (pg_hba.conf)")
        }
        Some("3D000") => format!("make the database (createdb {database}), or mend its name in the database URL"),
        Some("42501") => format!("as its owner, run: GRANT CONNECT ON DATABASE \"{database}\" TO \"{user}\""),
        _ => return message,
    };
    format!("{place} says: {message}; {remedy}")
}

pub(super) fn cannot_be_opened(reason: String) -> Error {
    Error::new(ErrorKind::ServiceUnavailable, format!("the database cannot be opened: {reason}"))
}
