//! The referral events: what a call must know of those that are there, finding one, cancelling one, and removing old ones.

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QueryResult, Value,
    sea_query::{Expr, NullOrdering, Order},
};

use super::{
    entity::referral_event::{Column, Entity, Model},
    sql::{Columns, Sql, json, key_array},
};
use crate::id::{AccountKey, EventId, EventNumber, OrganisationId};

/// A subquery that answers a value is one look-up for each key; a second EXISTS the planner may turn into a join.
const FIND_REFERRERS: Sql = Sql {
    postgres: "\
SELECT ARRAY(
    SELECT k.value FROM unnest($2::bigint[]) AS k(value)
    WHERE (SELECT e.number FROM referral_events e
        WHERE e.organisation_id = $1 AND e.referred_by_account_key = k.value LIMIT 1) IS NOT NULL) AS referrers",
    sqlite: "\
SELECT json_group_array(k.value) AS referrers FROM json_each($2) AS k
WHERE (SELECT e.number FROM referral_events e
    WHERE e.organisation_id = $1 AND e.referred_by_account_key = k.value LIMIT 1) IS NOT NULL",
};

/// Which of the accounts have referred somebody, be it that the referral was cancelled since.
pub async fn find_referrers<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    account_keys: &[AccountKey],
) -> Result<Vec<AccountKey>, DbErr> {
    let values = vec![organisation_id.into(), key_array(connection, account_keys)];
    let columns = Columns::find(connection, FIND_REFERRERS.with(connection, values)).await?;
    Ok(columns.get::<i64>("referrers")?.into_iter().map(AccountKey).collect())
}

/// A referral in force, as an edge of the graph of referrals.
#[derive(Debug, FromQueryResult)]
pub struct Edge {
    pub referred_account_key: AccountKey,
    pub referred_by_account_key: AccountKey,
    pub id: EventId,
    pub number: EventNumber,
}

/// Each account is looked up by itself: see `sql/find_directory_entries.postgres.sql`.
const FIND_BY_REFERRED: Sql = Sql {
    postgres: "\
SELECT e.referred_account_key, e.referred_by_account_key, e.id, e.number
FROM unnest($2::bigint[]) AS k(value)
CROSS JOIN LATERAL (
    SELECT * FROM referral_events e
    WHERE e.organisation_id = $1 AND e.referred_account_key = k.value AND e.in_force OFFSET 0) AS e",
    sqlite: "\
SELECT e.referred_account_key, e.referred_by_account_key, e.id, e.number
FROM json_each($2) AS k
CROSS JOIN referral_events e ON e.organisation_id = $1 AND e.referred_account_key = k.value AND e.in_force",
};

/// The referrals in force of the accounts: who referred each that was referred.
pub async fn find_many_by_referred<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    account_keys: &[AccountKey],
) -> Result<Vec<Edge>, DbErr> {
    let values = vec![organisation_id.into(), key_array(connection, account_keys)];
    Edge::find_by_statement(FIND_BY_REFERRED.with(connection, values)).all(connection).await
}

/// UNION takes each referral once, so that it ends in a circle too.
const FIND_ANCESTRY: Sql = Sql {
    postgres: "\
WITH RECURSIVE up(referred_account_key, referred_by_account_key, id, number) AS (
    SELECT e.referred_account_key, e.referred_by_account_key, e.id, e.number
    FROM unnest($2::bigint[]) AS k(value)
    CROSS JOIN LATERAL (
        SELECT * FROM referral_events e
        WHERE e.organisation_id = $1 AND e.referred_account_key = k.value AND e.in_force OFFSET 0) AS e
    UNION
    SELECT e.referred_account_key, e.referred_by_account_key, e.id, e.number
    FROM up
    CROSS JOIN LATERAL (
        SELECT * FROM referral_events e
        WHERE e.organisation_id = $1 AND e.referred_account_key = up.referred_by_account_key AND e.in_force
        OFFSET 0) AS e)
SELECT referred_account_key, referred_by_account_key, id, number FROM up",
    sqlite: "\
WITH RECURSIVE up(referred_account_key, referred_by_account_key, id, number) AS (
    SELECT e.referred_account_key, e.referred_by_account_key, e.id, e.number
    FROM json_each($2) AS k
    CROSS JOIN referral_events e ON e.organisation_id = $1 AND e.referred_account_key = k.value AND e.in_force
    UNION
    SELECT e.referred_account_key, e.referred_by_account_key, e.id, e.number
    FROM up
    CROSS JOIN referral_events e
        ON e.organisation_id = $1 AND e.referred_account_key = up.referred_by_account_key AND e.in_force)
SELECT referred_account_key, referred_by_account_key, id, number FROM up",
};

/// The referrals on the way up from the accounts: who referred them, who referred those, and so on.
pub async fn find_ancestry<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    account_keys: &[AccountKey],
) -> Result<Vec<Edge>, DbErr> {
    let values = vec![organisation_id.into(), key_array(connection, account_keys)];
    Edge::find_by_statement(FIND_ANCESTRY.with(connection, values)).all(connection).await
}

/// An event in force that an external reference names.
#[derive(Debug, FromQueryResult)]
pub struct Referenced {
    /// Which of the references.
    pub position: i64,
    pub id: EventId,
    pub number: EventNumber,
    pub content_hash: Vec<u8>,
}

