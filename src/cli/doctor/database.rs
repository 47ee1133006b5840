//! The database: whether it is there and takes writes, what this user may do in it, and how its server is set.

use std::{path::Path, time::Duration};

use rustix::fs::{Access, access};

use super::{super::Settings, finding::Finding};
use crate::storage::{Database, Fault, sqlite_file};

const DATABASE: &str = "database";
const POOLER: &str = "pooler";
const GRANTS: &str = "grants";
const SCHEMA: &str = "schema";
const CLOCK: &str = "clock";
const DURABILITY: &str = "durability";

/// Opens the database; nothing is made where it is not there.
pub async fn open(settings: &Settings, time_limit: Duration) -> (Finding, Option<Database>) {
    let failed = |reason: String| (Finding::failed(DATABASE, reason), None);
    let file = match sqlite_file(&settings.database_url) {
        Ok(file) => file,
        Err(error) => return failed(error.to_string()),
    };
    let missing = file.as_ref().filter(|file| !file.exists());
    if let Some((file, folder)) = missing.and_then(|file| Some((file, file.parent()?))) {
        // Of a folder that is not there, opening says how to make it.
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        if folder.is_dir() {
            if let Err(cause) = access(folder, Access::WRITE_OK) {
                return failed(format!(
                    "there is no file {} yet, and this user may make none there ({cause}): open its folder to them, or run \
                     this as another",
                    file.display()
                ));
            }
            return (
                Finding::warning(DATABASE, format!("there is no file {} yet: serve makes it", file.display())),
                None,
            );
        }
    }
    let database = match settings.connect(time_limit).await {
        Ok(database) => database,
        Err(error) => return failed(error.to_string()),
    };
    if let Some(fault) = database.probe().look(true).await {
        return failed(format!("{fault} {}", remedy(fault)));
    }
    let found = match file {
        Some(file) => format!("the SQLite file {} takes writes", file.display()),
        None => "PostgreSQL is there and takes writes".to_owned(),
    };
    (Finding::ok(DATABASE, found), Some(database))
}

fn remedy(fault: Fault) -> &'static str {
    match fault {
        Fault::ReadOnly => "Name the primary server in the database URL, or let the file be written to.",
        Fault::Full => "Make room on the database's disk.",
        Fault::Exhausted => "Let the server have more connections (max_connections), or others fewer.",
        Fault::Locked => "End the program that holds the file.",
        Fault::Unreachable | Fault::Silent | Fault::Busy | Fault::FileGone | Fault::Failing => {
            "Look into the log of the database's server."
        }
    }
}

/// The checks of a database that is open.
pub async fn look(database: &Database) -> Vec<Finding> {
    if database.is_sqlite() {
        return vec![schema(database).await];
    }
    vec![
        pooler(database).await,
        grants(database).await,
        schema(database).await,
        clock(database).await,
        durability(database).await,
    ]
}

async fn pooler(database: &Database) -> Finding {
    match (database.is_seen_to_share_sessions().await, database.is_said_to_share_sessions()) {
        (Err(error), _) => Finding::failed(POOLER, format!("two connections at once are not to be had: {error}")),
        (Ok(true), false) => Finding::failed(
            POOLER,
            "a pooler shares sessions between connections: add statement-cache-capacity=0 to the database URL, or have it \
             pool by session",
        ),
        (Ok(true), true) => Finding::ok(POOLER, "there is one that shares sessions, and the database URL says so"),
        (Ok(false), true) => Finding::ok(
            POOLER,
            "none shows that shares sessions; where there is none, calls are faster without statement-cache-capacity=0 in \
             the database URL",
        ),
        (Ok(false), false) => Finding::ok(POOLER, "there is none that shares sessions"),
    }
}

async fn grants(database: &Database) -> Finding {
    let grants = match database.grants().await {
        Ok(Some(grants)) => grants,
        Ok(None) => return Finding::failed(GRANTS, "PostgreSQL does not tell them"),
        Err(error) => return Finding::failed(GRANTS, format!("PostgreSQL does not tell them: {error}")),
    };
    let user = grants.user;
    match (grants.schema, grants.missing) {
        (None, _) => Finding::failed(
            GRANTS,
            format!("{user} may use no schema: as its owner, run: GRANT USAGE ON SCHEMA public TO {user}"),
        ),
        (Some(schema), Some(missing)) => Finding::failed(
            GRANTS,
            format!(
                "{user} lacks {missing}: as the owner of the tables, run: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL \
                 TABLES IN SCHEMA {schema} TO {user}; GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {user}"
            ),
        ),
        (Some(_), None) => Finding::ok(GRANTS, format!("{user} may read and write the tables that are there")),
    }
}

async fn schema(database: &Database) -> Finding {
    let schema = match database.schema().await.and_then(|schema| schema.check().map(|()| schema)) {
        Ok(schema) => schema,
        Err(error) => return Finding::failed(SCHEMA, error.to_string()),
    };
    match (schema.missing.len(), schema.unknown.len()) {
        (0, 0) => Finding::ok(SCHEMA, "it is up to date"),
        (0, newer) => Finding::ok(SCHEMA, format!("it is {newer} steps newer than this program, which can use it")),
        (missing, _) if database.is_sqlite() => {
            Finding::ok(SCHEMA, format!("it lacks {missing} steps: serve takes them"))
        }
        (missing, _) => Finding::failed(SCHEMA, format!("it lacks {missing} steps: run: referral-events migrate")),
    }
}

/// By how much the clocks may differ, in milliseconds.
const DIFFERENCE: i64 = 1000;

async fn clock(database: &Database) -> Finding {
    match database.clock_ahead().await {
        Ok(Some(ahead)) if ahead.num_milliseconds().abs() <= DIFFERENCE => {
            Finding::ok(CLOCK, format!("PostgreSQL's differs from ours by {} ms", ahead.num_milliseconds().abs()))
        }
        Ok(Some(ahead)) => {
            let seconds = ahead.num_milliseconds().abs() as f64 / 1000.0;
            let direction = if ahead.num_milliseconds() > 0 { "ahead of" } else { "behind" };
            Finding::warning(
                CLOCK,
                format!("PostgreSQL's is {seconds:.1} seconds {direction} ours: have both machines set theirs by NTP"),
            )
        }
        Ok(None) => Finding::warning(CLOCK, "PostgreSQL tells no time"),
        Err(error) => Finding::failed(CLOCK, format!("PostgreSQL tells no time: {error}")),
    }
}

async fn durability(database: &Database) -> Finding {
    let settings = match database.server_settings().await {
        Ok(settings) => settings,
        Err(error) => return Finding::failed(DURABILITY, format!("PostgreSQL does not tell its settings: {error}")),
    };
    let is_off = |name: &&str| settings.get(*name).is_some_and(|value| value == "off");
    let off: Vec<&str> = ["fsync", "full_page_writes", "synchronous_commit"].into_iter().filter(is_off).collect();
    if off.is_empty() {
        let version = settings.get("server_version").map(String::as_str).unwrap_or_default();
        return Finding::ok(DURABILITY, format!("PostgreSQL {version} keeps what it has committed"));
    }
    let set: Vec<String> = off.iter().map(|name| format!("ALTER SYSTEM SET {name} = on")).collect();
    Finding::warning(
        DURABILITY,
        format!(
            "{} off: a crash of the machine may lose or spoil what was committed; as a superuser, run: {}; SELECT \
             pg_reload_conf()",
            if off.len() == 1 { format!("{} is", off[0]) } else { format!("{} are", off.join(", ")) },
            set.join("; ")
        ),
    )
}
