//! The journal of events that were not created.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use serde::Serialize;
use uuid::Uuid;

use super::sql::{Sql, json};
use crate::id::OrganisationId;

/// An event that was not created, as its caller was told of it.
#[derive(Clone, Debug, FromQueryResult, Serialize)]
pub struct UnprocessedEvent {
    /// Rises with the time.
    pub id: Uuid,
    #[serde(serialize_with = "moment")]
    pub created_on: DateTime<Utc>,
    /// The user who sent it.
    pub created_by: String,
    pub request_id: String,
    /// Its position in the call.
    pub event_index: i64,
    pub request_unique_identifier: Option<String>,
    /// Separated by commas, the reason of its refusal first.
    pub error_codes: String,
    /// Of the first of them.
    pub error_description: String,
    pub external_system: Option<String>,
    pub external_system_reference_number: Option<String>,
}

/// The form in which sqlx writes and reads dates on SQLite.
fn moment<S: serde::Serializer>(date: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&date.to_rfc3339())
}

const INSERT: Sql = Sql {
    postgres: "\
INSERT INTO unprocessed_events (
    organisation_id, id, created_on, created_by, request_id, event_index, request_unique_identifier, error_codes,
    error_description, external_system, external_system_reference_number)
SELECT $1, CAST(k.value ->> 'id' AS UUID), CAST(k.value ->> 'created_on' AS TIMESTAMPTZ), k.value ->> 'created_by',
    k.value ->> 'request_id', CAST(k.value ->> 'event_index' AS BIGINT), k.value ->> 'request_unique_identifier',
    k.value ->> 'error_codes', k.value ->> 'error_description', k.value ->> 'external_system',
    k.value ->> 'external_system_reference_number'
FROM jsonb_array_elements($2::jsonb) AS k(value)",
    sqlite: "\
INSERT INTO unprocessed_events (
    organisation_id, id, created_on, created_by, request_id, event_index, request_unique_identifier, error_codes,
    error_description, external_system, external_system_reference_number)
SELECT $1, unhex(k.value ->> 'id', '-'), k.value ->> 'created_on', k.value ->> 'created_by',
    k.value ->> 'request_id', k.value ->> 'event_index', k.value ->> 'request_unique_identifier',
    k.value ->> 'error_codes', k.value ->> 'error_description', k.value ->> 'external_system',
    k.value ->> 'external_system_reference_number'
FROM json_each($2) AS k",
};

/// Keeps events of an organisation.
pub async fn insert<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    events: &[&UnprocessedEvent],
) -> Result<(), DbErr> {
    let values = vec![organisation_id.into(), json(&events)];
    connection.execute_raw(INSERT.with(connection, values)).await?;
    Ok(())
}

/// Which of the events; what is `None` is met by all.
#[derive(Clone, Debug, Default, Serialize)]
pub struct UnprocessedFilter {
    pub request_id: Option<String>,
    pub error_code: Option<String>,
    pub request_unique_identifier: Option<String>,
    pub external_system: Option<String>,
    pub external_system_reference_number: Option<String>,
    pub created_on_from: Option<DateTime<Utc>>,
    pub created_on_to: Option<DateTime<Utc>>,
}

/// The most events that are read for a page, as of the events that were created.
const MAXIMUM_READ: i64 = 20_000;

/// The last event that a page from $2 on reads, where there are more than $3.
const FIND_END: Sql = Sql::of_both(
    "\
SELECT u.id FROM unprocessed_events u
WHERE u.organisation_id = $1 AND ($2 IS NULL OR u.id < $2) ORDER BY u.id DESC LIMIT 1 OFFSET $3",
);

const FIND: Sql = Sql::of_both(
    "\
SELECT u.* FROM unprocessed_events u
WHERE u.organisation_id = $1 AND ($2 IS NULL OR u.id < $2) AND ($3 IS NULL OR u.id >= $3)
    AND u.created_on >= $4
    AND ($5 IS NULL OR u.created_on <= $5)
    AND ($6 IS NULL OR u.request_id = $6)
    AND ($7 IS NULL OR replace(',' || u.error_codes || ',', ',' || $7 || ',', '') <> ',' || u.error_codes || ',')
    AND ($8 IS NULL OR u.request_unique_identifier = $8)
    AND ($9 IS NULL OR u.external_system = $9)
    AND ($10 IS NULL OR u.external_system_reference_number = $10)
ORDER BY u.id DESC LIMIT $11",
);

/// A page of the events that were kept since a moment and meet the filter, up to `limit`, the newest first, of those
/// before `after`; and the id after which the next page begins, unless this is the last.
pub async fn find_page<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    filter: &UnprocessedFilter,
    since: DateTime<Utc>,
    after: Option<Uuid>,
    limit: usize,
) -> Result<(Vec<UnprocessedEvent>, Option<Uuid>), DbErr> {
    #[derive(FromQueryResult)]
    struct End {
        id: Uuid,
    }
    let values = vec![organisation_id.into(), after.into(), (MAXIMUM_READ - 1).into()];
    let end = End::find_by_statement(FIND_END.with(connection, values)).one(connection).await?;
    let end = end.map(|end| end.id);
    // One more than wanted tells whether there is a next page.
    let fetched = i64::try_from(limit + 1).map_err(|_| DbErr::ConvertFromU64("i64"))?;
    let from = filter.created_on_from.map_or(since, |from| from.max(since));
    let values = vec![
        organisation_id.into(),
        after.into(),
        end.into(),
        from.into(),
        filter.created_on_to.into(),
        filter.request_id.clone().into(),
        filter.error_code.clone().into(),
        filter.request_unique_identifier.clone().into(),
        filter.external_system.clone().into(),
        filter.external_system_reference_number.clone().into(),
        fetched.into(),
    ];
    let mut events = UnprocessedEvent::find_by_statement(FIND.with(connection, values)).all(connection).await?;
    if events.len() <= limit {
        return Ok((events, end));
    }
    events.truncate(limit);
    let next_after = events.last().map(|event| event.id);
    Ok((events, next_after))
}

/// Of the oldest $3, those from before $2.
const REMOVE_OLD: Sql = Sql::of_both(
    "\
DELETE FROM unprocessed_events
WHERE organisation_id = $1 AND created_on < $2 AND id IN (
    SELECT u.id FROM unprocessed_events u WHERE u.organisation_id = $1 ORDER BY u.id LIMIT $3)",
);

/// Removes at most `limit` of an organisation's events from before `since`; says how many.
pub async fn remove_old<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    since: DateTime<Utc>,
    limit: u32,
) -> Result<u64, DbErr> {
    let values = vec![organisation_id.into(), since.into(), i64::from(limit).into()];
    Ok(connection.execute_raw(REMOVE_OLD.with(connection, values)).await?.rows_affected())
}