/// $2 has the system and the number of each reference.
const FIND_BY_EXTERNAL_REFERENCE: Sql = Sql {
    postgres: "\
SELECT k.n - 1 AS position, e.id, e.number, e.content_hash
FROM jsonb_array_elements($2::jsonb) WITH ORDINALITY AS k(value, n)
CROSS JOIN LATERAL (
    SELECT * FROM referral_events e
    WHERE e.organisation_id = $1 AND e.external_system = k.value ->> 0
        AND e.external_system_reference_number = k.value ->> 1 AND e.in_force
    OFFSET 0) AS e",
    sqlite: "\
SELECT CAST(k.key AS BIGINT) AS position, e.id, e.number, e.content_hash
FROM json_each($2) AS k
CROSS JOIN referral_events e
    ON e.organisation_id = $1 AND e.external_system = k.value ->> 0
        AND e.external_system_reference_number = k.value ->> 1 AND e.in_force",
};

/// The events in force under the external references, each a system (empty where there is none) and a number.
pub async fn find_many_by_external_reference<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    references: &[(&str, &str)],
) -> Result<Vec<Referenced>, DbErr> {
    let values = vec![organisation_id.into(), json(&references)];
    Referenced::find_by_statement(FIND_BY_EXTERNAL_REFERENCE.with(connection, values)).all(connection).await
}

/// An event as it is read: one that cannot be is named for the log.
#[derive(Debug)]
pub(super) struct Stored(pub Model);

impl FromQueryResult for Stored {
    fn from_query_result(row: &QueryResult, prefix: &str) -> Result<Self, DbErr> {
        Model::from_query_result(row, prefix).map(Self).map_err(|cause| {
            let integer = |column| row.try_get("", column).map_or("?".to_owned(), |value: i64| value.to_string());
            let (number, organisation) = (integer("number"), integer("organisation_id"));
            DbErr::Type(format!(
                "the event of number {number} cannot be read, of the organisation of id {organisation}: {cause}"
            ))
        })
    }
}

/// What names an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventName {
    Id(EventId),
    Number(EventNumber),
    /// A system (empty for none), and the reference number in it.
    ExternalReference(String, String),
}

/// The event that the name leads to. An external reference can have been that of several events over the time: the one
/// in force comes first, then the one that was cancelled last.
pub async fn find<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    name: &EventName,
) -> Result<Option<Model>, DbErr> {
    let of_organisation = Entity::find().filter(Column::OrganisationId.eq(organisation_id));
    let named = match name {
        EventName::Id(id) => of_organisation.filter(Column::Id.eq(*id)),
        EventName::Number(number) => of_organisation.filter(Column::Number.eq(*number)),
        EventName::ExternalReference(system, number) => of_organisation
            .filter(Column::ExternalSystem.eq(system))
            .filter(Column::ExternalSystemReferenceNumber.eq(number)),
    };
    let found = named
        .order_by_with_nulls(Column::InForce, Order::Desc, NullOrdering::Last)
        .order_by_desc(Column::CancelledOn)
        .order_by_desc(Column::Number)
        .into_model::<Stored>()
        .one(connection)
        .await?;
    Ok(found.map(|Stored(event)| event))
}

/// Cancels an event; one that is cancelled already stays as it is.
pub async fn cancel<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    id: EventId,
    cancelled_on: DateTime<Utc>,
    reason: Option<String>,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::InForce, Expr::value(None::<bool>))
        .col_expr(Column::CancelledOn, Expr::value(cancelled_on))
        .col_expr(Column::CancellationReason, Expr::value(reason))
        .filter(Column::OrganisationId.eq(organisation_id))
        .filter(Column::Id.eq(id))
        .filter(Column::InForce.eq(true))
        .exec(connection)
        .await?;
    Ok(())
}

const REMOVE: Sql = Sql {
    postgres: "\
DELETE FROM referral_events
WHERE organisation_id = $1 AND (in_force IS NOT NULL) = $3
    AND id = ANY(ARRAY(SELECT CAST(k.value AS UUID) FROM jsonb_array_elements_text($2::jsonb) AS k(value)))",
    sqlite: "\
DELETE FROM referral_events
WHERE organisation_id = $1 AND (in_force IS NOT NULL) = $3
    AND id IN (SELECT unhex(k.value) FROM json_each($2) AS k)",
};

/// Removes those of the events that are in force, or those that are not; answers how many. The one-time passwords that they
/// used up stay used.
pub async fn remove<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    ids: &[EventId],
    are_in_force: bool,
) -> Result<u64, DbErr> {
    let values = vec![organisation_id.into(), id_array(ids), are_in_force.into()];
    Ok(connection.execute_raw(REMOVE.with(connection, values)).await?.rows_affected())
}

const COUNT: Sql = Sql {
    postgres: "\
SELECT count(*) AS count FROM referral_events
WHERE organisation_id = $1
    AND id = ANY(ARRAY(SELECT CAST(k.value AS UUID) FROM jsonb_array_elements_text($2::jsonb) AS k(value)))",
    sqlite: "\
SELECT count(*) AS count FROM referral_events
WHERE organisation_id = $1 AND id IN (SELECT unhex(k.value) FROM json_each($2) AS k)",
};

/// How many of the events are there.
pub async fn count<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    ids: &[EventId],
) -> Result<u64, DbErr> {
    let statement = COUNT.with(connection, vec![organisation_id.into(), id_array(ids)]);
    let row = connection.query_one_raw(statement).await?;
    let count: i64 = row.map(|row| row.try_get("", "count")).transpose()?.unwrap_or_default();
    Ok(count.unsigned_abs())
}

/// As texts, from which each engine makes its own.
fn id_array(ids: &[EventId]) -> Value {
    json(&ids.iter().map(EventId::to_string).collect::<Vec<String>>())
}
