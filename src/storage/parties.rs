//! Who took part in an event: look-ups of accounts by their own names, by their participant's, and by access tokens.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, Value};
use serde::Deserialize;

use super::sql::{OfDirectory, all_at_once, each_numbered, json, json_row, position};

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
    pub is_account_active: bool,
    /// True for an account without a participant, too.
    pub is_participant_effective: bool,
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

/// A row of the look-up: where it belongs, the party, and [`TOKEN`] where an access token was asked for.
#[derive(Deserialize)]
struct Found {
    arm: usize,
    position: usize,
    account_key: i64,
    account_inactive: i64,
    participant_ineffective: i64,
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
        Self {
            account_key: row.account_key,
            is_account_active: row.account_inactive == 0,
            is_participant_effective: row.participant_ineffective == 0,
            token,
        }
    }
}

/// Looks up all `names`; answers the parties of each, none where nothing in the organisation has the name. A one-time
/// password may have been used by several tokens over the time, so a name can lead to more than one party.
pub async fn find_many_by_name<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    names: &[&PartyName],
) -> Result<OfDirectory<Vec<Vec<Party>>>, DbErr> {
    let mut found = vec![Vec::new(); names.len()];
    // In a fixed order, so that the same kinds of names give the same statement.
    let mut asked: BTreeMap<PartyColumn, Vec<usize>> = BTreeMap::new();
    for (index, name) in names.iter().enumerate() {
        asked.entry(name.column).or_default().push(index);
    }
    if asked.is_empty() {
        return Ok(OfDirectory { found, version: None });
    }
    let backend = connection.get_database_backend();
    let mut parameters: Vec<Value> = vec![organisation_id.into()];
    let mut arms = Vec::new();
    for (arm, (column, indexes)) in asked.iter().enumerate() {
        let values: Vec<&str> = indexes.iter().map(|index| names[*index].value.as_str()).collect();
        parameters.push(json(&values));
        let arm = arm.to_string();
        let mut columns = vec![arm.as_str(), position(backend)];
        let (party, from) = source(*column);
        columns.push(&party);
        if column.is_of_token() {
            columns.extend(TOKEN);
        }
        let (row, each) = (json_row(backend, &columns), each_numbered(backend, parameters.len()));
        arms.push(format!("SELECT {row} AS row FROM {each} CROSS JOIN {from}"));
    }
    let asked: Vec<Vec<usize>> = asked.into_values().collect();
    let rows = all_at_once::<Found, _>(connection, &arms.join(" UNION ALL "), parameters).await?;
    for row in rows.found {
        let index = asked.get(row.arm).and_then(|indexes| indexes.get(row.position));
        if let Some(parties) = index.and_then(|index| found.get_mut(*index)) {
            parties.push(row.into());
        }
    }
    Ok(OfDirectory { found, version: rows.version })
}

impl PartyColumn {
    fn is_of_token(self) -> bool {
        matches!(self, Self::AuthenticationCodeHash | Self::TokenIdentifier | Self::OneTimePasswordHash)
    }
}

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

/// The state in which an account may take part in an event.
pub const ACTIVE: &str = "ACTIVE";
/// The state in which a participant, and an access token, may.
pub const EFFECTIVE: &str = "EFFECTIVE";

/// The party's columns of [`Found`], and where they come from. An account knows whether its participant is ineffective,
/// and a participant whether its account is inactive, so that one look-up finds a name.
fn source(column: PartyColumn) -> (String, String) {
    let of_account =
        format!("a.key, CAST(a.state <> '{ACTIVE}' AS INTEGER), CAST(a.has_ineffective_participant AS INTEGER)");
    let of_participant =
        format!("p.account_key, CAST(p.has_inactive_account AS INTEGER), CAST(p.state <> '{EFFECTIVE}' AS INTEGER)");
    let by_account = |name: &str| format!("accounts_receivable a WHERE a.organisation_id = $1 AND a.{name} = k.value");
    let by_participant =
        |name: &str| format!("rewards_participants p WHERE p.organisation_id = $1 AND p.{name} = k.value");
    let by_token = |name: &str| {
        format!(
            "access_tokens t CROSS JOIN rewards_participants p \
             WHERE t.organisation_id = $1 AND t.{name} = k.value \
             AND p.organisation_id = $1 AND p.key = t.participant_key"
        )
    };
    match column {
        PartyColumn::AccountId => (of_account, by_account("id")),
        PartyColumn::AccountNumber => (of_account, by_account("number")),
        PartyColumn::ParticipantId => (of_participant, by_participant("id")),
        PartyColumn::ParticipantNumber => (of_participant, by_participant("number")),
        PartyColumn::AuthenticationCodeHash => (of_participant, by_token("authentication_code_hash")),
        PartyColumn::TokenIdentifier => (of_participant, by_token("identifier")),
        PartyColumn::OneTimePasswordHash => (of_participant, by_token("one_time_password_hash")),
    }
}
