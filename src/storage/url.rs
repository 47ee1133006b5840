//! What a database URL says.

use sqlx::{ConnectOptions, postgres::PgConnectOptions};

use crate::error::{Error, ErrorKind, Result};

/// Whether the URL names a SQLite file.
pub fn is_sqlite(url: &str) -> bool {
    url.starts_with("sqlite:")
}

/// The parameters that sqlx knows of a PostgreSQL URL, beside `options[…]`.
const POSTGRES_PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Reads a PostgreSQL URL.
pub(super) fn postgres_server(url: &str) -> Result<PgConnectOptions> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        let message = "the database URL begins with sqlite:, postgres:// or postgresql://";
        return Err(Error::new(ErrorKind::ServiceUnavailable, message));
    }
    // sqlx would pass over a misspelt sslmode and connect without, and log the value.
    let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
    let names = parameters.split('&').filter_map(|parameter| parameter.split('=').next());
    for name in names.filter(|name| !name.is_empty() && !name.starts_with("options[")) {
        if !POSTGRES_PARAMETERS.contains(&name) {
            // What stands there may be a piece of a password, so it is not shown.
            let message =
                format!("the database URL has a parameter that is none of {}", POSTGRES_PARAMETERS.join(", "));
            return Err(Error::new(ErrorKind::ServiceUnavailable, message));
        }
    }
    let server: PgConnectOptions = url.parse().map_err(|cause: sqlx::Error| {
        Error::new(ErrorKind::ServiceUnavailable, "the database URL cannot be read").caused_by(cause)
    })?;
    // Numbers travel in binary, so what sqlx asks for about their text is of no use, and PgBouncer refuses it.
    Ok(server.extra_float_digits(None).disable_statement_logging())
}
