//! Referrals on the way up from an account, and those below it, a bounded number at a time.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::sql::{Sql, key_array};
use crate::id::{AccountKey, EventNumber, OrganisationId};

/// A referral, as a step to an account.
#[derive(Debug, FromQueryResult)]
pub struct Referral {
    pub number: EventNumber,
    /// The account that it leads to: up, the referrer, and down, the one that was referred.
    pub account_key: AccountKey,
    pub is_in_force: bool,
    /// Whether that account has referred somebody; `None` where that was not asked.
    pub has_referred: Option<bool>,
}

/// So many levels at most, so it ends in a circle too.
const FIND_WAY_UP: Sql = Sql {
    postgres: "\
WITH RECURSIVE up(level, number, account_key) AS (
    SELECT CAST(1 AS BIGINT), e.number, e.referred_by_account_key
    FROM referral_events e WHERE e.organisation_id = $1 AND e.referred_account_key = $2 AND e.in_force
    UNION ALL
    SELECT up.level + 1, e.number, e.referred_by_account_key
    FROM up
    CROSS JOIN LATERAL (
        SELECT * FROM referral_events e
        WHERE e.organisation_id = $1 AND e.referred_account_key = up.account_key AND e.in_force AND up.level < $3
        OFFSET 0) AS e)
SELECT number, account_key, TRUE AS is_in_force, CAST(NULL AS BOOLEAN) AS has_referred FROM up ORDER BY level",
    sqlite: "\
WITH RECURSIVE up(level, number, account_key) AS (
    SELECT 1, e.number, e.referred_by_account_key
    FROM referral_events e WHERE e.organisation_id = $1 AND e.referred_account_key = $2 AND e.in_force
    UNION ALL
    SELECT up.level + 1, e.number, e.referred_by_account_key
    FROM up
    CROSS JOIN referral_events e
        ON e.organisation_id = $1 AND e.referred_account_key = up.account_key AND e.in_force
    WHERE up.level < $3)
SELECT number, account_key, TRUE AS is_in_force, NULL AS has_referred FROM up ORDER BY level",
};

/// Who referred an account, and who referred that one, so many levels up at most.
pub async fn find_way_up<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    account_key: AccountKey,
    levels: usize,
) -> Result<Vec<Referral>, DbErr> {
    let values = vec![organisation_id.into(), account_key.into(), count(levels)?.into()];
    Referral::find_by_statement(FIND_WAY_UP.with(connection, values)).all(connection).await
}

/// Cancelled ones are among them, for they are read anyway.
const FIND_REFERRALS: Sql = Sql::of_both(
    "\
SELECT e.number, e.referred_account_key AS account_key, (e.in_force IS NOT NULL) AS is_in_force,
    EXISTS (
        SELECT 1 FROM referral_events f
        WHERE f.organisation_id = $1 AND f.referred_by_account_key = e.referred_account_key) AS has_referred
FROM referral_events e
WHERE e.organisation_id = $1 AND e.referred_by_account_key = $2 AND e.number > $3
ORDER BY e.number LIMIT $4",
);

/// The first `limit` referrals that an account made after the event of a number.
pub async fn find_referrals<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    account_key: AccountKey,
    after: EventNumber,
    limit: usize,
) -> Result<Vec<Referral>, DbErr> {
    let values = vec![organisation_id.into(), account_key.into(), after.into(), count(limit)?.into()];
    Referral::find_by_statement(FIND_REFERRALS.with(connection, values)).all(connection).await
}

const FIND_REFERRED: Sql = Sql {
    postgres: "\
SELECT e.number, e.referred_account_key AS account_key, (e.in_force IS NOT NULL) AS is_in_force,
    CAST(NULL AS BOOLEAN) AS has_referred
FROM unnest($2::bigint[]) AS k(value)
CROSS JOIN LATERAL (
    SELECT * FROM referral_events e WHERE e.organisation_id = $1 AND e.number = k.value OFFSET 0) AS e",
    sqlite: "\
SELECT e.number, e.referred_account_key AS account_key, (e.in_force IS NOT NULL) AS is_in_force, NULL AS has_referred
FROM json_each($2) AS k
CROSS JOIN referral_events e ON e.organisation_id = $1 AND e.number = k.value",
};

/// Whom the events of these numbers refer, of those that are there.
pub async fn find_referred<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    numbers: &[EventNumber],
) -> Result<Vec<Referral>, DbErr> {
    let values = vec![organisation_id.into(), key_array(connection, numbers)];
    Referral::find_by_statement(FIND_REFERRED.with(connection, values)).all(connection).await
}

fn count(number: usize) -> Result<i64, DbErr> {
    i64::try_from(number).map_err(|_| DbErr::ConvertFromU64("i64"))
}
