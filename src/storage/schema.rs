//! Whether a program and a database's schema go together: each may have steps that the other does not know.

use migrations::{COMPATIBLE, Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, Statement};

use super::sql::Sql;
use crate::error::{Error, ErrorKind, Result};

/// How the schema of a database stands to that of this program.
#[derive(Debug)]
pub struct Schema {
    /// The steps that the database lacks, in order.
    pub missing: Vec<String>,
    /// The steps that the database has and this program does not know, in order. A newer program took them.
    pub unknown: Vec<String>,
    /// Those of the unknown ones that this program cannot do without knowing.
    incompatible: Vec<String>,
    /// Whether the table of the steps is there.
    pub(super) is_begun: bool,
    /// Why this user can take no steps.
    no_change: Option<String>,
}

/// The tables of the service, which this program reads.
pub const TABLES: [&str; 22] = [
    "access_tokens",
    "accounts_receivable",
    "audit_entries",
    "business_units",
    "calls",
    "cancellations",
    "classifications",
    "compatible_steps",
    "counters",
    "devices",
    "failed_guesses",
    "idempotency_keys",
    "key_checks",
    "organisations",
    "referral_events",
    "released_tokens",
    "rewards_participants",
    "seaql_migrations",
    "taps",
    "units",
    "unprocessed_events",
    "users",
];

/// The names of the steps that this program knows, in order.
pub fn steps() -> Vec<String> {
    Migrator::migrations().iter().map(|step| step.name().to_owned()).collect()
}

#[derive(FromQueryResult)]
struct Step {
    version: String,
    needs: Option<String>,
}

impl Schema {
    pub(super) async fn look_at<C: ConnectionTrait>(connection: &C) -> Result<Self> {
        let no_change = check_rights(connection).await?;
        let known = steps();
        let is_begun = exists(connection, "seaql_migrations").await?;
        let applied = match (is_begun, exists(connection, "compatible_steps").await?) {
            (false, _) => Vec::new(),
            (true, false) => find_steps(connection, FIND_STEPS).await?,
            (true, true) => find_steps(connection, FIND_STEPS_AND_NEEDS).await?,
        };
        let missing = known.iter().filter(|name| applied.iter().all(|step| step.version != **name)).cloned().collect();
        let (mut unknown, mut incompatible) = (Vec::new(), Vec::new());
        for Step { version, needs } in applied.into_iter().filter(|step| !known.contains(&step.version)) {
            if needs.is_none_or(|needs| !known.contains(&needs)) {
                incompatible.push(version.clone());
            }
            unknown.push(version);
        }
        Ok(Self { missing, unknown, incompatible, is_begun, no_change })
    }

    /// Refuses a schema that this program can neither use nor bring up to date.
    pub fn check(&self) -> Result<()> {
        let refusal = if !self.incompatible.is_empty() {
            format!(
                "the database's schema is newer than this program, version {}, which cannot use it: it does not know {}; \
                 run the version that the schema was brought up to date with",
                env!("CARGO_PKG_VERSION"),
                self.incompatible.join(", ")
            )
        } else if !self.unknown.is_empty() && !self.missing.is_empty() {
            format!(
                "the database's schema has steps that this program does not know ({}) and lacks others that come before \
                 ({}): it was brought up to date with a program of another line",
                self.unknown.join(", "),
                self.missing.join(", ")
            )
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::ServiceUnavailable, refusal))
    }

    /// Refuses likewise, and where steps are missing that this user may not take.
    pub fn check_change(&self) -> Result<()> {
        self.check()?;
        match &self.no_change {
            Some(reason) if !self.missing.is_empty() => Err(Error::new(ErrorKind::ServiceUnavailable, reason)),
            _ => Ok(()),
        }
    }
}

#[derive(FromQueryResult)]
struct Rights {
    this_user: String,
    /// The schema that is used; `None` where the user may use none.
    this_schema: Option<String>,
    may_create: Option<bool>,
    /// Tables of ours that the user may not read.
    unreadable: Option<String>,
}

const FIND_RIGHTS: &str = "\
SELECT quote_ident(current_user) AS this_user, quote_ident(current_schema()) AS this_schema,
       has_schema_privilege(current_schema(), 'CREATE') AS may_create,
       (SELECT string_agg(c.relname, ', ' ORDER BY c.relname) FROM pg_class c
        WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relkind IN ('r', 'p')
          AND c.relname = ANY($1) AND NOT has_table_privilege(c.oid, 'SELECT')) AS unreadable";

/// Refuses a user who may not read what is there: to such a one it looks as if it were not. Answers why the user can
/// take no steps.
async fn check_rights<C: ConnectionTrait>(connection: &C) -> Result<Option<String>> {
    if connection.get_database_backend() != DbBackend::Postgres {
        return Ok(None);
    }
    let tables = TABLES.map(str::to_owned).to_vec();
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, FIND_RIGHTS, [tables.into()]);
    let Some(rights) = Rights::find_by_statement(statement).one(connection).await? else { return Ok(None) };
    let Rights { this_user, this_schema, may_create, unreadable } = rights;
    let refusal = match (this_schema, unreadable) {
        (None, _) => format!(
            "the database user {this_user} may use no schema: as its owner, run: GRANT USAGE ON SCHEMA public TO {this_user}"
        ),
        (Some(schema), Some(tables)) => format!(
            "the database user {this_user} may not read {tables}: as the owner of the tables, run: GRANT SELECT, INSERT, \
             UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {this_user}; GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA \
             {schema} TO {this_user}"
        ),
        (Some(schema), None) => {
            return Ok((may_create == Some(false)).then(|| {
                format!(
                    "the database user {this_user} may not make tables in the schema {schema}: as its owner, run: GRANT \
                     CREATE ON SCHEMA {schema} TO {this_user}; or run migrate as a user who may"
                )
            }));
        }
    };
    Err(Error::new(ErrorKind::ServiceUnavailable, refusal))
}

/// Keeps which steps programs can do without knowing.
pub(super) async fn keep_compatible_steps<C: ConnectionTrait>(connection: &C) -> Result<(), DbErr> {
    for (step, needs) in COMPATIBLE {
        connection.execute_raw(KEEP_STEP.with(connection, vec![step.into(), needs.into()])).await?;
    }
    Ok(())
}

const KEEP_STEP: Sql =
    Sql::of_both("INSERT INTO compatible_steps (step, needs) VALUES ($1, $2) ON CONFLICT (step) DO NOTHING");

const FIND_STEPS: Sql = Sql::of_both("SELECT version, NULL AS needs FROM seaql_migrations ORDER BY version");

const FIND_STEPS_AND_NEEDS: Sql = Sql::of_both(
    "\
SELECT m.version, c.needs FROM seaql_migrations m
LEFT JOIN compatible_steps c ON c.step = m.version ORDER BY m.version",
);

async fn find_steps<C: ConnectionTrait>(connection: &C, sql: Sql) -> Result<Vec<Step>, DbErr> {
    Step::find_by_statement(sql.with(connection, Vec::new())).all(connection).await
}

const FIND_TABLE: Sql = Sql {
    // The information schema hides what the user may not touch.
    postgres: "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = $1",
    sqlite: "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1",
};

async fn exists<C: ConnectionTrait>(connection: &C, table: &str) -> Result<bool, DbErr> {
    Ok(connection.query_one_raw(FIND_TABLE.with(connection, vec![table.into()])).await?.is_some())
}
