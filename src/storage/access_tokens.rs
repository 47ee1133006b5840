//! Using up one-time passwords.

use std::collections::HashSet;

use sea_orm::{ConnectionTrait, DbErr};

use super::sql::{each_tuple, json, statement};

/// How many of the access tokens have a one-time password that was not used.
pub async fn count_live_one_time_passwords<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    tokens: &HashSet<i64>,
) -> Result<usize, DbErr> {
    let tokens: Vec<(i64,)> = tokens.iter().map(|token| (*token,)).collect();
    let each = each_tuple(connection.get_database_backend(), 2);
    let sql = format!(
        "SELECT t.key FROM access_tokens t WHERE t.organisation_id = $1 AND t.one_time_password_live \
         AND t.key IN (SELECT CAST(k.value ->> 0 AS BIGINT) FROM {each})"
    );
    let values = vec![organisation_id.into(), json(&tokens)];
    Ok(connection.query_all_raw(statement(connection, sql, values)).await?.len())
}

/// Marks the one-time passwords of access tokens as used, each by the event of that number. Answers how many were
/// still live: fewer than given means that another call used one first.
pub async fn use_one_time_passwords<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    tokens_and_events: &[(i64, i64)],
) -> Result<u64, DbErr> {
    // Materialised, and asked for its keys first: SQLite would read the array anew for each token of the organisation.
    let each = each_tuple(connection.get_database_backend(), 2);
    let sql = format!(
        "WITH used AS MATERIALIZED (SELECT CAST(k.value ->> 0 AS BIGINT) AS key, CAST(k.value ->> 1 AS BIGINT) AS event \
         FROM {each}) \
         UPDATE access_tokens SET one_time_password_live = NULL, one_time_password_used_by = used.event FROM used \
         WHERE access_tokens.organisation_id = $1 AND access_tokens.key IN (SELECT key FROM used) \
         AND access_tokens.key = used.key AND access_tokens.one_time_password_live"
    );
    let values = vec![organisation_id.into(), json(&tokens_and_events)];
    Ok(connection.execute_raw(statement(connection, sql, values)).await?.rows_affected())
}
