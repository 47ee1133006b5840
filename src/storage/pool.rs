//! The connections to a database: transactions begin on them, and statements that stand alone run on them.

use std::sync::Arc;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement};
use tracing::Instrument;

use super::{
    caller::Callers,
    condition::Condition,
    counters::{self, Numbers, Wanted},
    fault::Fault,
    session::{Connection, PROOF, Session},
    settings::{self, Access, Limits},
    sql::Columns,
    transaction::{Along, Observer, Terms, Transaction},
};
use crate::id::OrganisationId;

#[derive(Clone)]
pub struct Pool {
    connection: DatabaseConnection,
    limits: Limits,
    terms: Terms,
    /// What begins a transaction that writes, and one that reads.
    begin: [Arc<str>; 2],
    /// Whether another transaction of the same connection may run in another session of the database, as behind a
    /// pooler. What sqlx prepares then lasts no longer than the transaction; a statement by itself has one of its own,
    /// for sqlx prepares it in one round trip and runs it in the next.
    shares_sessions: bool,
}

impl Pool {
    /// On SQLite a transaction that writes takes the write lock at once: one that reads first and asks for the lock
    /// later can be refused it.
    pub(super) fn sqlite(connection: DatabaseConnection, limits: Limits, condition: Condition) -> Self {
        let begin = ["BEGIN IMMEDIATE".into(), "BEGIN".into()];
        let terms = Terms { backend: DbBackend::Sqlite, is_citus: false, condition, observer: None };
        Self { connection, limits, terms, begin, shares_sessions: false }
    }

    pub(super) fn postgres(
        connection: DatabaseConnection,
        limits: Limits,
        condition: Condition,
        is_citus: bool,
        shares_sessions: bool,
    ) -> Self {
        let begin = [Access::Write, Access::Read]
            .map(|access| settings::begin(access, limits, is_citus, shares_sessions).into());
        let terms = Terms { backend: DbBackend::Postgres, is_citus, condition, observer: None };
        Self { connection, limits, terms, begin, shares_sessions }
    }

    pub(super) fn connection(&self) -> &DatabaseConnection {
        &self.connection
    }

    /// How many connections there are at most.
    pub(super) fn size(&self) -> usize {
        let connections = match self.get_database_backend() {
            DbBackend::Sqlite => self.connection.get_sqlite_connection_pool().options().get_max_connections(),
            _ => self.connection.get_postgres_connection_pool().options().get_max_connections(),
        };
        connections as usize
    }

