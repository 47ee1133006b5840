//! A cluster of Citus as its operator sees it. All is asked of the coordinator, which asks the workers.

use std::{io, time::Duration};

use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, Statement};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row, postgres::PgConnectOptions};
use tokio::time::timeout;

use super::{
    connect::Database,
    error::failure,
    pool::Pool,
    schema::TABLES,
    shards::{Shard, Shards},
};
use crate::id::OrganisationId;

/// By which an operator tells the connection from those of calls.
const NAME: &str = "referral-events cluster";
/// How long the coordinator may take to be connected to, and to answer, for itself or for a worker.
const PATIENCE: Duration = Duration::from_secs(3);

const FIND_SHARDS: &str = "\
SELECT s.shardid AS id, n.nodename AS host, n.nodeport AS port
FROM pg_dist_shard s
JOIN pg_dist_placement p ON p.shardid = s.shardid
JOIN pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary'
WHERE s.logicalrelid = 'counters'::regclass
ORDER BY s.shardid";

/// Looks now and again which workers answer.
pub struct Watch {
    server: PgConnectOptions,
    connection: Option<PgConnection>,
    shards: Shards,
}

impl Watch {
    /// Fails where the coordinator does not answer; what is known of the workers stays then.
    pub async fn look(&mut self) -> Result<(), DbErr> {
        let mut found: Vec<Shard> = Vec::new();
        for row in self.ask(FIND_SHARDS).await? {
            let (host, port): (String, i32) = (get(&row, "host")?, get(&row, "port")?);
            found.push(Shard { id: get(&row, "id")?, worker: format!("{host}:{port}"), is_lost: false });
        }
        let mut workers: Vec<String> = found.iter().map(|shard| shard.worker.clone()).collect();
        workers.sort_unstable();
        workers.dedup();
        for worker in workers {
            let is_lost = !self.answers(&worker).await;
            found.iter_mut().filter(|shard| shard.worker == worker).for_each(|shard| shard.is_lost = is_lost);
        }
        let known = self.shards.replace(found.clone());
        let was_lost = |shard: &Shard| known.iter().any(|known| known.id == shard.id && known.is_lost);
        let changed: Vec<&Shard> = found.iter().filter(|shard| shard.is_lost != was_lost(shard)).collect();
        let ids = |is_lost: bool| {
            let of_kind = changed.iter().filter(|shard| shard.is_lost == is_lost);
            of_kind.map(|shard| shard.to_string()).collect::<Vec<_>>().join(", ")
        };
        match ids(true) {
            lost if lost.is_empty() => {}
            lost => {
                tracing::error!(shards = lost, "workers do not answer; the organisations of these shards stand still")
            }
        }
        match ids(false) {
            back if back.is_empty() => {}
            back => tracing::info!(shards = back, "the workers of these shards answer again"),
        }
        Ok(())
    }

    /// Whether the coordinator reaches the worker, and it answers.
    async fn answers(&mut self, worker: &str) -> bool {
        let Some((host, port)) = worker.rsplit_once(':') else { return false };
        let host = host.replace('\'', "''");
        let ask = format!(
            "SELECT success FROM master_run_on_worker(ARRAY['{host}'], ARRAY[{port}], ARRAY['SELECT 1'], false) AS r"
        );
        let answered = self.ask(&ask).await;
        answered.is_ok_and(|rows| rows.iter().all(|row| row.try_get("success").unwrap_or(false)))
    }

    async fn ask(&mut self, sql: &str) -> Result<Vec<sqlx::postgres::PgRow>, DbErr> {
        let taken = self.connection.take();
        let asked = async {
            let mut connection = match taken {
                Some(connection) => connection,
                None => self.server.connect().await?,
            };
            let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await?;
            Ok((connection, rows))
        };
        // Half-way through an answer the connection is of no use any more.
        let asked =
            timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
        let (connection, rows) = asked.map_err(failure)?;
        self.connection = Some(connection);
        Ok(rows)
    }
}

fn get<'r, T>(row: &'r sqlx::postgres::PgRow, column: &str) -> Result<T, DbErr>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(column).map_err(failure)
}

/// What `doctor` is told of a cluster.
#[derive(Debug)]
pub struct Cluster {
    pub version: String,
    /// How often commits in doubt are looked for, in milliseconds.
    pub recovery_interval: i64,
    /// What of `SET` the coordinator hands on to the workers.
    pub propagated: String,
    pub workers: Vec<Worker>,
    /// The tables that are on the coordinator alone, and should not be.
    pub undistributed: Option<String>,
    /// How many groups of shards, that should lie together, do not.
    pub torn: i64,
}

#[derive(Debug)]
pub struct Worker {
    pub address: String,
    /// What it says, or why it does not.
    pub said: Result<Said, String>,
}

/// What a worker says of itself.
#[derive(Debug)]
pub struct Said {
    pub prepared_transactions: i64,
    pub reads_whole_tables: bool,
    /// The commits that nobody has ended for some time.
    pub in_doubt: u64,
}

#[derive(FromQueryResult)]
struct Of {
    version: String,
    recovery_interval: i64,
    propagated: String,
    undistributed: Option<String>,
    torn: i64,
}

