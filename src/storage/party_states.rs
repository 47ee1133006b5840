//! What an account knows of its participant's state, and a participant of its account's, so that one look-up finds a
//! party. An import keeps it.

use sea_orm::{ConnectionTrait, DbErr};

use super::sql::{Sql, key_array};
use crate::id::{OrganisationId, RowKey};

/// Which participants are meant: by their own keys, or by those of their accounts.
#[derive(Clone, Copy, Debug)]
pub enum PartyKeys<'a> {
    Accounts(&'a [RowKey]),
    Participants(&'a [RowKey]),
}

/// PostgreSQL makes the array once, where it might run a subquery of IN again for every row of the organisation.
const FORGET_PARTICIPANTS: Sql = Sql {
    postgres: "\
UPDATE accounts_receivable SET has_ineffective_participant = FALSE
WHERE organisation_id = $1 AND has_ineffective_participant AND key = ANY (ARRAY (
    SELECT p.account_key FROM unnest($2::bigint[]) AS k(value)
    CROSS JOIN LATERAL (
        SELECT * FROM rewards_participants p WHERE p.organisation_id = $1 AND p.key = k.value OFFSET 0) AS p))",
    sqlite: "\
UPDATE accounts_receivable SET has_ineffective_participant = FALSE
WHERE organisation_id = $1 AND has_ineffective_participant AND key IN (
    SELECT p.account_key FROM json_each($2) AS k
    CROSS JOIN rewards_participants p ON p.organisation_id = $1 AND p.key = k.value)",
};

/// Has the accounts of the participants take them for effective, before a change that may take the accounts from them.
pub async fn forget_participants<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    participants: &[RowKey],
) -> Result<(), DbErr> {
    let values = vec![organisation_id.into(), key_array(connection, participants)];
    connection.execute_raw(FORGET_PARTICIPANTS.with(connection, values)).await?;
    Ok(())
}

const NOTE_INEFFECTIVE_PARTICIPANTS: Sql = Sql {
    postgres: "\
UPDATE accounts_receivable SET has_ineffective_participant = TRUE
WHERE organisation_id = $1 AND NOT has_ineffective_participant AND key = ANY (ARRAY (
    SELECT p.account_key FROM unnest($2::bigint[]) AS k(value)
    CROSS JOIN LATERAL (
        SELECT * FROM rewards_participants p
        WHERE p.organisation_id = $1 AND p.key = k.value AND p.state <> 'EFFECTIVE' OFFSET 0) AS p))",
    sqlite: "\
UPDATE accounts_receivable SET has_ineffective_participant = TRUE
WHERE organisation_id = $1 AND NOT has_ineffective_participant AND key IN (
    SELECT p.account_key FROM json_each($2) AS k
    CROSS JOIN rewards_participants p
        ON p.organisation_id = $1 AND p.key = k.value AND p.state <> 'EFFECTIVE')",
};

/// Has the accounts of the participants know which of them are not effective.
pub async fn note_ineffective_participants<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    participants: &[RowKey],
) -> Result<(), DbErr> {
    let values = vec![organisation_id.into(), key_array(connection, participants)];
    connection.execute_raw(NOTE_INEFFECTIVE_PARTICIPANTS.with(connection, values)).await?;
    Ok(())
}

/// Only rows whose flag is wrong are found, so it is turned over; imports of one organisation take turns.
const NOTE_ACCOUNT_STATES: Sql = Sql {
    postgres: "\
UPDATE rewards_participants SET has_inactive_account = NOT has_inactive_account
WHERE organisation_id = $1 AND key = ANY (ARRAY (
    SELECT p.key FROM unnest($2::bigint[]) AS k(value)
    CROSS JOIN LATERAL (
        SELECT * FROM rewards_participants p WHERE p.organisation_id = $1 AND p.key = k.value OFFSET 0) AS p
    CROSS JOIN LATERAL (
        SELECT * FROM accounts_receivable a
        WHERE a.organisation_id = $1 AND a.key = p.account_key AND p.has_inactive_account <> (a.state <> 'ACTIVE')
        OFFSET 0) AS a))",
    sqlite: "\
UPDATE rewards_participants SET has_inactive_account = NOT has_inactive_account
WHERE organisation_id = $1 AND key IN (
    SELECT p.key FROM json_each($2) AS k
    CROSS JOIN rewards_participants p ON p.organisation_id = $1 AND p.key = k.value
    CROSS JOIN accounts_receivable a
        ON a.organisation_id = $1 AND a.key = p.account_key AND p.has_inactive_account <> (a.state <> 'ACTIVE'))",
};

const NOTE_ACCOUNT_STATES_OF_ACCOUNTS: Sql = Sql {
    postgres: "\
UPDATE rewards_participants SET has_inactive_account = NOT has_inactive_account
WHERE organisation_id = $1 AND key = ANY (ARRAY (
    SELECT p.key FROM unnest($2::bigint[]) AS k(value)
    CROSS JOIN LATERAL (
        SELECT * FROM rewards_participants p WHERE p.organisation_id = $1 AND p.account_key = k.value OFFSET 0) AS p
    CROSS JOIN LATERAL (
        SELECT * FROM accounts_receivable a
        WHERE a.organisation_id = $1 AND a.key = p.account_key AND p.has_inactive_account <> (a.state <> 'ACTIVE')
        OFFSET 0) AS a))",
    sqlite: "\
UPDATE rewards_participants SET has_inactive_account = NOT has_inactive_account
WHERE organisation_id = $1 AND key IN (
    SELECT p.key FROM json_each($2) AS k
    CROSS JOIN rewards_participants p ON p.organisation_id = $1 AND p.account_key = k.value
    CROSS JOIN accounts_receivable a
        ON a.organisation_id = $1 AND a.key = p.account_key AND p.has_inactive_account <> (a.state <> 'ACTIVE'))",
};

/// Has participants know whether their accounts are inactive: those given, or those of the accounts given.
pub async fn note_account_states<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    keys: PartyKeys<'_>,
) -> Result<(), DbErr> {
    let (sql, keys) = match keys {
        PartyKeys::Participants(keys) => (NOTE_ACCOUNT_STATES, keys),
        PartyKeys::Accounts(keys) => (NOTE_ACCOUNT_STATES_OF_ACCOUNTS, keys),
    };
    let values = vec![organisation_id.into(), key_array(connection, keys)];
    connection.execute_raw(sql.with(connection, values)).await?;
    Ok(())
}
