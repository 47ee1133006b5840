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

/// A statement without parameters that is run along with the one that begins a transaction, where it answers one row, or
/// with the one that ends it.
pub(super) struct Along {
    /// What the observer is told.
    pub told: String,
    pub text: String,
}

/// Why a transaction is not committed, as far as that is known.
#[derive(Debug, thiserror::Error)]
pub enum Uncommitted {
    /// A statement that went with the COMMIT failed, and all is as it was before.
    #[error("rolled back: {0}")]
    RolledBack(DbErr),
    #[error("in doubt: {0}")]
    InDoubt(DbErr),
}

/// An open transaction. Dropped without an end, it is rolled back in a task of its own.
///
/// Its statements, and its COMMIT, fail where nobody waits for the call any more (see [`super::to_its_end`]).
pub struct Transaction {
    talk: Mutex<Talk>,
    terms: Terms,
    callers: Callers,
}

/// What holds for all transactions of a pool.
#[derive(Clone)]
pub(super) struct Terms {
    pub backend: DbBackend,
    /// Whether the database is a cluster of Citus, which says little of why it refuses.
    pub is_citus: bool,
    pub condition: Condition,
    pub observer: Option<Observer>,
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
        terms: Terms,
    ) -> Result<(Self, Vec<QueryResult>), DbErr> {
        let mut transaction = Self {
            talk: Mutex::new(Talk { session, is_open: false, has_failed: false }),
            terms,
            callers: Callers::current(),
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
        self.commit_after(&[]).await.map_err(|uncommitted| match uncommitted {
            Uncommitted::RolledBack(error) | Uncommitted::InDoubt(error) => error,
        })
    }

    /// The same once other statements were run, in the same round trip.
    pub(super) async fn commit_after(mut self, along: &[Along]) -> Result<(), Uncommitted> {
        self.check().map_err(Uncommitted::InDoubt)?;
        if self.talk.get_mut().cannot_be_committed() {
            self.rollback().await.map_err(Uncommitted::InDoubt)?;
            let error = DbErr::Custom("a transaction in which a statement failed is not committed".to_owned());
            return Err(Uncommitted::InDoubt(error));
        }
        let (told, texts): (Vec<&str>, Vec<&str>) =
            along.iter().map(|Along { told, text }| (told.as_str(), text.as_str())).chain([(COMMIT, COMMIT)]).unzip();
        self.observe(&told.join("; "));
        self.note(Outcome::InDoubt);
        let may_be_told = !along.is_empty() && self.tells_why();
        let talk = self.talk.get_mut();
        talk.is_open = false;
        match talk.session.run(&texts.join("; ")).await {
            Ok(_) => {
                self.note(Outcome::Committed);
                self.terms.condition.check_files().map_err(|fault| Uncommitted::InDoubt(fault.into()))
            }
            // The session goes on, so it was a statement that was refused, and COMMIT with it.
            Err(error) if may_be_told && talk.session.is_clean() => {
                self.note(Outcome::RolledBack);
                _ = roll_back(&mut self.talk.get_mut().session).await;
                Err(Uncommitted::RolledBack(error))
            }
            Err(error) => {
                talk.session.spoil();
                // At COMMIT it is a worker of Citus that was lost.
                Err(Uncommitted::InDoubt(if is_unclear(&error) { of_the_connection(error) } else { error }))
            }
        }
    }

    /// Whether the database says why a statement failed that went with a COMMIT, and nothing of it is there then.
    pub(super) fn tells_why(&self) -> bool {
        self.terms.backend == DbBackend::Postgres && !self.terms.is_citus
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
        if let Some(observer) = &self.terms.observer {
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
        self.terms.backend
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let mut talk = self.talk(&statement.sql).await?;
        let done = talk.session.execute_raw(statement).await;
        talk.heed(done)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.execute_raw(Statement::from_string(self.terms.backend, sql)).await
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