/// $1 are our tables; of those that have no organisation the coordinator alone has some.
const FIND_CLUSTER: &str = "\
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'citus') AS version,
    (SELECT reset_val::bigint FROM pg_settings WHERE name = 'citus.recover_2pc_interval') AS recovery_interval,
    (SELECT reset_val FROM pg_settings WHERE name = 'citus.propagate_set_commands') AS propagated,
    (SELECT string_agg(c.relname, ', ' ORDER BY c.relname) FROM pg_class c
        WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relname = ANY($1)
        AND EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'organisation_id')
        AND NOT EXISTS (SELECT 1 FROM pg_dist_partition p WHERE p.logicalrelid = c.oid)) AS undistributed,
    (SELECT count(*) FROM (
        SELECT s.shardminvalue FROM pg_dist_shard s
        JOIN pg_dist_placement p ON p.shardid = s.shardid
        JOIN pg_dist_partition d ON d.logicalrelid = s.logicalrelid AND d.partmethod = 'h'
        JOIN pg_class c ON c.oid = s.logicalrelid AND c.relname = ANY($1)
        WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema()))
        GROUP BY s.shardminvalue HAVING count(DISTINCT p.groupid) > 1) AS torn) AS torn";

#[derive(FromQueryResult)]
struct Answer {
    address: String,
    success: bool,
    result: String,
}

/// A commit is told of once it is in doubt for longer than it takes to look for such.
const ASK_WORKERS: &str = "\
SELECT r.nodename || ':' || r.nodeport AS address, r.success, r.result FROM run_command_on_workers($$
    SELECT current_setting('max_prepared_transactions') || ' ' || current_setting('enable_seqscan') || ' ' ||
        (SELECT count(*) FROM pg_prepared_xacts
        WHERE database = current_database() AND gid LIKE 'citus%' AND prepared < now() - INTERVAL '10 seconds')
$$) AS r ORDER BY 1";

fn said(result: &str) -> Option<Said> {
    let mut parts = result.split(' ');
    let (prepared, seqscan, in_doubt) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Said {
        prepared_transactions: prepared.parse().ok()?,
        reads_whole_tables: seqscan != "off",
        in_doubt: in_doubt.parse().ok()?,
    })
}

impl Database {
    /// Whether it is the coordinator of a cluster of Citus.
    pub fn is_citus(&self) -> bool {
        self.reader().is_citus()
    }

    /// What looks at the workers for [`shards`](Self::shards).
    pub fn watch_of_workers(&self) -> Watch {
        let server = self.reader().connection().get_postgres_connection_pool().connect_options();
        let server = PgConnectOptions::clone(&server).application_name(NAME);
        Watch { server, connection: None, shards: self.shards().clone() }
    }

    pub async fn cluster(&self) -> Result<Cluster, DbErr> {
        let tables = TABLES.map(str::to_owned).to_vec();
        let of = Statement::from_sql_and_values(DbBackend::Postgres, FIND_CLUSTER, [tables.into()]);
        let of = Of::find_by_statement(of).one(self.reader()).await?;
        let Of { version, recovery_interval, propagated, undistributed, torn } =
            of.ok_or_else(|| DbErr::RecordNotFound("the settings of Citus".to_owned()))?;
        let ask = Statement::from_string(DbBackend::Postgres, ASK_WORKERS);
        let answers = Answer::find_by_statement(ask).all(self.reader()).await?;
        let worker = |Answer { address, success, result }| {
            let said = said(&result).filter(|_| success).ok_or(result);
            Worker { address, said }
        };
        let workers = answers.into_iter().map(worker).collect();
        Ok(Cluster { version, recovery_interval, propagated, workers, undistributed, torn })
    }

    /// The shard that has an organisation, for who looks after the cluster.
    pub async fn shard_of(&self, organisation_id: OrganisationId) -> Result<Option<i64>, DbErr> {
        const FIND: &str = "SELECT get_shard_id_for_distribution_column('counters'::regclass, $1::bigint) AS id";
        let find = Statement::from_sql_and_values(DbBackend::Postgres, FIND, [organisation_id.into()]);
        let found = self.reader().query_one_raw(find).await?;
        found.map(|row| row.try_get("", "id")).transpose()
    }
}

/// $1 is the table, $2 the organisation, $3 the statement with a place for the shard's name. Answers the failures.
const ON_SHARD: &str = "\
SELECT r.result FROM (
    SELECT n.nodename, n.nodeport, shard_name(s.logicalrelid, s.shardid) AS name
    FROM pg_dist_shard s
    JOIN pg_dist_placement p ON p.shardid = s.shardid
    JOIN pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary'
    WHERE s.shardid = get_shard_id_for_distribution_column($1::text::regclass, $2::bigint)) AS s
CROSS JOIN LATERAL master_run_on_worker(ARRAY[s.nodename], ARRAY[s.nodeport], ARRAY[format($3::text, s.name)], false) AS r
WHERE NOT r.success";

/// Has a statement run on the shard of a table that has the organisation, on its worker, in no transaction; `%s` in it
/// stands for the shard.
pub(super) async fn run_on_shard(
    pool: &Pool,
    table: &str,
    organisation_id: OrganisationId,
    statement: &str,
) -> Result<(), DbErr> {
    let values = [table.into(), organisation_id.into(), statement.into()];
    let run = Statement::from_sql_and_values(DbBackend::Postgres, ON_SHARD, values);
    match pool.query_one_raw(run).await? {
        Some(failed) => Err(DbErr::Custom(failed.try_get("", "result")?)),
        None => Ok(()),
    }
}
