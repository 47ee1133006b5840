//! A transaction that SeaORM's queries run in, and the databases' own bulk load beside them, which SeaORM's
//! transaction does not let through.

use std::sync::Arc;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement};
use tokio::{
    runtime::Handle,
    sync::{Mutex, MutexGuard},
};

use super::{
    caller::{Callers, Outcome},
    condition::Condition,
    error::{is_busy, is_unclear, of_the_connection},
    session::Session,
};

const COMMIT: &str = "COMMIT";

/// Is told the text of every statement.
pub type Observer = Arc<dyn Fn(&str) + Send + Sync>;

/// A statement without parameters that is run along with the one that begins a transaction, and answers one row.
pub(super) struct Along {
    /// What the observer is told.
    pub told: String,
    pub text: String,
}

/// An open transaction. Dropped without an end, it is rolled back in a task of its own.
///
/// Its statements, and its COMMIT, fail where nobody waits for the call any more (see [`super::to_its_end`]).
pub struct Transaction {
    talk: Mutex<Talk>,
    backend: DbBackend,
    observer: Option<Observer>,
    callers: Callers,
    condition: Condition,
}

/// The session of a transaction.
pub(super) struct Talk {
    session: Session,
    is_open: bool,
    /// Whether a statement has failed. PostgreSQL would answer COMMIT as if nothing had happened, and roll back.
    has_failed: bool,
}

impl Transaction {
    /// Begins on a session by a statement, and runs others in the same round trip.
    pub(super) async fn begin(
        session: Session,
        begin: &str,
        along: &[Along],
        backend: DbBackend,
        condition: Condition,
        observer: Option<Observer>,
    ) -> Result<(Self, Vec<QueryResult>), DbErr> {
        let mut transaction = Self {
            talk: Mutex::new(Talk { session, is_open: false, has_failed: false }),
            backend,
            observer,
            callers: Callers::current(),
            condition,
        };
        transaction.check()?;
        transaction.observe("BEGIN");
        along.iter().for_each(|statement| transaction.observe(&statement.told));
        let statements = along.iter().fold(begin.to_owned(), |before, along| format!("{before}; {}", along.text));
        let talk = transaction.talk.get_mut();
        let rows = match talk.session.run_for_rows(&statements).await {
            Ok(rows) if rows.len() < along.len() => {
                talk.session.spoil();
                return Err(DbErr::RecordNotFound("the counters of the organisation".to_owned()));
            }
            Ok(rows) => rows,
            Err(error) => {
                talk.session.spoil();
                // Save that the turn did not come in time, the reason is none of the call's, whatever it is.
                return Err(if is_busy(&error) { error } else { of_the_connection(error) });
            }
        };
        talk.is_open = true;
        Ok((transaction, rows))
    }

    /// On SQLite it fails also where what was committed is in a file that nobody finds any more.
    pub async fn commit(self) -> Result<(), DbErr> {
        self.end(COMMIT, COMMIT).await
    }

    /// The same once another statement was run, in the same round trip; it is told by what it begins with.
    pub(super) async fn commit_after(self, begin: &str, statement: &str) -> Result<(), DbErr> {
        self.end(&format!("{begin}; {COMMIT}"), &format!("{statement}; {COMMIT}")).await
    }

    async fn end(mut self, told: &str, commit: &str) -> Result<(), DbErr> {
        self.check()?;
        if self.talk.get_mut().cannot_be_committed() {
            self.rollback().await?;
            return Err(DbErr::Custom("a transaction in which a statement failed is not committed".to_owned()));
        }
        self.observe(told);
        self.note(Outcome::InDoubt);
        let talk = self.talk.get_mut();
        talk.is_open = false;
        let ended = talk.session.run(commit).await;
        match ended {
            Ok(_) => self.note(Outcome::Committed),
            Err(_) => talk.session.spoil(),
        }
        // At COMMIT it is a worker of Citus that was lost.
        ended.map_err(|error| if is_unclear(&error) { of_the_connection(error) } else { error })?;
        Ok(self.condition.check_files()?)
    }

    pub async fn rollback(mut self) -> Result<(), DbErr> {
        self.observe("ROLLBACK");
        self.note(Outcome::RolledBack);
        let talk = self.talk.get_mut();
        talk.is_open = false;
        roll_back(&mut talk.session).await
    }

    /// The session, to have a statement run in it; `statement` is its text, or names it.
    pub(super) async fn talk(&self, statement: &str) -> Result<MutexGuard<'_, Talk>, DbErr> {
        self.check()?;
        self.observe(statement);
        Ok(self.talk.lock().await)
    }

    fn check(&self) -> Result<(), DbErr> {
        self.callers.check()
    }

    fn observe(&self, statement: &str) {
        if let Some(observer) = &self.observer {
            observer(statement);
        }
    }

    fn note(&self, outcome: Outcome) {
        self.callers.note(outcome);
    }
}

impl Talk {
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Takes note of a statement that failed.
    pub fn heed<T>(&mut self, done: Result<T, DbErr>) -> Result<T, DbErr> {
        self.has_failed |= done.is_err();
        done
    }

    pub fn fail(&mut self) {
        self.has_failed = true;
    }

    fn cannot_be_committed(&self) -> bool {
        self.has_failed || !self.session.is_clean()
    }
}

/// A connection whose conversation has not come to a clean end is closed instead, and the database rolls back by itself.
async fn roll_back(session: &mut Session) -> Result<(), DbErr> {
    if !session.is_clean() {
        return Ok(());
    }
    let ended = session.run("ROLLBACK").await;
    if ended.is_err() {
        session.spoil();
    }
    ended.map(|_| ())
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let talk = self.talk.get_mut();
        if !talk.is_open {
            return;
        }
        let mut session = talk.session.hand_over();
        self.note(Outcome::RolledBack);
        match Handle::try_current() {
            Ok(runtime) => _ = runtime.spawn(async move { roll_back(&mut session).await }),
            Err(_) => session.spoil(),
        }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        self.backend
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let mut talk = self.talk(&statement.sql).await?;
        let done = talk.session.execute_raw(statement).await;
        talk.heed(done)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.execute_raw(Statement::from_string(self.backend, sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let mut talk = self.talk(&statement.sql).await?;
        let done = talk.session.query_one_raw(statement).await;
        talk.heed(done)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let mut talk = self.talk(&statement.sql).await?;
        let done = talk.session.query_all_raw(statement).await;
        talk.heed(done)
    }
}
