//! A rewards participant, with its account and how many it has referred.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::sql::Sql;
use crate::id::{AccountKey, OrganisationId};

#[derive(Debug, FromQueryResult)]
pub struct Participant {
    pub id: String,
    pub number: String,
    pub state: String,
    pub account_key: AccountKey,
    pub account_id: String,
    pub account_number: String,
    pub account_state: String,
}

const FIND: Sql = Sql::of_both(
    "\
SELECT p.id, p.number, p.state, p.account_key, a.id AS account_id, a.number AS account_number,
    a.state AS account_state
FROM rewards_participants p
JOIN accounts_receivable a ON a.organisation_id = $1 AND a.key = p.account_key
WHERE p.organisation_id = $1 AND p.number = $2",
);

/// The participant of a number.
pub async fn find<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    number: &str,
) -> Result<Option<Participant>, DbErr> {
    Participant::find_by_statement(FIND.with(connection, vec![organisation_id.into(), number.into()]))
        .one(connection)
        .await
}

const FIND_OF_ACCOUNT: Sql = Sql::of_both(
    "\
SELECT p.id, p.number, p.state, p.account_key, a.id AS account_id, a.number AS account_number,
    a.state AS account_state
FROM rewards_participants p
JOIN accounts_receivable a ON a.organisation_id = $1 AND a.key = $2
WHERE p.organisation_id = $1 AND p.account_key = $2",
);

/// The participant who owns an account.
pub async fn find_of_account<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    account_key: AccountKey,
) -> Result<Option<Participant>, DbErr> {
    let values = vec![organisation_id.into(), account_key.into()];
    Participant::find_by_statement(FIND_OF_ACCOUNT.with(connection, values)).one(connection).await
}

/// The events by which an account referred somebody.
#[derive(Clone, Copy, Debug, FromQueryResult)]
pub struct Referred {
    /// Those that were read.
    pub events: i64,
    /// Those of them that are in force.
    pub in_force: i64,
}

const COUNT_REFERRED: Sql = Sql::of_both(
    "\
SELECT count(*) AS events, count(r.in_force) AS in_force FROM (
    SELECT e.in_force FROM referral_events e
    WHERE e.organisation_id = $1 AND e.referred_by_account_key = $2 ORDER BY e.number LIMIT $3) AS r",
);

/// How many an account has referred, by its first events, so many at most.
pub async fn count_referred<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    account_key: AccountKey,
    most: i64,
) -> Result<Referred, DbErr> {
    let values = vec![organisation_id.into(), account_key.into(), most.into()];
    let counted = Referred::find_by_statement(COUNT_REFERRED.with(connection, values)).one(connection).await?;
    counted.ok_or_else(|| DbErr::RecordNotFound("a count".to_owned()))
}
