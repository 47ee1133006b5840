//! Who created events and who cancelled them, with the ids of the requests.
//!
//! What a call creates has consecutive numbers, so there is one row for each call that created something, and an event's
//! call is the last one that begins at its number or before. Events from before this was kept have none.

use std::fmt::Write;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult};

use super::{
    bulk_load,
    entity::referral_event::Model,
    literals,
    number_ranges::NumberRange,
    sql::{Sql, key_array},
    transaction::{Along, Transaction, Uncommitted},
};
use crate::id::{EventNumber, OrganisationId};

/// A call that created the events of these numbers.
#[derive(Debug)]
pub struct Call<'a> {
    pub first: EventNumber,
    pub last: EventNumber,
    pub request_id: &'a str,
    pub created_by: &'a str,
}

/// Commits what the calls created, with the `rows` that were left for this, and keeps the calls with it; none of it costs a
/// round trip of its own.
pub async fn commit_with(
    transaction: Transaction,
    organisation_id: OrganisationId,
    calls: &[Call<'_>],
    rows: Vec<Model>,
) -> Result<(), Uncommitted> {
    let mut along = Vec::with_capacity(2);
    if !rows.is_empty() {
        along.push(bulk_load::insertion(rows).map_err(Uncommitted::RolledBack)?);
    }
    if !calls.is_empty() {
        along.push(insertion(transaction.get_database_backend(), organisation_id, calls));
    }
    transaction.commit_after(&along).await
}

fn insertion(backend: DbBackend, organisation_id: OrganisationId, calls: &[Call<'_>]) -> Along {
    let mut insert = format!("{INSERT} (organisation_id, first_number, last_number, request_id, created_by) VALUES");
    for (n, Call { first, last, request_id, created_by }) in calls.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        let [request_id, created_by] = [request_id, created_by].map(|text| literals::text(backend, text));
        // Writing to a text cannot fail.
        _ = write!(insert, "{comma} ({organisation_id}, {first}, {last}, {request_id}, {created_by})");
    }
    Along { told: INSERT.to_owned(), text: insert }
}

const INSERT: &str = "INSERT INTO calls";

const CANCEL: Sql = Sql::of_both(
    "INSERT INTO cancellations (organisation_id, number, request_id, cancelled_by) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (organisation_id, number) DO NOTHING",
);

/// Keeps who cancelled an event.
pub async fn keep_cancellation<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    number: EventNumber,
    request_id: &str,
    cancelled_by: &str,
) -> Result<(), DbErr> {
    let values = vec![organisation_id.into(), number.into(), request_id.into(), cancelled_by.into()];
    connection.execute_raw(CANCEL.with(connection, values)).await?;
    Ok(())
}

const FIND_CANCELLED: Sql = Sql::of_both(
    "SELECT x.number FROM cancellations x WHERE x.organisation_id = $1 AND x.request_id = $2 ORDER BY x.number LIMIT $3",
);

/// The numbers of the events that a request cancelled, up to `limit`.
pub async fn find_cancelled<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    request_id: &str,
    limit: usize,
) -> Result<Vec<EventNumber>, DbErr> {
    #[derive(FromQueryResult)]
    struct Cancelled {
        number: EventNumber,
    }
    let limit = i64::try_from(limit).map_err(|_| DbErr::ConvertFromU64("i64"))?;
    let values = vec![organisation_id.into(), request_id.into(), limit.into()];
    let found = Cancelled::find_by_statement(FIND_CANCELLED.with(connection, values)).all(connection).await?;
    Ok(found.into_iter().map(|Cancelled { number }| number).collect())
}

/// By which requests an event came to be and was cancelled, as far as that was kept.
#[derive(Clone, Debug, Default, FromQueryResult)]
pub struct Origin {
    pub number: EventNumber,
    pub request_id: Option<String>,
    pub created_by: Option<String>,
    pub cancellation_request_id: Option<String>,
    pub cancelled_by: Option<String>,
}

