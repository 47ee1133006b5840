//! The answers that are kept for the repeats of calls with an idempotency key.

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter,
    sea_query::{Expr, ExprTrait, OnConflict},
};

use super::{
    entity::idempotency_key::{ActiveModel, Column, Entity, Model},
    sql::Sql,
};
use crate::id::OrganisationId;

/// What was kept under the key at `since` or later.
pub async fn find<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    method: &str,
    key: &str,
    since: DateTime<Utc>,
) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id((organisation_id, method.to_owned(), key.to_owned()))
        .filter(Column::CreatedOn.gte(since))
        .one(connection)
        .await
}

/// Keeps an answer under its key, in place of one from before `since`. Answers whether it did: not where another call has
/// kept its own.
pub async fn keep<C: ConnectionTrait>(connection: &C, kept: Model, since: DateTime<Utc>) -> Result<bool, DbErr> {
    let in_place_of_an_old_one = OnConflict::columns([Column::OrganisationId, Column::Method, Column::IdempotencyKey])
        .update_columns([Column::Fingerprint, Column::Answer, Column::CreatedOn])
        .action_and_where(Expr::col((Entity, Column::CreatedOn)).lt(since))
        .to_owned();
    let insert = Entity::insert(ActiveModel::from(kept)).on_conflict(in_place_of_an_old_one);
    Ok(insert.exec_without_returning(connection).await? > 0)
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
