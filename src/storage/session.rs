//! A connection to a database while somebody talks on it, and whether the talk stands at a point from which another can
//! go on.
//!
//! sqlx hands a connection back to its pool wherever its user left it: in the middle of a BEGIN, of a COPY, of a
//! transaction that it takes for ended. Here a connection goes back only where its last conversation ended cleanly, and
//! is closed otherwise.

use std::{io, time::Duration};

use sea_orm::{DbErr, ExecResult, QueryResult, Statement, Values};
use sea_query_sqlx::SqlxValues;
use sqlx::{AssertSqlSafe, Executor, Postgres, Sqlite, pool::PoolConnection};
use tokio::{runtime::Handle, time::timeout};

use super::{
    condition::Condition,
    error::{ends_the_session, failure},
};

/// A connection of one of the engines.
pub(super) enum Connection {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

pub(super) struct Session {
    /// `None` once it is given back.
    connection: Option<Connection>,
    /// Whether the last conversation came to its end, so that the next can begin.
    is_clean: bool,
    /// How long a statement may take, as far as this side waits for it.
    patience: Duration,
    condition: Condition,
}

/// How long an idle connection may take to answer that it is there. One that does not is closed.
pub(super) const PROOF: Duration = Duration::from_secs(2);

impl Session {
    /// `patience` is for each statement; failures are counted with the condition of the database.
    pub fn new(connection: Connection, patience: Duration, condition: Condition) -> Self {
        Self { connection: Some(connection), is_clean: true, patience, condition }
    }

    /// Has `work` done on the connection. Where it is dropped half-way, takes too long, or fails for more than a
    /// statement that the database refused, the connection is closed in the end.
    pub async fn converse<'a, T, F>(&'a mut self, work: impl FnOnce(&'a mut Connection) -> F) -> Result<T, DbErr>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        let Self { connection, is_clean, patience, condition } = self;
        let connection = connection.as_mut().ok_or_else(|| failure(sqlx::Error::PoolClosed))?;
        if !std::mem::take(is_clean) {
            // In the middle of another conversation nothing can be said.
            return Err(failure(sqlx::Error::Io(io::ErrorKind::BrokenPipe.into())));
        }
        let done = timeout(*patience, work(connection)).await;
        let done = done.unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())));
        *is_clean = done.as_ref().err().is_none_or(|error| !ends_the_session(error));
        done.inspect_err(|error| condition.failures().count(error)).map_err(failure)
    }

    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// Runs statements that have neither parameters nor an answer, in one round trip.
    pub async fn run(&mut self, sql: &str) -> Result<ExecResult, DbErr> {
        let sql = AssertSqlSafe(sql.to_owned());
        self.converse(|connection| async move {
            Ok(match connection {
                Connection::Sqlite(connection) => connection.execute(sqlx::raw_sql(sql)).await?.into(),
                Connection::Postgres(connection) => connection.execute(sqlx::raw_sql(sql)).await?.into(),
            })
        })
        .await
    }

    /// The same of statements that answer rows: those of all of them, in their order.
    pub async fn run_for_rows(&mut self, sql: &str) -> Result<Vec<QueryResult>, DbErr> {
        let sql = AssertSqlSafe(sql.to_owned());
        self.converse(|connection| async move {
            Ok(match connection {
                Connection::Sqlite(connection) => {
                    connection.fetch_all(sqlx::raw_sql(sql)).await?.into_iter().map(QueryResult::from).collect()
                }
                Connection::Postgres(connection) => {
                    connection.fetch_all(sqlx::raw_sql(sql)).await?.into_iter().map(QueryResult::from).collect()
                }
            })
        })
        .await
    }

    /// Has the connection closed rather than used again.
    pub fn spoil(&mut self) {
        self.is_clean = false;
    }

    pub fn is_clean(&self) -> bool {
        self.is_clean
    }
}

/// Runs a query on whichever connection there is.
macro_rules! query {
    ($self:ident, $statement:ident, |$query:ident, $connection:ident| $run:expr) => {{
        let sql = AssertSqlSafe($statement.sql);
        let values = SqlxValues($statement.values.unwrap_or_else(|| Values(Vec::new())));
        $self
            .converse(|connection| async move {
                match connection {
                    Connection::Sqlite(connection) => {
                        let ($query, $connection) = (sqlx::query_with::<Sqlite, _>(sql, values), &mut **connection);
                        $run
                    }
                    Connection::Postgres(connection) => {
                        let ($query, $connection) = (sqlx::query_with::<Postgres, _>(sql, values), &mut **connection);
                        $run
                    }
                }
            })
            .await
    }};
}

impl Session {
    pub async fn execute_raw(&mut self, statement: Statement) -> Result<ExecResult, DbErr> {
        query!(self, statement, |query, connection| Ok(query.execute(connection).await?.into()))
    }

    pub async fn query_one_raw(&mut self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        query!(self, statement, |query, connection| {
            Ok(query.fetch_optional(connection).await?.map(QueryResult::from))
        })
    }

    pub async fn query_all_raw(&mut self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        query!(self, statement, |query, connection| {
            Ok(query.fetch_all(connection).await?.into_iter().map(QueryResult::from).collect())
        })
    }

    /// The connection itself, to be used on.
    pub fn hand_over(&mut self) -> Self {
        let (is_clean, patience, condition) = (self.is_clean, self.patience, self.condition.clone());
        Self { connection: self.connection.take(), is_clean, patience, condition }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        match (connection, Handle::try_current()) {
            (Connection::Postgres(mut connection), Ok(runtime)) if self.is_clean => {
                // The pool asks the connection whether it is there, and would wait for the answer for ever.
                let returned = connection.return_to_pool();
                runtime.spawn(async move { timeout(PROOF, returned).await });
            }
            (Connection::Sqlite(connection), Ok(_)) if self.is_clean => drop(connection),
            // Its thread may be in the middle of a statement, after which it closes the file.
            (Connection::Sqlite(connection), Ok(runtime)) => _ = runtime.spawn(connection.close()),
            // Without a word, for which the database might not listen any more.
            (Connection::Postgres(connection), Ok(_)) => drop(connection.detach()),
            // The program ends.
            (Connection::Sqlite(connection), Err(_)) => drop(connection.leak()),
            (Connection::Postgres(connection), Err(_)) => drop(connection.leak()),
        }
    }
}
