//! Whether a program and a database's schema go together: each may have steps that the other does not know.

use migrations::{COMPATIBLE, Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

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
}

#[derive(FromQueryResult)]
struct Step {
    version: String,
    needs: Option<String>,
}

impl Schema {
    pub(super) async fn look_at<C: ConnectionTrait>(connection: &C) -> Result<Self, DbErr> {
        let known: Vec<String> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
        let applied =
            match (exists(connection, "seaql_migrations").await?, exists(connection, "compatible_steps").await?) {
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
        Ok(Self { missing, unknown, incompatible })
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
    postgres: "SELECT 1 FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = $1",
    sqlite: "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1",
};

async fn exists<C: ConnectionTrait>(connection: &C, table: &str) -> Result<bool, DbErr> {
    Ok(connection.query_one_raw(FIND_TABLE.with(connection, vec![table.into()])).await?.is_some())
}
