//! What a database URL says.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

use percent_encoding::percent_decode_str;
use sqlx::{ConnectOptions, postgres::PgConnectOptions};

use crate::error::{Error, ErrorKind, Result};

/// The file of a SQLite URL, which may stand percent-encoded there; `None` where the URL is of another database.
pub fn sqlite_file(url: &str) -> Result<Option<PathBuf>> {
    let Some(rest) = url.strip_prefix("sqlite:") else { return Ok(None) };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    // SQLite itself would take the last for a URL of its own, which may name no file either.
    if path.is_empty() || path == ":memory:" || path.starts_with("file:") || parameters.contains("mode=memory") {
        return Err(refused(
            "the database URL names no file, and nothing would be kept: write sqlite:PATH, or try the service with \
             serve --demo",
        ));
    }
    if !["", "mode=rwc"].contains(&parameters) {
        return Err(refused(
            "the database URL has a parameter, and a file has none but mode=rwc: write sqlite:PATH, with %3F for a ? in \
             the path",
        ));
    }
    Ok(Some(OsString::from_vec(percent_decode_str(path).collect()).into()))
}

/// The URL for the operator's eyes: with a … in the place of what is secret in it. Of one that is not well-formed rather too
/// much is hidden.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| *scheme != "sqlite") else {
        return url.to_owned();
    };
    let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    let user = user.map(|user| user.split_once(':').map_or(format!("{user}@"), |(name, _)| format!("{name}:…@")));
    let (place, parameters) = rest.split_once('?').map_or((rest, None), |(place, rest)| (place, Some(rest)));
    let hidden = |parameter: &str| match parameter.split_once('=') {
        // A key may stand there itself, or the name of its file.
        Some((name @ ("sslkey" | "ssl-key"), value)) if value.contains("BEGIN") => format!("{name}=…"),
        Some((name @ "password", _)) => format!("{name}=…"),
        _ => parameter.to_owned(),
    };
    let parameters = parameters.map(|all| all.split('&').map(hidden).collect::<Vec<_>>().join("&"));
    let parameters = parameters.map(|all| format!("?{all}")).unwrap_or_default();
    format!("{scheme}://{}{place}{parameters}", user.unwrap_or_default())
}

/// How characters are written that a URL has a meaning for: a password that has them as they are is cut off there.
pub(super) const SPELLING: &str =
    "in its user name and password @ is written %40, : %3A, / %2F, ? %3F, # %23 and % %25";

fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::ServiceUnavailable, message)
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
        return Err(refused(
            "the database URL begins with sqlite:, postgres:// or postgresql://, as in sqlite:referral-events.db or \
             postgres://USER:PASSWORD@HOST/DATABASE",
        ));
    }
    // Here the rest of a password would be taken for the host or the name of the database, and be shown as such.
    let (place, parameters) = url.split_once('?').unwrap_or((url, ""));
    let path = place.splitn(4, '/').nth(3).unwrap_or_default();
    if url.contains('#') || path.contains('@') {
        return Err(refused(format!("the database URL cannot be read: {SPELLING}")));
    }
    // sqlx would pass over a misspelt sslmode and connect without, and log the value.
    let names = parameters.split('&').filter_map(|parameter| parameter.split('=').next());
    for name in names.filter(|name| !name.is_empty() && !name.starts_with("options[")) {
        if !POSTGRES_PARAMETERS.contains(&name) {
            // What stands there may be a piece of a password, so it is not shown.
            return Err(refused(format!(
                "the database URL has a parameter that is none of {}; {SPELLING}",
                POSTGRES_PARAMETERS.join(", ")
            )));
        }
    }
    check_files(parameters)?;
    let server: PgConnectOptions = url.parse().map_err(|cause: sqlx::Error| {
        refused(format!("the database URL cannot be read: {cause}; {SPELLING}")).caused_by(cause)
    })?;
    // Numbers travel in binary, so what sqlx asks for about their text is of no use, and PgBouncer refuses it.
    Ok(server.extra_float_digits(None).disable_statement_logging())
}

/// The parameters that name a file, or have what would stand in it.
const FILES: [&str; 7] = ["sslrootcert", "ssl-root-cert", "ssl-ca", "sslcert", "ssl-cert", "sslkey", "ssl-key"];

/// Refuses files that are not there; the library says nothing of which.
fn check_files(parameters: &str) -> Result<()> {
    for (name, file) in form_urlencoded::parse(parameters.as_bytes()).filter(|(name, _)| FILES.contains(&&**name)) {
        if !file.starts_with("-----BEGIN")
            && let Err(cause) = std::fs::metadata(&*file)
        {
            return Err(refused(format!("the database cannot be opened: {name} in its URL names {file}: {cause}")));
        }
    }
    Ok(())
}
