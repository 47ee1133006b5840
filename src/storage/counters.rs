//! The counters of an organisation.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, Value};

use super::{
    sql::{DIRECTORY_VERSION, statement},
    transaction::Transaction,
};

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub enum Counter {
    EventNumber,
    DirectoryKey,
    /// The transactions that have changed the directory. Each begins by counting itself, so they take turns.
    DirectoryVersion,
}

impl Counter {
    fn name(self) -> &'static str {
        match self {
            Self::EventNumber => "event_number",
            Self::DirectoryKey => "directory_key",
            Self::DirectoryVersion => "directory_version",
        }
    }
}

/// Values that were taken.
pub struct Taken {
    pub first: i64,
    /// The version of the directory when they were taken.
    pub directory_version: i64,
}

#[derive(FromQueryResult)]
struct Last {
    last_value: i64,
    directory_version: i64,
}

/// Waits until no other call of the organisation is between this and its commit, first come, first served. From here on
/// what a call looks up about the organisation's events stays true until it ends: calls of one organisation take turns,
/// calls of several don't meet.
pub async fn take_turn(transaction: &Transaction, organisation_id: i64) -> Result<(), DbErr> {
    // On SQLite the transaction that writes is alone from its beginning.
    if transaction.get_database_backend() != DbBackend::Sqlite {
        // The row is locked, and made where it is missing, but never changed: those who wait for a row that changes
        // lose their places in the queue to later ones, who find its new version first.
        let sql = "INSERT INTO counters (organisation_id, name, last_value) VALUES ($1, 'turn', 0) \
                   ON CONFLICT (organisation_id, name) DO UPDATE SET last_value = 0 WHERE FALSE";
        transaction.execute_raw(statement(transaction, sql, vec![organisation_id.into()])).await?;
    }
    Ok(())
}

/// Takes the next `count` values. Gaps come about where a transaction is rolled back.
pub async fn take<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    counter: Counter,
    count: usize,
) -> Result<Taken, DbErr> {
    let count = i64::try_from(count).map_err(|_| DbErr::ConvertFromU64("i64"))?;
    let values: Vec<Value> = vec![organisation_id.into(), counter.name().into(), count.into()];
    let sql = format!(
        "INSERT INTO counters (organisation_id, name, last_value) VALUES ($1, $2, $3) \
         ON CONFLICT (organisation_id, name) DO UPDATE SET last_value = counters.last_value + $3 \
         RETURNING last_value, {DIRECTORY_VERSION} AS directory_version"
    );
    let last = Last::find_by_statement(statement(connection, sql, values)).one(connection).await?;
    let last = last.ok_or_else(|| DbErr::RecordNotFound("counter".to_owned()))?;
    Ok(Taken { first: last.last_value - count + 1, directory_version: last.directory_version })
}
