//! What an operator wants to know of a database before it is served, and its server does not say by itself.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{DbBackend, DbErr, FromQueryResult, Statement};
use sqlx::{ConnectOptions, Connection, PgConnection, Row};

use super::{connect::Database, error::failure, schema::TABLES};

/// Tables of the steps, which `migrate` alone writes.
const OF_MIGRATE: [&str; 2] = ["compatible_steps", "seaql_migrations"];

/// Who uses PostgreSQL, where, and what they may not.
#[derive(Debug, FromQueryResult)]
pub struct Grants {
    /// As SQL writes it.
    pub user: String,
    /// Likewise; `None` where the user may use none.
    pub schema: Option<String>,
    /// Which rights are missing on which tables.
    pub missing: Option<String>,
}

const FIND_GRANTS: &str = "\
WITH lacking AS (
    SELECT p.n, p.privilege, string_agg(c.relname, ', ' ORDER BY c.relname) AS names FROM pg_class c,
        unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) WITH ORDINALITY AS p (privilege, n)
    WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relkind IN ('r', 'p')
        AND c.relname = ANY($1) AND (p.privilege = 'SELECT' OR c.relname <> ALL($2))
        AND NOT has_table_privilege(c.oid, p.privilege)
    GROUP BY p.n, p.privilege
)
SELECT quote_ident(current_user) AS user, quote_ident(current_schema()) AS schema,
    (SELECT string_agg(privilege || ' on ' || names, '; ' ORDER BY n) FROM lacking) AS missing";

#[derive(FromQueryResult)]
struct Setting {
    name: String,
    value: String,
}

/// What each session begins with, whatever this one has set.
const FIND_SETTINGS: &str = "\
SELECT name, reset_val AS value FROM pg_settings
WHERE name IN ('server_version', 'fsync', 'full_page_writes', 'synchronous_commit')";

#[derive(FromQueryResult)]
struct Now {
    milliseconds: i64,
}

const FIND_NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS milliseconds";

fn postgres(sql: &str) -> Statement {
    Statement::from_string(DbBackend::Postgres, sql)
}

impl Database {
    /// What this user may not do in PostgreSQL.
    pub async fn grants(&self) -> Result<Option<Grants>, DbErr> {
        let lists = [TABLES.map(str::to_owned).to_vec().into(), OF_MIGRATE.map(str::to_owned).to_vec().into()];
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, FIND_GRANTS, lists);
        Grants::find_by_statement(statement).one(self.reader()).await
    }

    /// The version of PostgreSQL, and the settings on which it hangs that what is committed stays so, by name.
    pub async fn server_settings(&self) -> Result<BTreeMap<String, String>, DbErr> {
        let settings = Setting::find_by_statement(postgres(FIND_SETTINGS)).all(self.reader()).await?;
        Ok(settings.into_iter().map(|setting| (setting.name, setting.value)).collect())
    }

    /// By how much the clock of PostgreSQL is ahead of ours, as far as the time tells that the answer took.
    pub async fn clock_ahead(&self) -> Result<Option<TimeDelta>, DbErr> {
        let asked = Utc::now();
        let now = Now::find_by_statement(postgres(FIND_NOW)).one(self.reader()).await?;
        let halfway = asked + (Utc::now() - asked) / 2;
        let theirs = now.and_then(|now| DateTime::from_timestamp_millis(now.milliseconds));
        Ok(theirs.map(|theirs| theirs - halfway))
    }

    /// Whether the URL says that a pooler shares sessions.
    pub fn is_said_to_share_sessions(&self) -> bool {
        self.reader().shares_sessions()
    }

    /// Whether two connections to PostgreSQL were led to the same session, which proves a pooler in between that shares
    /// sessions. Where others use it too, it may not show.
    pub async fn is_seen_to_share_sessions(&self) -> Result<bool, DbErr> {
        let server = self.reader().connection().get_postgres_connection_pool().connect_options();
        let mut first = server.connect().await.map_err(failure)?;
        let mut second = server.connect().await.map_err(failure)?;
        // One after the other: the session that the first has left is the next to be given away.
        let sessions = (session(&mut first).await?, session(&mut second).await?);
        _ = (first.close().await, second.close().await);
        Ok(sessions.0 == sessions.1)
    }
}

/// The number of the session that answers. Nothing is prepared, for a pooler may be in between.
async fn session(connection: &mut PgConnection) -> Result<i32, DbErr> {
    let row = sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await.map_err(failure)?;
    row.try_get(0).map_err(failure)
}
