//! The statements that PostgreSQL gets, as its own log tells them.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read as _, Seek, SeekFrom},
    path::PathBuf,
    sync::Mutex,
};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::postgres;

/// The program under test, as its sessions are called.
const PROGRAM: &str = "under_test";
/// What the session begins with that looks at the database's health.
const PROBE: &str = "SELECT pg_is_in_recovery()";
/// What a server does beside its calls, whenever it comes to it, and what a session begins with.
const BESIDE: [&str; 7] = [
    "SELECT \"organisations\".\"id\" FROM",
    "DELETE FROM idempotency_keys",
    "DELETE FROM failed_guesses",
    "DELETE FROM unprocessed_events",
    "INSERT INTO unprocessed_events",
    "SELECT 1 FROM pg_extension",
    "SET ",
];

/// Whether a statement is none of a call.
pub fn is_beside(sql: &str) -> bool {
    BESIDE.iter().any(|beside| sql.starts_with(beside))
}

/// The statements of one database.
pub struct StatementLog {
    file: PathBuf,
    database: String,
    read: Mutex<Read>,
}

#[derive(Default)]
struct Read {
    /// How far the file was read.
    to: u64,
    probes: BTreeSet<String>,
}

impl StatementLog {
    /// Has PostgreSQL tell the statements of this database from now on, by those who connect to the URL that is answered
    /// too. `None` where the server is another's, whose log nobody here can read.
    pub async fn of(url: &str) -> Option<(Self, String)> {
        let file = postgres::log()?;
        let database = url.rsplit('/').next().expect("a name").to_owned();
        let mut connection = PgConnection::connect(url).await.expect("a connection");
        // The values would make most of the log.
        for setting in ["log_statement = 'all'", "log_parameter_max_length = 0"] {
            let sql = format!("ALTER DATABASE {database} SET {setting}");
            connection.execute(AssertSqlSafe(sql)).await.expect("a setting");
        }
        connection.close().await.expect("a close");
        let log = Self { file, database, read: Mutex::default() };
        log.take();
        Some((log, format!("{url}?application_name={PROGRAM}")))
    }

    /// The statements since the last time, in order, without what the server does beside its calls. The log has them
    /// before they are carried out.
    pub fn take(&self) -> Vec<String> {
        let mut read = self.read.lock().expect("a lock");
        let mut file = File::open(&self.file).expect("a log");
        file.seek(SeekFrom::Start(read.to)).expect("a place");
        let mut text = String::new();
        read.to += file.read_to_string(&mut text).expect("a log of UTF-8") as u64;
        let mut statements: Vec<(String, String)> = Vec::new();
        let mut is_ours = false;
        for line in text.lines() {
            // A statement goes on in lines that are indented.
            if let Some(more) = line.strip_prefix('\t') {
                if let (true, Some((_, statement))) = (is_ours, statements.last_mut()) {
                    statement.push('\n');
                    statement.push_str(more);
                }
                continue;
            }
            let statement = self.statement(line);
            is_ours = statement.is_some();
            statements.extend(statement.map(|(session, sql)| (session.to_owned(), sql.to_owned())));
        }
        let probes = statements.iter().filter(|(_, sql)| sql.starts_with(PROBE)).map(|(session, _)| session.clone());
        read.probes.extend(probes);
        statements.retain(|(session, sql)| !read.probes.contains(session) && !is_beside(sql));
        // What is sent with a BEGIN or a COMMIT has its values in it.
        let text = |(_, sql): (String, String)| match sql.split_once("INSERT INTO calls (organisation_id, first_number")
        {
            Some(("", _)) => "INSERT INTO calls; COMMIT".to_owned(),
            Some((rows, _)) if rows.starts_with("INSERT INTO referral_events") => "Rows, calls and COMMIT".to_owned(),
            None if sql.starts_with("INSERT INTO referral_events (") => "Rows".to_owned(),
            _ if sql.starts_with("BEGIN") && sql.contains("UPDATE counters") => "BEGIN, turn and numbers".to_owned(),
            _ => sql,
        };
        statements.into_iter().map(text).collect()
    }

    /// The session and the statement that a line begins, if it is one of the program's.
    fn statement<'l>(&self, line: &'l str) -> Option<(&'l str, &'l str)> {
        let line = line.strip_prefix(&self.database)?.strip_prefix(' ')?.strip_prefix(PROGRAM)?.strip_prefix(' ')?;
        let (session, told) = line.split_once("|LOG:  ")?;
        // One that was prepared has a name.
        let executed = || told.strip_prefix("execute ")?.split_once(": ").map(|(_, sql)| sql);
        Some((session, told.strip_prefix("statement: ").or_else(executed)?))
    }
}
