//! The referral events: what a call must know of those that are there, and cancelling one.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult};
use uuid::Uuid;

use super::sql::{SqlType, each_text, each_tuple, join_events, json, part, statement};

/// Whether any of the accounts has referred somebody, be it that the referral was cancelled since.
pub async fn is_any_a_referrer<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    account_keys: &[i64],
) -> Result<bool, DbErr> {
    let any_is_a_referrer = any_is_a_referrer(connection.get_database_backend(), 2);
    let sql = format!("SELECT 1 WHERE {any_is_a_referrer}");
    let values = vec![organisation_id.into(), json(&account_keys)];
    Ok(connection.query_one_raw(statement(connection, sql, values)).await?.is_some())
}

/// The condition of it, for the accounts in parameter `$n`. A subquery is one look-up for each key, which another EXISTS
/// would leave to the planner.
pub(super) fn any_is_a_referrer(backend: DbBackend, n: usize) -> String {
    let each = each_text(backend, n);
    format!(
        "EXISTS (SELECT 1 FROM {each} WHERE (SELECT e.number FROM referral_events e WHERE e.organisation_id = $1 \
         AND e.referred_by_account_key = CAST(k.value AS BIGINT) LIMIT 1) IS NOT NULL)"
    )
}

/// The referrals in force of the accounts: who referred each that was referred.
pub async fn find_many_by_referred<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    account_keys: &[i64],
) -> Result<Vec<Edge>, DbErr> {
    let backend = connection.get_database_backend();
    let each = each_text(backend, 2);
    let join = join_events(backend, "e.referred_account_key = CAST(k.value AS BIGINT)");
    let sql = format!("SELECT e.referred_account_key, e.referred_by_account_key, e.id, e.number FROM {each} {join}");
    let values = vec![organisation_id.into(), json(&account_keys)];
    Edge::find_by_statement(statement(connection, sql, values)).all(connection).await
}

/// An event in force that an external reference names.
#[derive(Debug, FromQueryResult)]
pub struct Referenced {
    /// Which of the references.
    pub position: i64,
    pub id: Uuid,
    pub number: i64,
    pub content_hash: Vec<u8>,
}

/// The events in force under the external references, each a system (empty where there is none) and a number.
pub async fn find_many_by_external_reference<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    references: &[(usize, &str, &str)],
) -> Result<Vec<Referenced>, DbErr> {
    let backend = connection.get_database_backend();
    let (each, position) = (each_tuple(backend, 2), part(backend, 0, SqlType::BigInteger));
    let join = join_events(
        backend,
        "e.external_system = k.value ->> 1 AND e.external_system_reference_number = k.value ->> 2",
    );
    let sql = format!("SELECT {position} AS position, e.id, e.number, e.content_hash FROM {each} {join}");
    let values = vec![organisation_id.into(), json(&references)];
    Referenced::find_by_statement(statement(connection, sql, values)).all(connection).await
}

/// A referral in force, as an edge of the graph of referrals.
#[derive(Debug, FromQueryResult)]
pub struct Edge {
    pub referred_account_key: i64,
    pub referred_by_account_key: i64,
    pub id: Uuid,
    pub number: i64,
}

/// The referrals on the way up from the accounts: who referred them, who referred those, and so on. It ends in a
/// circle too, for UNION takes each referral once.
pub async fn find_ancestry<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    account_keys: &[i64],
) -> Result<Vec<Edge>, DbErr> {
    let backend = connection.get_database_backend();
    let each = each_text(backend, 2);
    let of_keys = join_events(backend, "e.referred_account_key = CAST(k.value AS BIGINT)");
    let of_referrers = join_events(backend, "e.referred_account_key = up.referred_by_account_key");
    let sql = format!(
        "WITH RECURSIVE up(referred_account_key, referred_by_account_key, id, number) AS (\
         SELECT e.referred_account_key, e.referred_by_account_key, e.id, e.number FROM {each} {of_keys} \
         UNION \
         SELECT e.referred_account_key, e.referred_by_account_key, e.id, e.number FROM up {of_referrers}) \
         SELECT referred_account_key, referred_by_account_key, id, number FROM up"
    );
    let values = vec![organisation_id.into(), json(&account_keys)];
    Edge::find_by_statement(statement(connection, sql, values)).all(connection).await
}

/// Cancels an event; one that is cancelled already stays as it is.
pub async fn cancel<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    id: Uuid,
    cancelled_on: DateTime<Utc>,
    reason: Option<String>,
) -> Result<(), DbErr> {
    let values = vec![organisation_id.into(), id.into(), cancelled_on.into(), reason.into()];
    let sql = "UPDATE referral_events SET in_force = NULL, cancelled_on = $3, cancellation_reason = $4 \
               WHERE organisation_id = $1 AND id = $2 AND in_force";
    connection.execute_raw(statement(connection, sql, values)).await?;
    Ok(())
}
