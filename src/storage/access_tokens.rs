//! Using up one-time passwords. One is known by its access token and its hash together, for an import may give the token
//! another one at any moment.

use std::collections::HashSet;

use sea_orm::{ConnectionTrait, DbErr};
use serde::Serialize;

use super::sql::{Sql, json};
use crate::id::{AccessTokenKey, EventNumber, OrganisationId};

/// $2 has for each password the key of its access token and its hash.
const FIND_LIVE: Sql = Sql {
    postgres: "\
SELECT t.key FROM jsonb_array_elements($2::jsonb) AS k(value)
CROSS JOIN LATERAL (
    SELECT * FROM access_tokens t
    WHERE t.organisation_id = $1 AND t.key = CAST(k.value ->> 0 AS BIGINT)
        AND t.one_time_password_hash = k.value ->> 1 AND t.one_time_password_live
    OFFSET 0) AS t",
    sqlite: "\
SELECT t.key FROM json_each($2) AS k
CROSS JOIN access_tokens t
    ON t.organisation_id = $1 AND t.key = CAST(k.value ->> 0 AS BIGINT)
        AND t.one_time_password_hash = k.value ->> 1 AND t.one_time_password_live",
};

/// How many of the one-time passwords, each an access token's key and a hash, are still those of their tokens and were
/// not used.
pub async fn count_live_one_time_passwords<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    passwords: &HashSet<(AccessTokenKey, &str)>,
) -> Result<usize, DbErr> {
    let values = vec![organisation_id.into(), json(&passwords)];
    Ok(connection.query_all_raw(FIND_LIVE.with(connection, values)).await?.len())
}

/// A one-time password that an event uses up.
#[derive(Debug)]
pub struct UsedPassword<'a> {
    pub access_token_key: AccessTokenKey,
    pub hash: &'a str,
    /// The event's number.
    pub used_by: EventNumber,
}

/// In the order in which the statement reads its parts.
impl Serialize for UsedPassword<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.access_token_key, self.hash, self.used_by).serialize(serializer)
    }
}

/// The passwords are materialized, and their keys named once more by IN, for SQLite's sake, which would read the array
/// anew for each token of the organisation.
const USE: Sql = Sql {
    postgres: "\
WITH used AS MATERIALIZED (
    SELECT CAST(k.value ->> 0 AS BIGINT) AS key, k.value ->> 1 AS hash, CAST(k.value ->> 2 AS BIGINT) AS event
    FROM jsonb_array_elements($2::jsonb) AS k(value))
UPDATE access_tokens SET one_time_password_live = NULL, one_time_password_used_by = used.event
FROM used
WHERE access_tokens.organisation_id = $1 AND access_tokens.key IN (SELECT key FROM used)
    AND access_tokens.key = used.key AND access_tokens.one_time_password_hash = used.hash
    AND access_tokens.one_time_password_live",
    sqlite: "\
WITH used AS MATERIALIZED (
    SELECT CAST(k.value ->> 0 AS BIGINT) AS key, k.value ->> 1 AS hash, CAST(k.value ->> 2 AS BIGINT) AS event
    FROM json_each($2) AS k)
UPDATE access_tokens SET one_time_password_live = NULL, one_time_password_used_by = used.event
FROM used
WHERE access_tokens.organisation_id = $1 AND access_tokens.key IN (SELECT key FROM used)
    AND access_tokens.key = used.key AND access_tokens.one_time_password_hash = used.hash
    AND access_tokens.one_time_password_live",
};

/// Marks the one-time passwords as used. Answers how many were still live: fewer than given means that another call used
/// one first, or that an import replaced it.
pub async fn use_one_time_passwords<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    passwords: &[UsedPassword<'_>],
) -> Result<u64, DbErr> {
    let values = vec![organisation_id.into(), json(&passwords)];
    Ok(connection.execute_raw(USE.with(connection, values)).await?.rows_affected())
}
