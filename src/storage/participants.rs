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
    pub account_number: String,
    pub account_state: String,
    /// The referrals in force.
    pub has_referred: i64,
}

const FIND: Sql = Sql::of_both(
    "\
SELECT p.id, p.number, p.state, p.account_key, a.number AS account_number, a.state AS account_state,
    (SELECT count(*) FROM referral_events e
        WHERE e.organisation_id = $1 AND e.referred_by_account_key = p.account_key AND e.in_force) AS has_referred
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
