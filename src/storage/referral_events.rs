//! The referral events: what a call must know of those that are there, and the insert.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use uuid::Uuid;

use super::sql::{each_text, each_tuple, join_events, json, statement};

/// What stands in the way of referring an account, or may.
#[derive(Debug, FromQueryResult)]
pub struct Standing {
    pub account_key: i64,
    /// Who referred the account; `None` in the row that says that the account has itself referred somebody.
    pub referred_by_account_key: Option<i64>,
}

/// For each account: by whom it was referred, and whether it has referred anybody.
pub async fn find_standing<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    referred_account_keys: &[i64],
) -> Result<Vec<Standing>, DbErr> {
    let backend = connection.get_database_backend();
    let each = each_text(backend, 2);
    let join = join_events(backend, "e.referred_account_key = CAST(k.value AS BIGINT)");
    // One look-up for each key here too, which EXISTS would leave to the planner.
    let sql = format!(
        "SELECT e.referred_account_key AS account_key, e.referred_by_account_key FROM {each} {join} \
         UNION ALL \
         SELECT CAST(k.value AS BIGINT) AS account_key, CAST(NULL AS BIGINT) AS referred_by_account_key \
         FROM {each} WHERE (SELECT e.number FROM referral_events e WHERE e.organisation_id = $1 \
         AND e.referred_by_account_key = CAST(k.value AS BIGINT) AND e.in_force LIMIT 1) IS NOT NULL"
    );
    let values = vec![organisation_id.into(), json(&referred_account_keys)];
    Standing::find_by_statement(statement(connection, sql, values)).all(connection).await
}

/// An event in force that an external reference names.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Referenced {
    pub external_system: String,
    pub external_system_reference_number: String,
    pub id: Uuid,
    pub number: i64,
    pub content_hash: Vec<u8>,
}

/// The events in force under the external references, each a system (empty where there is none) and a number.
pub async fn find_many_by_external_reference<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    references: &[(&str, &str)],
) -> Result<Vec<Referenced>, DbErr> {
    let backend = connection.get_database_backend();
    let each = each_tuple(backend, 2);
    let join = join_events(
        backend,
        "e.external_system = k.value ->> 0 AND e.external_system_reference_number = k.value ->> 1",
    );
    let sql = format!(
        "SELECT e.external_system, e.external_system_reference_number, e.id, e.number, e.content_hash \
         FROM {each} {join}"
    );
    let values = vec![organisation_id.into(), json(&references)];
    Referenced::find_by_statement(statement(connection, sql, values)).all(connection).await
}

/// A referral in force, as an edge of the graph of referrals.
#[derive(Debug, FromQueryResult)]
pub struct Edge {
    pub referred_account_key: i64,
    pub referred_by_account_key: i64,
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
        "WITH RECURSIVE up(referred_account_key, referred_by_account_key) AS (\
         SELECT e.referred_account_key, e.referred_by_account_key FROM {each} {of_keys} \
         UNION \
         SELECT e.referred_account_key, e.referred_by_account_key FROM up {of_referrers}) \
         SELECT referred_account_key, referred_by_account_key FROM up"
    );
    let values = vec![organisation_id.into(), json(&account_keys)];
    Edge::find_by_statement(statement(connection, sql, values)).all(connection).await
}
