//! The counters of an organisation, which are made with it.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, Value};

use super::{
    entity::counter,
    sql::{Columns, Sql, key_array},
    transaction::{Along, Transaction},
};
use crate::id::{AccountKey, EventNumber, OrganisationId};

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
pub(super) async fn create<C: ConnectionTrait>(connection: &C, organisation_id: OrganisationId) -> Result<(), DbErr> {
    let counters = Counter::ALL.map(|counter| counter::ActiveModel {
        organisation_id: Set(organisation_id),
        name: Set(counter.name().to_owned()),
        last_value: Set(0),
    });
    counter::Entity::insert_many(counters).exec_without_returning(connection).await?;
    Ok(())
}

/// What waits until no other call of the organisation is between this and its commit, first come, first served. Those who
/// wait for a row that changes lose their places in the queue to later ones, who find its new version first.
pub(super) fn turn(organisation_id: OrganisationId) -> Along {
    let turn = Counter::Turn.name();
    let text = format!(
        "SELECT last_value FROM counters WHERE organisation_id = {organisation_id} AND name = '{turn}' FOR UPDATE"
    );
    Along { told: text.clone(), text }
}

/// Takes $3 values and answers the last of them. An UPDATE, not an INSERT that gives way to a row that is there: on Citus
/// an UPDATE may look something up along with it, and no INSERT may.
const TAKE: Sql = Sql::of_both(
    "UPDATE counters SET last_value = last_value + $3 WHERE organisation_id = $1 AND name = $2 RETURNING last_value",
);

#[derive(FromQueryResult)]
struct Last {
    last_value: i64,
}

/// Takes the next `count` values and answers the first of them. Gaps come about where more are taken than used: a call
/// may take twice, and an import counts the most that it can need.
pub async fn take<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    counter: Counter,
    count: usize,
) -> Result<i64, DbErr> {
    let values = taking(organisation_id, counter, count)?;
    let last = Last::find_by_statement(TAKE.with(connection, values)).one(connection).await?;
    Ok(first(last.ok_or_else(|| missing(counter))?.last_value, count))
}

/// Numbers that are wanted for new events, and what is asked along with them.
pub struct Wanted<'a> {
    pub count: usize,
    /// When the events are created.
    pub now: DateTime<Utc>,
    /// Of which accounts it is asked whether they have referred somebody.
    pub account_keys: &'a [AccountKey],
}

/// The numbers of new events, and what was true when they were taken.
pub struct Numbers {
    pub first: EventNumber,
    pub directory_version: i64,
    /// Those of the accounts that have referred somebody.
    pub referrers: Vec<AccountKey>,
}

