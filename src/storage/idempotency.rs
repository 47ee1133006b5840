//! The answers that are kept for the repeats of calls with an idempotency key.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::sql::statement;

/// What is kept of a call.
#[derive(Debug, FromQueryResult)]
pub struct Kept {
    /// Of the call's content.
    pub fingerprint: Vec<u8>,
    pub answer: Vec<u8>,
}

/// What was kept under the key at `since` or later.
pub async fn find<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    method: &str,
    key: &str,
    since: DateTime<Utc>,
) -> Result<Option<Kept>, DbErr> {
    let sql = "SELECT fingerprint, answer FROM idempotency_keys \
               WHERE organisation_id = $1 AND method = $2 AND idempotency_key = $3 AND created_on >= $4";
    let values = vec![organisation_id.into(), method.into(), key.into(), since.into()];
    Kept::find_by_statement(statement(connection, sql, values)).one(connection).await
}

/// Keeps the answer under the key, in place of one from before `since`. Answers whether it did: not where another call
/// has kept its own.
pub async fn keep<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    method: &str,
    key: &str,
    kept: &Kept,
    now: DateTime<Utc>,
    since: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let sql = "INSERT INTO idempotency_keys \
               (organisation_id, method, idempotency_key, fingerprint, answer, created_on) \
               VALUES ($1, $2, $3, $4, $5, $6) \
               ON CONFLICT (organisation_id, method, idempotency_key) DO UPDATE \
               SET fingerprint = excluded.fingerprint, answer = excluded.answer, created_on = excluded.created_on \
               WHERE idempotency_keys.created_on < $7";
    let values = vec![
        organisation_id.into(),
        method.into(),
        key.into(),
        kept.fingerprint.clone().into(),
        kept.answer.clone().into(),
        now.into(),
        since.into(),
    ];
    Ok(connection.execute_raw(statement(connection, sql, values)).await?.rows_affected() > 0)
}

/// Removes at most `limit` of an organisation's answers from before `since`; says how many.
pub async fn remove_old<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    since: DateTime<Utc>,
    limit: u32,
) -> Result<u64, DbErr> {
    let sql = "DELETE FROM idempotency_keys WHERE organisation_id = $1 AND created_on < $2 \
               AND (method, idempotency_key) IN (SELECT method, idempotency_key FROM idempotency_keys \
               WHERE organisation_id = $1 AND created_on < $2 ORDER BY created_on LIMIT $3)";
    let values = vec![organisation_id.into(), since.into(), i64::from(limit).into()];
    Ok(connection.execute_raw(statement(connection, sql, values)).await?.rows_affected())
}