const FIND_ORIGINS: Sql = Sql {
    postgres: "\
SELECT k.number, c.request_id, c.created_by, x.request_id AS cancellation_request_id, x.cancelled_by
FROM unnest($2::bigint[]) AS k(number)
LEFT JOIN LATERAL (
    SELECT * FROM calls c
    WHERE c.organisation_id = $1 AND c.first_number <= k.number ORDER BY c.first_number DESC LIMIT 1) AS c
    ON c.last_number >= k.number
LEFT JOIN LATERAL (
    SELECT * FROM cancellations x WHERE x.organisation_id = $1 AND x.number = k.number OFFSET 0) AS x ON TRUE",
    sqlite: "\
SELECT k.value AS number, c.request_id, c.created_by, x.request_id AS cancellation_request_id, x.cancelled_by
FROM json_each($2) AS k
LEFT JOIN calls c ON c.organisation_id = $1 AND c.last_number >= k.value AND c.first_number = (
    SELECT f.first_number FROM calls f
    WHERE f.organisation_id = $1 AND f.first_number <= k.value ORDER BY f.first_number DESC LIMIT 1)
LEFT JOIN cancellations x ON x.organisation_id = $1 AND x.number = k.value",
};

/// The origins of the events of these numbers, in any order.
pub async fn find_origins<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    numbers: &[EventNumber],
) -> Result<Vec<Origin>, DbErr> {
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let values = vec![organisation_id.into(), key_array(connection, numbers)];
    Origin::find_by_statement(FIND_ORIGINS.with(connection, values)).all(connection).await
}

/// The ends of what the calls, of a request or a user $2, created between the numbers $3 and $4.
macro_rules! find_ends {
    ($column:literal) => {
        concat!(
            "\
SELECT
    (SELECT f.first_number FROM (
        SELECT * FROM (
            SELECT c.first_number, c.last_number FROM calls c
            WHERE c.organisation_id = $1 AND c.",
            $column,
            " = $2 AND c.first_number <= $3
            ORDER BY c.first_number DESC LIMIT 1) AS around
        UNION ALL
        SELECT * FROM (
            SELECT c.first_number, c.last_number FROM calls c
            WHERE c.organisation_id = $1 AND c.",
            $column,
            " = $2 AND c.first_number > $3
            ORDER BY c.first_number LIMIT 1) AS after) AS f
        WHERE f.last_number > $3 ORDER BY f.first_number LIMIT 1) AS first,
    (SELECT c.last_number FROM calls c
        WHERE c.organisation_id = $1 AND c.",
            $column,
            " = $2 AND c.first_number < $4
        ORDER BY c.first_number DESC LIMIT 1) AS last"
        )
    };
}

/// Of whom the calls are.
#[derive(Clone, Copy, Debug)]
pub enum CallsOf<'a> {
    Request(&'a str),
    User(&'a str),
}

/// The part of a range beyond whose ends such calls created nothing. A page that begins there does not read what lies
/// before the next of the calls, however far that is.
pub async fn narrow<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    calls: CallsOf<'_>,
    range: NumberRange,
) -> Result<NumberRange, DbErr> {
    #[derive(FromQueryResult)]
    struct Ends {
        first: Option<EventNumber>,
        last: Option<EventNumber>,
    }
    let (sql, value) = match calls {
        CallsOf::Request(id) => (Sql::of_both(find_ends!("request_id")), id),
        CallsOf::User(name) => (Sql::of_both(find_ends!("created_by")), name),
    };
    let values = vec![organisation_id.into(), value.into(), range.above.into(), range.below.into()];
    let ends = Ends::find_by_statement(sql.with(connection, values)).one(connection).await?;
    let Some(Ends { first: Some(first), last: Some(last) }) = ends else { return Ok(NumberRange::NONE) };
    Ok(NumberRange { above: range.above.max(first.previous()), below: range.below.min(last.next()) })
}
