//! The counters of an organisation, which are made with it.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbBackend, DbErr, EntityTrait, FromQueryResult, Value};

use super::{
    entity::counter,
    referral_events::any_is_a_referrer,
    sql::{DIRECTORY_VERSION, json, statement},
    transaction::Transaction,
};

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub enum Counter {
    EventNumber,
    DirectoryKey,
    /// The transactions that have changed the directory. Each begins by counting itself, so they take turns.
    DirectoryVersion,
    /// Never changed: the calls of the organisation take turns by the lock of its row.
    Turn,
}

impl Counter {
    const ALL: [Self; 4] = [Self::EventNumber, Self::DirectoryKey, Self::DirectoryVersion, Self::Turn];

    fn name(self) -> &'static str {
        match self {
            Self::EventNumber => "event_number",
            Self::DirectoryKey => "directory_key",
            Self::DirectoryVersion => "directory_version",
            Self::Turn => "turn",
        }
    }
}

/// Makes the counters of a new organisation.
pub(super) async fn create<C: ConnectionTrait>(connection: &C, organisation_id: i64) -> Result<(), DbErr> {
    let counters = Counter::ALL.map(|counter| counter::ActiveModel {
        organisation_id: Set(organisation_id),
        name: Set(counter.name().to_owned()),
        last_value: Set(0),
    });
    counter::Entity::insert_many(counters).exec_without_returning(connection).await?;
    Ok(())
}

/// Waits until no other call of the organisation is between this and its commit, first come, first served. From here on
/// what a call looks up about the organisation's events stays true until it ends: calls of one organisation take turns,
/// calls of several don't meet.
pub async fn take_turn(transaction: &Transaction, organisation_id: i64) -> Result<(), DbErr> {
    // On SQLite the transaction that writes is alone from its beginning.
    if transaction.get_database_backend() != DbBackend::Sqlite {
        // Those who wait for a row that changes lose their places in the queue to later ones, who find its new version
        // first.
        let sql = "SELECT last_value FROM counters WHERE organisation_id = $1 AND name = $2 FOR UPDATE";
        let values = vec![organisation_id.into(), Counter::Turn.name().into()];
        let row = transaction.query_one_raw(statement(transaction, sql, values)).await?;
        row.ok_or_else(|| missing(Counter::Turn))?;
    }
    Ok(())
}

/// Takes values and answers the last of them. An UPDATE, not an INSERT that gives way to a row that is there: on Citus an
/// UPDATE may look something up along with it, and no INSERT may.
const TAKE: &str = "UPDATE counters SET last_value = last_value + $3 WHERE organisation_id = $1 AND name = $2 \
                    RETURNING last_value";

#[derive(FromQueryResult)]
struct Last {
    last_value: i64,
}

/// Takes the next `count` values and answers the first of them. Gaps come about where a transaction is rolled back.
pub async fn take<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    counter: Counter,
    count: usize,
) -> Result<i64, DbErr> {
    let values = taking(organisation_id, counter, count)?;
    let last = Last::find_by_statement(statement(connection, TAKE, values)).one(connection).await?;
    Ok(first(last.ok_or_else(|| missing(counter))?.last_value, count))
}

/// The numbers of new events, and what was true when they were taken.
pub struct Numbers {
    pub first: i64,
    pub directory_version: i64,
    pub any_is_a_referrer: bool,
}

#[derive(FromQueryResult)]
struct LastNumber {
    last_value: i64,
    directory_version: i64,
    any_is_a_referrer: bool,
}

/// How far behind the latest event before it an event's date may lie, in microseconds, for the clock to count as the same
/// one: a day. One that is set back by more makes a new beginning.
const SAME_CLOCK: i64 = 86_400_000_000;
/// As far behind as can be.
const ANY_LAG: i64 = i64::MAX;

/// Takes the numbers of `count` new events, created at `now`; asks in the same statement whether any of the accounts has
/// referred somebody, for who waits for a turn waits for each of its statements.
pub async fn take_numbers(
    transaction: &Transaction,
    organisation_id: i64,
    count: usize,
    now: DateTime<Utc>,
    account_keys: &[i64],
) -> Result<Numbers, DbErr> {
    let mut values = taking(organisation_id, Counter::EventNumber, count)?;
    values.extend([now.timestamp_micros().into(), json(&account_keys)]);
    let any_is_a_referrer = any_is_a_referrer(transaction.get_database_backend(), 5);
    // What was there before it stands on the right of each equals sign. Of a second beginning and all after it is only
    // known that what comes before it may lie behind anything.
    let sql = format!(
        "UPDATE counters SET last_value = last_value + $3, \
         latest_creation = CASE WHEN latest_creation BETWEEN $4 AND $4 + {SAME_CLOCK} THEN latest_creation ELSE $4 END, \
         greatest_lag = CASE WHEN latest_creation - $4 > {SAME_CLOCK} THEN 0 \
         WHEN latest_creation - $4 > greatest_lag THEN latest_creation - $4 ELSE greatest_lag END, \
         steady_from = CASE WHEN latest_creation - $4 > {SAME_CLOCK} THEN last_value + 1 ELSE steady_from END, \
         greatest_lag_before = CASE WHEN latest_creation - $4 <= {SAME_CLOCK} THEN greatest_lag_before \
         WHEN steady_from = 0 THEN greatest_lag ELSE {ANY_LAG} END \
         WHERE organisation_id = $1 AND name = $2 \
         RETURNING last_value, {DIRECTORY_VERSION} AS directory_version, {any_is_a_referrer} AS any_is_a_referrer"
    );
    let last = LastNumber::find_by_statement(statement(transaction, sql, values)).one(transaction).await?;
    let LastNumber { last_value, directory_version, any_is_a_referrer } =
        last.ok_or_else(|| missing(Counter::EventNumber))?;
    Ok(Numbers { first: first(last_value, count), directory_version, any_is_a_referrer })
}

/// The parameters of [`TAKE`].
fn taking(organisation_id: i64, counter: Counter, count: usize) -> Result<Vec<Value>, DbErr> {
    let count = i64::try_from(count).map_err(|_| DbErr::ConvertFromU64("i64"))?;
    Ok(vec![organisation_id.into(), counter.name().into(), count.into()])
}

fn first(last: i64, count: usize) -> i64 {
    last + 1 - count as i64
}

fn missing(counter: Counter) -> DbErr {
    DbErr::RecordNotFound(format!("the counter {}", counter.name()))
}