/// Takes $3 numbers for events that are created at $4, in microseconds since 1970, and asks which of the accounts $5 have
/// referred somebody.
///
/// It keeps how far at most an event's date lies behind the latest one before it, for `number_ranges`. A clock that is set
/// back by more than a day, 86,400,000,000 microseconds, makes a new beginning: `greatest_lag` starts anew, and the old
/// one moves to `greatest_lag_before`. The second time nothing is known of what came before, so that becomes the largest
/// number. What was there before the statement stands on the right of each equals sign.
const TAKE_NUMBERS: Sql = Sql {
    postgres: "\
UPDATE counters SET
    last_value = last_value + $3,
    latest_creation = CASE
        WHEN latest_creation BETWEEN $4 AND $4 + 86400000000 THEN latest_creation
        ELSE $4 END,
    greatest_lag = CASE
        WHEN latest_creation - $4 > 86400000000 THEN 0
        WHEN latest_creation - $4 > greatest_lag THEN latest_creation - $4
        ELSE greatest_lag END,
    steady_from = CASE
        WHEN latest_creation - $4 > 86400000000 THEN last_value + 1
        ELSE steady_from END,
    greatest_lag_before = CASE
        WHEN latest_creation - $4 <= 86400000000 THEN greatest_lag_before
        WHEN steady_from = 0 THEN greatest_lag
        ELSE 9223372036854775807 END
WHERE organisation_id = $1 AND name = $2
RETURNING last_value,
    (SELECT v.last_value FROM counters v
        WHERE v.organisation_id = $1 AND v.name = 'directory_version') AS directory_version,
    ARRAY(
        SELECT k.value FROM unnest($5::bigint[]) AS k(value)
        WHERE (SELECT e.number FROM referral_events e
            WHERE e.organisation_id = $1 AND e.referred_by_account_key = k.value LIMIT 1) IS NOT NULL)
        AS referrers",
    sqlite: "\
UPDATE counters SET
    last_value = last_value + $3,
    latest_creation = CASE
        WHEN latest_creation BETWEEN $4 AND $4 + 86400000000 THEN latest_creation
        ELSE $4 END,
    greatest_lag = CASE
        WHEN latest_creation - $4 > 86400000000 THEN 0
        WHEN latest_creation - $4 > greatest_lag THEN latest_creation - $4
        ELSE greatest_lag END,
    steady_from = CASE
        WHEN latest_creation - $4 > 86400000000 THEN last_value + 1
        ELSE steady_from END,
    greatest_lag_before = CASE
        WHEN latest_creation - $4 <= 86400000000 THEN greatest_lag_before
        WHEN steady_from = 0 THEN greatest_lag
        ELSE 9223372036854775807 END
WHERE organisation_id = $1 AND name = $2
RETURNING last_value,
    (SELECT v.last_value FROM counters v
        WHERE v.organisation_id = $1 AND v.name = 'directory_version') AS directory_version,
    (SELECT json_group_array(k.value) FROM json_each($5) AS k
        WHERE (SELECT e.number FROM referral_events e
            WHERE e.organisation_id = $1 AND e.referred_by_account_key = k.value LIMIT 1) IS NOT NULL)
        AS referrers",
};

/// Takes the numbers of new events; asks in the same statement which of the accounts have referred somebody, for who
/// waits for a turn waits for each of its statements.
pub async fn take_numbers(
    transaction: &Transaction,
    organisation_id: OrganisationId,
    wanted: &Wanted<'_>,
) -> Result<Numbers, DbErr> {
    let mut values = taking(organisation_id, Counter::EventNumber, wanted.count)?;
    values.extend([wanted.now.timestamp_micros().into(), key_array(transaction, wanted.account_keys)]);
    Numbers::of(Columns::find(transaction, TAKE_NUMBERS.with(transaction, values)).await?, wanted)
}

/// The statement of PostgreSQL that does so, without parameters: all of them are numbers.
pub(super) fn taking_of_numbers(organisation_id: OrganisationId, wanted: &Wanted<'_>) -> Along {
    let keys: Vec<String> = wanted.account_keys.iter().map(|AccountKey(key)| key.to_string()).collect();
    let parameters = [
        organisation_id.to_string(),
        format!("'{}'", Counter::EventNumber.name()),
        wanted.count.to_string(),
        wanted.now.timestamp_micros().to_string(),
        format!("'{{{}}}'", keys.join(",")),
    ];
    let told = TAKE_NUMBERS.postgres.to_owned();
    let text = (1..).zip(parameters).fold(told.clone(), |text, (n, value)| text.replace(&format!("${n}"), &value));
    Along { told, text }
}

impl Numbers {
    pub(super) fn of(taken: Columns, wanted: &Wanted<'_>) -> Result<Self, DbErr> {
        Ok(Self {
            first: EventNumber(first(taken.value("last_value")?, wanted.count)),
            directory_version: taken.value("directory_version")?,
            referrers: taken.get::<i64>("referrers")?.into_iter().map(AccountKey).collect(),
        })
    }
}

/// The parameters $1 to $3 of both.
fn taking(organisation_id: OrganisationId, counter: Counter, count: usize) -> Result<Vec<Value>, DbErr> {
    let count = i64::try_from(count).map_err(|_| DbErr::ConvertFromU64("i64"))?;
    Ok(vec![organisation_id.into(), counter.name().into(), count.into()])
}

fn first(last: i64, count: usize) -> i64 {
    last + 1 - count as i64
}

fn missing(counter: Counter) -> DbErr {
    DbErr::RecordNotFound(format!("the counter {}", counter.name()))
}
