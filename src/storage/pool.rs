//! The connections to a database: transactions begin on them, and statements that stand alone run on them.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, Statement};

use super::transaction::{Observer, Transaction};

#[derive(Clone)]
pub struct Pool {
    connection: DatabaseConnection,
    /// Whether another transaction of the same connection may run in another session of the database, as behind a
    /// pooler. What sqlx prepares then lasts no longer than the transaction; a statement by itself has one of its own,
    /// for sqlx prepares it in one round trip and runs it in the next.
    shares_sessions: bool,
    observer: Option<Observer>,
}

impl Pool {
    pub(super) fn new(connection: DatabaseConnection, shares_sessions: bool) -> Self {
        Self { connection, shares_sessions, observer: None }
    }

    pub(super) fn connection(&self) -> &DatabaseConnection {
        &self.connection
    }

    pub(super) fn shares_sessions(&self) -> bool {
        self.shares_sessions
    }

    pub(super) fn observe(&mut self, observer: Observer) {
        let told = observer.clone();
        self.connection.set_metric_callback(move |info| told(&info.statement.sql));
        self.observer = Some(observer);
    }

    pub(super) async fn begin(&self) -> Result<Transaction, DbErr> {
        self.begin_as("BEGIN IMMEDIATE").await
    }

    pub(super) async fn begin_read(&self) -> Result<Transaction, DbErr> {
        self.begin_as("BEGIN").await
    }

    async fn begin_as(&self, sqlite: &'static str) -> Result<Transaction, DbErr> {
        let observer = self.observer.clone();
        match self.get_database_backend() {
            DbBackend::Sqlite => {
                Transaction::begin_sqlite(self.connection.get_sqlite_connection_pool(), sqlite, observer).await
            }
            _ => {
                let pool = self.connection.get_postgres_connection_pool();
                Transaction::begin_postgres(pool, self.shares_sessions, observer).await
            }
        }
    }
}

macro_rules! run {
    ($self:ident.$method:ident($argument:ident)) => {
        if $self.shares_sessions {
            let transaction = $self.begin().await?;
            let answer = transaction.$method($argument).await?;
            transaction.commit().await?;
            Ok(answer)
        } else {
            $self.connection.$method($argument).await
        }
    };
}

#[async_trait::async_trait]
impl ConnectionTrait for Pool {
    fn get_database_backend(&self) -> DbBackend {
        self.connection.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        run!(self.execute_raw(statement))
    }

    /// In no transaction of ours, for it takes one round trip behind a pooler too; some statements may not be in any.
    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.connection.execute_unprepared(sql).await
    }

    /// In a task, for statements that are sent at once must not wait for one another: a thread that wakes a database on
    /// the same machine is often put aside for it until it is done.
    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let pool = self.clone();
        let queried = tokio::spawn(async move { run!(pool.query_one_raw(statement)) });
        queried.await.map_err(|error| DbErr::Custom(error.to_string()))?
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        run!(self.query_all_raw(statement))
    }
}