    /// How many connections are open, and how many of them nobody uses.
    pub(super) fn open(&self) -> (usize, usize) {
        let (open, idle) = match self.get_database_backend() {
            DbBackend::Sqlite => {
                let pool = self.connection.get_sqlite_connection_pool();
                (pool.size(), pool.num_idle())
            }
            _ => {
                let pool = self.connection.get_postgres_connection_pool();
                (pool.size(), pool.num_idle())
            }
        };
        (open as usize, idle)
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn is_citus(&self) -> bool {
        self.terms.is_citus
    }

    pub(super) fn shares_sessions(&self) -> bool {
        self.shares_sessions
    }

    pub(super) fn observe(&mut self, observer: Observer) {
        self.terms.observer = Some(observer);
    }

    /// Begins a transaction on a connection that is taken for it.
    pub(super) async fn begin(&self, access: Access) -> Result<Transaction, DbErr> {
        self.begin_on(self.session().await?, access).await
    }

    async fn begin_on(&self, session: Session, access: Access) -> Result<Transaction, DbErr> {
        let [write, read] = &self.begin;
        let statement = match access {
            Access::Write => write,
            Access::Read => read,
        };
        Ok(self.begin_by(session, statement, &[]).await?.0)
    }

    /// Begins a transaction that writes, in the turn of an organisation. On SQLite whoever writes is alone from the
    /// beginning.
    pub(super) async fn begin_turn(&self, organisation_id: OrganisationId) -> Result<Transaction, DbErr> {
        let turn: &[Along] = match self.get_database_backend() {
            DbBackend::Sqlite => &[],
            _ => &[counters::turn(organisation_id)],
        };
        Ok(self.begin_by(self.session().await?, &self.begin[0], turn).await?.0)
    }

    /// The same, and takes numbers in it: on PostgreSQL in the same round trip, for who waits for a turn waits for each
    /// of them.
    pub(super) async fn begin_turn_with(
        &self,
        organisation_id: OrganisationId,
        wanted: &Wanted<'_>,
    ) -> Result<(Transaction, Numbers), DbErr> {
        if self.get_database_backend() == DbBackend::Sqlite {
            let transaction = self.begin_turn(organisation_id).await?;
            let numbers = counters::take_numbers(&transaction, organisation_id, wanted).await?;
            return Ok((transaction, numbers));
        }
        let along = [counters::turn(organisation_id), counters::taking_of_numbers(organisation_id, wanted)];
        let (transaction, mut rows) = self.begin_by(self.session().await?, &self.begin[0], &along).await?;
        let taken = rows.pop().ok_or_else(|| DbErr::RecordNotFound("numbers".to_owned()))?;
        Ok((transaction, Numbers::of(Columns(taken), wanted)?))
    }

    async fn begin_by(
        &self,
        session: Session,
        begin: &str,
        along: &[Along],
    ) -> Result<(Transaction, Vec<QueryResult>), DbErr> {
        Transaction::begin(session, begin, along, self.terms.clone()).await
    }

    /// Takes a connection. Until it has one, it may be dropped.
    pub(super) async fn session(&self) -> Result<Session, DbErr> {
        let connection = Callers::current().unless_gone(self.acquire()).await?;
        Ok(Session::new(connection, self.limits.patience(), self.terms.condition.clone()))
    }

    /// Takes a connection; fails at once where the database is known to be out of reach, or is found to be meanwhile.
    async fn acquire(&self) -> Result<Connection, DbErr> {
        let has_connection = || match self.get_database_backend() {
            DbBackend::Sqlite => true,
            _ => self.connection.get_postgres_connection_pool().num_idle() > 0,
        };
        let count = |fault: &Fault| self.terms.condition.failures().count_fault(*fault);
        self.terms.condition.check(has_connection).inspect_err(count)?;
        let acquired = async {
            match self.get_database_backend() {
                DbBackend::Sqlite => {
                    self.connection.get_sqlite_connection_pool().acquire().await.map(Connection::Sqlite)
                }
                _ => self.connection.get_postgres_connection_pool().acquire().await.map(Connection::Postgres),
            }
        };
        tokio::select! {
            biased;
            acquired = acquired => acquired.map_err(|error| {
                self.terms.condition.failures().count(&error);
                DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error)))
            }),
            fault = self.terms.condition.out_of_reach() => {
                count(&fault);
                Err(fault.into())
            }
            fault = self.terms.condition.stays_exhausted(PROOF) => {
                count(&fault);
                Err(fault.into())
            }
        }
    }

    fn observe_statement(&self, statement: &str) {
        if let Some(observer) = &self.terms.observer {
            observer(statement);
        }
    }
}

/// Runs a statement in a task of its own, which ends it whether or not its caller waits for that. Besides, statements
/// that are sent at once must not wait for one another: a thread that wakes a database on the same machine is often put
/// aside for it until it is done. The connection is waited for outside: who leaves meanwhile leaves nothing behind.
macro_rules! run {
    ($self:ident.$method:ident($statement:ident)) => {{
        let pool = $self.clone();
        let mut session = pool.session().await?;
        in_a_task(async move {
            if !pool.shares_sessions {
                pool.observe_statement(&$statement.sql);
                return session.$method($statement).await;
            }
            let transaction = pool.begin_on(session, Access::Write).await?;
            let answer = transaction.$method($statement).await?;
            transaction.commit().await?;
            Ok(answer)
        })
        .await
    }};
}

async fn in_a_task<T: Send + 'static>(
    task: impl Future<Output = Result<T, DbErr>> + Send + 'static,
) -> Result<T, DbErr> {
    tokio::spawn(task.in_current_span()).await.map_err(|error| DbErr::Custom(error.to_string()))?
}

#[async_trait::async_trait]
impl ConnectionTrait for Pool {
    fn get_database_backend(&self) -> DbBackend {
        self.connection.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let executed: Result<_, DbErr> = run!(self.execute_raw(statement));
        let executed = executed?;
        // What it wrote is committed.
        self.terms.condition.check_files()?;
        Ok(executed)
    }

    /// In no transaction of ours, for it takes one round trip behind a pooler too; some statements may not be in any.
    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let sql = sql.to_owned();
        let mut session = self.session().await?;
        self.observe_statement(&sql);
        in_a_task(async move { session.run(&sql).await }).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        run!(self.query_one_raw(statement))
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        run!(self.query_all_raw(statement))
    }
}
