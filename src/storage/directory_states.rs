//! Changes of the states of rows, one at a time.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr};

use super::{
    connect::Database,
    counters::{self, Counter},
    party_states::{self, PartyKeys},
    sql::Sql,
    transaction::Transaction,
};
use crate::{
    error::Result,
    id::{OrganisationId, RowKey},
};

/// Begins a change of the directory, which waits for its turn among those of the organisation, and lets calls that have
/// looked it up before know.
pub async fn begin_change(database: &Database, organisation_id: OrganisationId) -> Result<Transaction> {
    let transaction = database.begin().await?;
    counters::take(&transaction, organisation_id, Counter::DirectoryVersion, 1).await?;
    Ok(transaction)
}

const SET_ACCOUNT: Sql =
    Sql::of_both("UPDATE accounts_receivable SET state = $3 WHERE organisation_id = $1 AND key = $2");

/// Sets the state of an account, and has its participant know.
pub async fn set_account<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    key: RowKey,
    state: &str,
) -> Result<(), DbErr> {
    let values = vec![organisation_id.into(), key.into(), state.into()];
    connection.execute_raw(SET_ACCOUNT.with(connection, values)).await?;
    party_states::note_account_states(connection, organisation_id, PartyKeys::Accounts(&[key])).await
}

const SET_PARTICIPANT: Sql =
    Sql::of_both("UPDATE rewards_participants SET state = $3 WHERE organisation_id = $1 AND key = $2");

/// Sets the state of a participant, and has its account know.
pub async fn set_participant<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    key: RowKey,
    state: &str,
) -> Result<(), DbErr> {
    party_states::forget_participants(connection, organisation_id, &[key]).await?;
    let values = vec![organisation_id.into(), key.into(), state.into()];
    connection.execute_raw(SET_PARTICIPANT.with(connection, values)).await?;
    party_states::note_ineffective_participants(connection, organisation_id, &[key]).await
}

const SET_ACCESS_TOKEN: Sql =
    Sql::of_both("UPDATE access_tokens SET state = $3, effective_to = $4 WHERE organisation_id = $1 AND key = $2");

/// Sets the state and the end of an access token.
pub async fn set_access_token<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    key: RowKey,
    state: &str,
    effective_to: Option<DateTime<Utc>>,
) -> Result<(), DbErr> {
    let values = vec![organisation_id.into(), key.into(), state.into(), effective_to.into()];
    connection.execute_raw(SET_ACCESS_TOKEN.with(connection, values)).await?;
    Ok(())
}
