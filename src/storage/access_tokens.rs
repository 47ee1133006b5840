//! Using up one-time passwords. One is known by its access token and its hash together, for an import may give the token
//! another one at any moment.

use std::collections::HashSet;

use sea_orm::{ConnectionTrait, DbErr};
use serde::Serialize;

use super::sql::{each_tuple, join, json, statement};

/// How many of the one-time passwords, each an access token's key and a hash, are still those of their tokens and were
/// not used.
pub async fn count_live_one_time_passwords<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    passwords: &HashSet<(i64, &str)>,
) -> Result<usize, DbErr> {
    let backend = connection.get_database_backend();
    let each = each_tuple(backend, 2);
    let join = join(
        backend,
        "access_tokens",
        "t",
        "t.key = CAST(k.value ->> 0 AS BIGINT) AND t.one_time_password_hash = k.value ->> 1 \
         AND t.one_time_password_live",
    );
    let sql = format!("SELECT t.key FROM {each} {join}");
    let values = vec![organisation_id.into(), json(&passwords)];
    Ok(connection.query_all_raw(statement(connection, sql, values)).await?.len())
}

/// A one-time password that an event uses up.
#[derive(Debug)]
pub struct UsedPassword<'a> {
    pub access_token_key: i64,
    pub hash: &'a str,
    /// The event's number.
    pub used_by: i64,
}

/// In the order in which the statement reads its parts.
impl Serialize for UsedPassword<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.access_token_key, self.hash, self.used_by).serialize(serializer)
    }
}

/// Marks the one-time passwords as used. Answers how many were still live: fewer than given means that another call used
/// one first, or that an import replaced it.
pub async fn use_one_time_passwords<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    passwords: &[UsedPassword<'_>],
) -> Result<u64, DbErr> {
    // Materialised, and asked for its keys first: SQLite would read the array anew for each token of the organisation.
    let each = each_tuple(connection.get_database_backend(), 2);
    let sql = format!(
        "WITH used AS MATERIALIZED (SELECT CAST(k.value ->> 0 AS BIGINT) AS key, k.value ->> 1 AS hash, \
         CAST(k.value ->> 2 AS BIGINT) AS event FROM {each}) \
         UPDATE access_tokens SET one_time_password_live = NULL, one_time_password_used_by = used.event FROM used \
         WHERE access_tokens.organisation_id = $1 AND access_tokens.key IN (SELECT key FROM used) \
         AND access_tokens.key = used.key AND access_tokens.one_time_password_hash = used.hash \
         AND access_tokens.one_time_password_live"
    );
    let values = vec![organisation_id.into(), json(&passwords)];
    Ok(connection.execute_raw(statement(connection, sql, values)).await?.rows_affected())
}
