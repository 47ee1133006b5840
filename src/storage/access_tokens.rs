//! Using up one-time passwords, and hashing codes anew. A one-time password is known by its access token and its hash
//! together, for an import may give the token another one at any moment.

use std::collections::{BTreeMap, HashSet};

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
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
    /// Its hash by the newest key.
    pub new_hash: &'a str,
}

/// In the order in which the statement reads its parts.
impl Serialize for UsedPassword<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.access_token_key, self.hash, self.used_by, self.new_hash).serialize(serializer)
    }
}

/// The passwords are materialized, and their keys named once more by IN, for SQLite's sake, which would read the array
/// anew for each token of the organisation.
const USE: Sql = Sql {
    postgres: "\
WITH used AS MATERIALIZED (
    SELECT CAST(k.value ->> 0 AS BIGINT) AS key, k.value ->> 1 AS hash, CAST(k.value ->> 2 AS BIGINT) AS event,
        k.value ->> 3 AS new_hash
    FROM jsonb_array_elements($2::jsonb) AS k(value))
UPDATE access_tokens SET one_time_password_live = NULL, one_time_password_used_by = used.event,
    one_time_password_hash = used.new_hash
FROM used
WHERE access_tokens.organisation_id = $1 AND access_tokens.key IN (SELECT key FROM used)
    AND access_tokens.key = used.key AND access_tokens.one_time_password_hash = used.hash
    AND access_tokens.one_time_password_live",
    sqlite: "\
WITH used AS MATERIALIZED (
    SELECT CAST(k.value ->> 0 AS BIGINT) AS key, k.value ->> 1 AS hash, CAST(k.value ->> 2 AS BIGINT) AS event,
        k.value ->> 3 AS new_hash
    FROM json_each($2) AS k)
UPDATE access_tokens SET one_time_password_live = NULL, one_time_password_used_by = used.event,
    one_time_password_hash = used.new_hash
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

/// A code of an access token that is stored by its hash of an older key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StaleHash {
    pub access_token_key: AccessTokenKey,
    pub code: StaleCode,
    pub hash: String,
    pub new_hash: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StaleCode {
    AuthenticationCode,
    PassCode,
}

/// Those that somebody else holds just then keep their hashes, so that this waits for nobody while it holds others. So do
/// authentication codes that another access token has by the newest key.
const RENEW_AUTHENTICATION_CODES: Sql = Sql {
    postgres: "\
WITH stale AS MATERIALIZED (
    SELECT CAST(k.value ->> 0 AS BIGINT) AS key, k.value ->> 1 AS hash, k.value ->> 2 AS new_hash
    FROM jsonb_array_elements($2::jsonb) AS k(value)),
free AS MATERIALIZED (
    SELECT t.key FROM access_tokens t
    WHERE t.organisation_id = $1 AND t.key IN (SELECT key FROM stale) FOR UPDATE SKIP LOCKED)
UPDATE access_tokens SET authentication_code_hash = stale.new_hash
FROM stale
WHERE access_tokens.organisation_id = $1 AND access_tokens.key IN (SELECT key FROM free)
    AND access_tokens.key = stale.key AND access_tokens.authentication_code_hash = stale.hash
    AND NOT EXISTS (
        SELECT 1 FROM access_tokens o WHERE o.organisation_id = $1 AND o.authentication_code_hash = stale.new_hash)",
    sqlite: "\
WITH stale AS MATERIALIZED (
    SELECT CAST(k.value ->> 0 AS BIGINT) AS key, k.value ->> 1 AS hash, k.value ->> 2 AS new_hash FROM json_each($2) AS k)
UPDATE access_tokens SET authentication_code_hash = stale.new_hash
FROM stale
WHERE access_tokens.organisation_id = $1 AND access_tokens.key IN (SELECT key FROM stale)
    AND access_tokens.key = stale.key AND access_tokens.authentication_code_hash = stale.hash
    AND NOT EXISTS (
        SELECT 1 FROM access_tokens o WHERE o.organisation_id = $1 AND o.authentication_code_hash = stale.new_hash)",
};

const RENEW_PASS_CODES: Sql = Sql {
    postgres: "\
WITH stale AS MATERIALIZED (
    SELECT CAST(k.value ->> 0 AS BIGINT) AS key, k.value ->> 1 AS hash, k.value ->> 2 AS new_hash
    FROM jsonb_array_elements($2::jsonb) AS k(value)),
free AS MATERIALIZED (
    SELECT t.key FROM access_tokens t
    WHERE t.organisation_id = $1 AND t.key IN (SELECT key FROM stale) FOR UPDATE SKIP LOCKED)
UPDATE access_tokens SET pass_code_hash = stale.new_hash
FROM stale
WHERE access_tokens.organisation_id = $1 AND access_tokens.key IN (SELECT key FROM free)
    AND access_tokens.key = stale.key AND access_tokens.pass_code_hash = stale.hash",
    sqlite: "\
WITH stale AS MATERIALIZED (
    SELECT CAST(k.value ->> 0 AS BIGINT) AS key, k.value ->> 1 AS hash, k.value ->> 2 AS new_hash FROM json_each($2) AS k)
UPDATE access_tokens SET pass_code_hash = stale.new_hash
FROM stale
WHERE access_tokens.organisation_id = $1 AND access_tokens.key IN (SELECT key FROM stale)
    AND access_tokens.key = stale.key AND access_tokens.pass_code_hash = stale.hash",
};

/// Stores codes by their hashes of the newest key.
pub async fn renew_hashes<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    stale: &[StaleHash],
) -> Result<(), DbErr> {
    for (code, sql) in
        [(StaleCode::AuthenticationCode, RENEW_AUTHENTICATION_CODES), (StaleCode::PassCode, RENEW_PASS_CODES)]
    {
        let rows: Vec<(AccessTokenKey, &str, &str)> = stale
            .iter()
            .filter(|stale| stale.code == code)
            .map(|stale| (stale.access_token_key, stale.hash.as_str(), stale.new_hash.as_str()))
            .collect();
        if !rows.is_empty() {
            connection.execute_raw(sql.with(connection, vec![organisation_id.into(), json(&rows)])).await?;
        }
    }
    Ok(())
}

#[derive(FromQueryResult)]
struct HashesOfKey {
    number: String,
    hashes: i64,
}

/// A hash has 64 digits; that of a key after the first has the key's number and a colon before them.
const COUNT_HASHES: Sql = Sql::of_both(
    "\
SELECT n.number, count(*) AS hashes FROM (
    SELECT CASE WHEN length(h.hash) > 64 THEN substr(h.hash, 1, length(h.hash) - 65) ELSE '1' END AS number FROM (
        SELECT authentication_code_hash AS hash FROM access_tokens WHERE authentication_code_hash IS NOT NULL
        UNION ALL SELECT pass_code_hash FROM access_tokens WHERE pass_code_hash IS NOT NULL
        UNION ALL SELECT one_time_password_hash FROM access_tokens WHERE one_time_password_hash IS NOT NULL) AS h) AS n
GROUP BY n.number",
);

/// How many codes are stored, of all organisations, by the number of the key that they are hashed with. Reads all access
/// tokens.
pub async fn count_hashes<C: ConnectionTrait>(connection: &C) -> Result<BTreeMap<u16, i64>, DbErr> {
    let counts = HashesOfKey::find_by_statement(COUNT_HASHES.with(connection, Vec::new())).all(connection).await?;
    Ok(counts.into_iter().filter_map(|count| Some((count.number.parse().ok()?, count.hashes))).collect())
}
