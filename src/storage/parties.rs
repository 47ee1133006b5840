//! Who took part in an event: look-ups of accounts by their own names, by their participant's, and by access tokens.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, Value};
use serde::Deserialize;

use super::sql::{all_at_once, each_numbered, json, json_row, position};

/// The columns by which an account can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartyColumn {
    AccountId,
    AccountNumber,
    ParticipantId,
    ParticipantNumber,
    /// Hash of the authentication code of an access token.
    AuthenticationCodeHash,
    /// Identifier of an access token.
    TokenIdentifier,
    /// Hash of a one-time password of an access token.
    OneTimePasswordHash,
}

/// A value looked for in a column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartyName {
    pub column: PartyColumn,
    pub value: String,
}

/// An account, with its participant and, where one was asked for, the access token that led to it.
#[derive(Clone, Debug)]
pub struct Party {
    pub account_key: i64,
    pub account_state: String,
    /// `None` for an account without a participant.
    pub participant_state: Option<String>,
    pub token: Option<Token>,
}

/// What of an access token decides whether it identifies.
#[derive(Clone, Debug)]
pub struct Token {
    pub key: i64,
    pub id: String,
    pub state: String,
    pub effective_from: Option<DateTime<Utc>>,
    pub effective_to: Option<DateTime<Utc>>,
    pub pass_code_hash: Option<String>,
    pub is_one_time_password_live: bool,
    pub one_time_password_expires_on: Option<DateTime<Utc>>,
    pub one_time_password_used_by: Option<i64>,
}

/// A row of the look-up: [`PARTY`], and [`TOKEN`] where an access token was asked for.
#[derive(Deserialize)]
struct Found {
    arm: usize,
    position: usize,
    account_key: i64,
    account_state: String,
    participant_state: Option<String>,
    #[serde(default)]
    token_key: Option<i64>,
    #[serde(default)]
    token_id: Option<String>,
    #[serde(default)]
    token_state: Option<String>,
    #[serde(default)]
    effective_from: Option<DateTime<Utc>>,
    #[serde(default)]
    effective_to: Option<DateTime<Utc>>,
    #[serde(default)]
    pass_code_hash: Option<String>,
    #[serde(default)]
    one_time_password_live: Option<i64>,
    #[serde(default)]
    one_time_password_expires_on: Option<DateTime<Utc>>,
    #[serde(default)]
    one_time_password_used_by: Option<i64>,
}

impl From<Found> for Party {
    fn from(row: Found) -> Self {
        let token = match (row.token_key, row.token_id, row.token_state) {
            (Some(key), Some(id), Some(state)) => Some(Token {
                key,
                id,
                state,
                effective_from: row.effective_from,
                effective_to: row.effective_to,
                pass_code_hash: row.pass_code_hash,
                is_one_time_password_live: row.one_time_password_live.is_some(),
                one_time_password_expires_on: row.one_time_password_expires_on,
                one_time_password_used_by: row.one_time_password_used_by,
            }),
            _ => None,
        };
        let Found { account_key, account_state, participant_state, .. } = row;
        Self { account_key, account_state, participant_state, token }
    }
}

/// Looks up all `names`; answers the parties of each, none where nothing in the organisation has the name. A one-time
/// password may have been used by several tokens over the time, so a name can lead to more than one party.
pub async fn find_many_by_name<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    names: &[&PartyName],
) -> Result<Vec<Vec<Party>>, DbErr> {
    let mut found = vec![Vec::new(); names.len()];
    // In a fixed order, so that the same kinds of names give the same statement.
    let mut asked: BTreeMap<PartyColumn, Vec<usize>> = BTreeMap::new();
    for (index, name) in names.iter().enumerate() {
        asked.entry(name.column).or_default().push(index);
    }
    if asked.is_empty() {
        return Ok(found);
    }
    let backend = connection.get_database_backend();
    let mut parameters: Vec<Value> = vec![organisation_id.into()];
    let mut arms = Vec::new();
    for (arm, (column, indexes)) in asked.iter().enumerate() {
        let values: Vec<&str> = indexes.iter().map(|index| names[*index].value.as_str()).collect();
        parameters.push(json(&values));
        let arm = arm.to_string();
        let mut columns = vec![arm.as_str(), position(backend)];
        columns.extend(PARTY);
        if column.is_of_token() {
            columns.extend(TOKEN);
        }
        let (row, each, from) = (json_row(backend, &columns), each_numbered(backend, parameters.len()), from(*column));
        arms.push(format!("SELECT {row} AS row FROM {each} CROSS JOIN {from}"));
    }
    let asked: Vec<Vec<usize>> = asked.into_values().collect();
    for row in all_at_once::<Found, _>(connection, &arms.join(" UNION ALL "), parameters).await? {
        let index = asked.get(row.arm).and_then(|indexes| indexes.get(row.position));
        if let Some(parties) = index.and_then(|index| found.get_mut(*index)) {
            parties.push(row.into());
        }
    }
    Ok(found)
}

impl PartyColumn {
    fn is_of_token(self) -> bool {
        matches!(self, Self::AuthenticationCodeHash | Self::TokenIdentifier | Self::OneTimePasswordHash)
    }
}

const PARTY: [&str; 3] = ["a.key", "a.state", "p.state"];

const TOKEN: [&str; 9] = [
    "t.key",
    "t.id",
    "t.state",
    "t.effective_from",
    "t.effective_to",
    "t.pass_code_hash",
    "CASE WHEN t.one_time_password_live THEN 1 END",
    "t.one_time_password_expires_on",
    "t.one_time_password_used_by",
];

/// What to join to the keys. CROSS JOIN in front of it keeps SQLite from scanning the table for the keys.
fn from(column: PartyColumn) -> String {
    let by_account = |name: &str| {
        format!(
            "accounts_receivable a \
             LEFT JOIN rewards_participants p ON p.organisation_id = $1 AND p.account_key = a.key \
             WHERE a.organisation_id = $1 AND a.{name} = k.value"
        )
    };
    let by_participant = |name: &str| {
        format!(
            "rewards_participants p CROSS JOIN accounts_receivable a \
             WHERE p.organisation_id = $1 AND p.{name} = k.value \
             AND a.organisation_id = $1 AND a.key = p.account_key"
        )
    };
    let by_token = |name: &str| {
        format!(
            "access_tokens t CROSS JOIN rewards_participants p CROSS JOIN accounts_receivable a \
             WHERE t.organisation_id = $1 AND t.{name} = k.value \
             AND p.organisation_id = $1 AND p.key = t.participant_key \
             AND a.organisation_id = $1 AND a.key = p.account_key"
        )
    };
    match column {
        PartyColumn::AccountId => by_account("id"),
        PartyColumn::AccountNumber => by_account("number"),
        PartyColumn::ParticipantId => by_participant("id"),
        PartyColumn::ParticipantNumber => by_participant("number"),
        PartyColumn::AuthenticationCodeHash => by_token("authentication_code_hash"),
        PartyColumn::TokenIdentifier => by_token("identifier"),
        PartyColumn::OneTimePasswordHash => by_token("one_time_password_hash"),
    }
}
