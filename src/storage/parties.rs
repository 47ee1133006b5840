//! Who took part in an event: look-ups of accounts by their own names, by their participant's, and by access tokens.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, Value};
use serde::Deserialize;

use super::sql::{all_at_once, each_text, json};

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

/// A row of the look-up, its fields in the order of [`COLUMNS`].
#[derive(Deserialize)]
struct Found {
    arm: usize,
    given: String,
    account_key: i64,
    account_state: String,
    participant_state: Option<String>,
    token_key: Option<i64>,
    token_id: Option<String>,
    token_state: Option<String>,
    effective_from: Option<DateTime<Utc>>,
    effective_to: Option<DateTime<Utc>>,
    pass_code_hash: Option<String>,
    one_time_password_live: Option<i64>,
    one_time_password_expires_on: Option<DateTime<Utc>>,
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

/// Looks up all `names`; those that don't exist in the organisation are missing from the answer. A one-time password
/// may have been used by several tokens over the time, so a name can lead to more than one party.
pub async fn find_many_by_name<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    names: &HashSet<PartyName>,
) -> Result<HashMap<PartyName, Vec<Party>>, DbErr> {
    // In a fixed order, so that the same kinds of names give the same statement.
    let mut values_of: BTreeMap<PartyColumn, Vec<&str>> = BTreeMap::new();
    for name in names {
        values_of.entry(name.column).or_default().push(&name.value);
    }
    if values_of.is_empty() {
        return Ok(HashMap::new());
    }
    let mut asked = Vec::new();
    let mut arms = Vec::new();
    let mut parameters: Vec<Value> = vec![organisation_id.into()];
    for (column, values) in values_of {
        parameters.push(json(&values));
        let each = each_text(connection.get_database_backend(), parameters.len());
        let (columns, from) = (if column.is_of_token() { TOKEN } else { NO_TOKEN }, from(column));
        let arm = asked.len();
        arms.push(format!("SELECT {arm} AS arm, k.value AS given, {PARTY}, {columns} FROM {each} CROSS JOIN {from}"));
        asked.push(column);
    }
    let rows: Vec<Found> = all_at_once(connection, &COLUMNS, &arms.join(" UNION ALL "), parameters).await?;
    let mut found: HashMap<PartyName, Vec<Party>> = HashMap::new();
    for mut row in rows {
        if let Some(&column) = asked.get(row.arm) {
            let name = PartyName { column, value: std::mem::take(&mut row.given) };
            found.entry(name).or_default().push(row.into());
        }
    }
    Ok(found)
}

impl PartyColumn {
    fn is_of_token(self) -> bool {
        matches!(self, Self::AuthenticationCodeHash | Self::TokenIdentifier | Self::OneTimePasswordHash)
    }
}

const COLUMNS: [&str; 14] = [
    "arm",
    "given",
    "account_key",
    "account_state",
    "participant_state",
    "token_key",
    "token_id",
    "token_state",
    "effective_from",
    "effective_to",
    "pass_code_hash",
    "one_time_password_live",
    "one_time_password_expires_on",
    "one_time_password_used_by",
];

const PARTY: &str = "a.key AS account_key, a.state AS account_state, p.state AS participant_state";

const TOKEN: &str = "t.key AS token_key, t.id AS token_id, t.state AS token_state, t.effective_from, t.effective_to, \
                     t.pass_code_hash, CASE WHEN t.one_time_password_live THEN 1 END AS one_time_password_live, \
                     t.one_time_password_expires_on, t.one_time_password_used_by";

/// The columns of [`TOKEN`], empty; typed, for PostgreSQL takes an untyped NULL in a UNION for text.
const NO_TOKEN: &str = "CAST(NULL AS BIGINT) AS token_key, CAST(NULL AS TEXT) AS token_id, \
                        CAST(NULL AS TEXT) AS token_state, CAST(NULL AS TIMESTAMPTZ) AS effective_from, \
                        CAST(NULL AS TIMESTAMPTZ) AS effective_to, CAST(NULL AS TEXT) AS pass_code_hash, \
                        CAST(NULL AS INTEGER) AS one_time_password_live, \
                        CAST(NULL AS TIMESTAMPTZ) AS one_time_password_expires_on, \
                        CAST(NULL AS BIGINT) AS one_time_password_used_by";

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
