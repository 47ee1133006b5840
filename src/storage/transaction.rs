//! A transaction that SeaORM's queries run in, and the databases' own bulk load beside them, which SeaORM's
//! transaction does not let through.

use std::sync::Arc;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement, Values};
use sea_query_sqlx::SqlxValues;
use sqlx::{AssertSqlSafe, PgPool, Postgres, Sqlite, SqlitePool};
use tokio::sync::Mutex;

/// Is told the text of every statement.
pub type Observer = Arc<dyn Fn(&str) + Send + Sync>;

/// What a session, and each transaction, tells PostgreSQL's planner. What is looked up is looked up by key, a thousand
/// keys in less time than it takes to start parallel workers, to compile a plan or to read a large table; or it is some
/// rows in the order of an index. The planner does not know that of a table that has just grown, for which it has no
/// statistics yet: it would read and sort all events of an organisation for the newest hundred.
///
/// Transactions say it again for Citus, which hands to the machine that does the work what is set in a transaction
/// alone, and for poolers, behind which the session is another's.
pub(super) const PLANNER: [&str; 6] = [
    "enable_seqscan = off",
    "enable_bitmapscan = off",
    "enable_hashjoin = off",
    "enable_mergejoin = off",
    "max_parallel_workers_per_gather = 0",
    "jit = off",
];

/// In a transaction, which may be about events, no plan is kept: one from when the table was small may take the wrong
/// index. The directory is looked up outside, by plans that last until its import has statistics made.
const KEEP_NO_PLAN: &str = "plan_cache_mode = force_custom_plan";

/// Frees the names that sqlx gives to what it prepares, counting from one on each connection.
pub(super) const DEALLOCATE: &str = "DEALLOCATE ALL";

/// An open transaction; dropped without a commit, it is rolled back.
pub struct Transaction {
    connection: Mutex<Connection>,
    backend: DbBackend,
    observer: Option<Observer>,
}

pub(super) enum Connection {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

impl Transaction {
    pub(super) async fn begin_sqlite(
        pool: &SqlitePool,
        begin: &'static str,
        observer: Option<Observer>,
    ) -> Result<Self, DbErr> {
        let connection = pool.begin_with(begin).await.map_err(failure)?;
        Ok(Self::new(Connection::Sqlite(connection), DbBackend::Sqlite, observer))
    }

    /// Where sessions are shared, the one that the transaction gets may hold what others prepared in it.
    pub(super) async fn begin_postgres(
        pool: &PgPool,
        shares_sessions: bool,
        observer: Option<Observer>,
    ) -> Result<Self, DbErr> {
        let settings = PLANNER.iter().chain([&KEEP_NO_PLAN]).map(|setting| format!("; SET LOCAL {setting}"));
        let mut begin = "BEGIN".to_owned();
        begin.extend(settings);
        if shares_sessions {
            begin.extend(["; ", DEALLOCATE]);
        }
        let connection = pool.begin_with(AssertSqlSafe(begin)).await;
        let connection = connection.map_err(failure)?;
        Ok(Self::new(Connection::Postgres(connection), DbBackend::Postgres, observer))
    }

    fn new(connection: Connection, backend: DbBackend, observer: Option<Observer>) -> Self {
        let transaction = Self { connection: Mutex::new(connection), backend, observer };
        transaction.observe("BEGIN");
        transaction
    }

    pub async fn commit(self) -> Result<(), DbErr> {
        self.observe("COMMIT");
        match self.connection.into_inner() {
            Connection::Sqlite(transaction) => transaction.commit().await,
            Connection::Postgres(transaction) => transaction.commit().await,
        }
        .map_err(failure)
    }

    pub async fn rollback(self) -> Result<(), DbErr> {
        self.observe("ROLLBACK");
        match self.connection.into_inner() {
            Connection::Sqlite(transaction) => transaction.rollback().await,
            Connection::Postgres(transaction) => transaction.rollback().await,
        }
        .map_err(failure)
    }

    /// The connection itself, for what SeaORM has no words for; `statement` is what it is going to be used for.
    pub(super) async fn connection(&self, statement: &str) -> tokio::sync::MutexGuard<'_, Connection> {
        self.observe(statement);
        self.connection.lock().await
    }

    fn observe(&self, statement: &str) {
        if let Some(observer) = &self.observer {
            observer(statement);
        }
    }
}

pub(super) fn failure(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)))
}

/// Runs a query on whichever connection there is.
macro_rules! run {
    ($self:ident, $statement:ident, |$query:ident, $connection:ident| $run:expr) => {{
        $self.observe(&$statement.sql);
        let sql = AssertSqlSafe($statement.sql);
        let values = SqlxValues($statement.values.unwrap_or_else(|| Values(Vec::new())));
        match &mut *$self.connection.lock().await {
            Connection::Sqlite(transaction) => {
                let ($query, $connection) = (sqlx::query_with::<Sqlite, _>(sql, values), &mut **transaction);
                $run
            }
            Connection::Postgres(transaction) => {
                let ($query, $connection) = (sqlx::query_with::<Postgres, _>(sql, values), &mut **transaction);
                $run
            }
        }
    }};
}

#[async_trait::async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        self.backend
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        Ok(run!(self, statement, |query, connection| query.execute(connection).await.map_err(failure)?.into()))
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.execute_raw(Statement::from_string(self.backend, sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(run!(self, statement, |query, connection| {
            query.fetch_optional(connection).await.map_err(failure)?.map(QueryResult::from)
        }))
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        Ok(run!(self, statement, |query, connection| {
            query.fetch_all(connection).await.map_err(failure)?.into_iter().map(QueryResult::from).collect()
        }))
    }
}
