//! The answers that are kept for the repeats of calls with an idempotency key.

use chrono::{DateTime, Utc};
use sea_orm::{
    ConnectionTrait, DbErr, EntityTrait, FromQueryResult,
    sea_query::{Expr, ExprTrait, OnConflict},
};

use super::{
    entity::idempotency_key::{ActiveModel, Column, Entity, Model},
    sql::{Sql, json},
};
use crate::id::OrganisationId;

/// An answer that was kept.
#[derive(Debug, FromQueryResult)]
pub struct Kept {
    /// Which of the keys it was asked for by.
    pub position: i64,
    pub fingerprint: Vec<u8>,
    pub answer: Vec<u8>,
}

/// An answer that was kept, and under which key.
#[derive(Debug, FromQueryResult)]
pub struct LastKept {
    pub idempotency_key: String,
    pub answer: Vec<u8>,
}

/// $2 has for each call its method and its key.
const FIND: Sql = Sql {
    postgres: "\
SELECT k.n - 1 AS position, i.fingerprint, i.answer
FROM jsonb_array_elements($2::jsonb) WITH ORDINALITY AS k(value, n)
CROSS JOIN LATERAL (
    SELECT * FROM idempotency_keys i
    WHERE i.organisation_id = $1 AND i.method = k.value ->> 0 AND i.idempotency_key = k.value ->> 1 OFFSET 0) AS i
WHERE i.created_on >= $3",
    sqlite: "\
SELECT CAST(k.key AS BIGINT) AS position, i.fingerprint, i.answer
FROM json_each($2) AS k
CROSS JOIN idempotency_keys i
    ON i.organisation_id = $1 AND i.method = k.value ->> 0 AND i.idempotency_key = k.value ->> 1
WHERE i.created_on >= $3",
};

/// What was kept at `since` or later, of calls named by their methods and keys.
pub async fn find_many<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    keys: &[(&str, &str)],
    since: DateTime<Utc>,
) -> Result<Vec<Kept>, DbErr> {
    let values = vec![organisation_id.into(), json(&keys), since.into()];
    Kept::find_by_statement(FIND.with(connection, values)).all(connection).await
}

const FIND_LAST: Sql = Sql::of_both(
    "\
SELECT idempotency_key, answer FROM idempotency_keys
WHERE organisation_id = $1 AND method = $2 AND idempotency_key > $3 AND idempotency_key < $4 AND created_on >= $5
ORDER BY idempotency_key DESC LIMIT 1",
);

/// What was kept at `since` or later under the last of a method's keys between two others.
pub async fn find_last<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    method: &str,
    (after, before): (&str, &str),
    since: DateTime<Utc>,
) -> Result<Option<LastKept>, DbErr> {
    let values = vec![organisation_id.into(), method.into(), after.into(), before.into(), since.into()];
    LastKept::find_by_statement(FIND_LAST.with(connection, values)).one(connection).await
}

/// Keeps answers under their keys, in place of those from before `since`. Says how many it did: not those under whose keys
/// other calls have kept their own.
pub async fn keep<C: ConnectionTrait>(connection: &C, answers: Vec<Model>, since: DateTime<Utc>) -> Result<u64, DbErr> {
    let in_place_of_an_old_one = OnConflict::columns([Column::OrganisationId, Column::Method, Column::IdempotencyKey])
        .update_columns([Column::Fingerprint, Column::Answer, Column::CreatedOn])
        .action_and_where(Expr::col((Entity, Column::CreatedOn)).lt(since))
        .to_owned();
    let insert = Entity::insert_many(answers.into_iter().map(ActiveModel::from)).on_conflict(in_place_of_an_old_one);
    insert.exec_without_returning(connection).await
}

const REMOVE_OLD: Sql = Sql::of_both(
    "\
DELETE FROM idempotency_keys
WHERE organisation_id = $1 AND created_on < $2 AND (method, idempotency_key) IN (
    SELECT method, idempotency_key FROM idempotency_keys
    WHERE organisation_id = $1 AND created_on < $2 ORDER BY created_on LIMIT $3)",
);

/// Removes at most `limit` of an organisation's answers from before `since`; says how many.
pub async fn remove_old<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    since: DateTime<Utc>,
    limit: u32,
) -> Result<u64, DbErr> {
    let values = vec![organisation_id.into(), since.into(), i64::from(limit).into()];
    Ok(connection.execute_raw(REMOVE_OLD.with(connection, values)).await?.rows_affected())
}
