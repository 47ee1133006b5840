//! Who took part in an event: look-ups of accounts by their own names, by their participant's, and by access tokens.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Value};
use serde::{Deserialize, Deserializer};

use super::sql::{OfDirectory, columns_at_once, each_numbered, join, json_row, position, texts};

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
#[derive(Clone, Debug, Deserialize)]
pub struct Token {
    pub key: i64,
    pub id: String,
    pub state: String,
    pub effective_from: Option<DateTime<Utc>>,
    pub effective_to: Option<DateTime<Utc>>,
    pub pass_code_hash: Option<String>,
    #[serde(deserialize_with = "is_one")]
    pub is_one_time_password_live: bool,
    pub one_time_password_expires_on: Option<DateTime<Utc>>,
    pub one_time_password_used_by: Option<i64>,
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
    let mut asked_before = 0;
    for (column, indexes) in &asked {
        let values: Vec<&str> = indexes.iter().map(|index| names[*index].value.as_str()).collect();
        parameters.extend([texts(backend, &values), asked_before.into()]);
        asked_before += indexes.len() as i64;
        let n = parameters.len();
        let (each, offset) = (each_numbered(backend, n - 1), position(backend));
        let (party, joins) = source(backend, *column);
        let token = if column.is_of_token() { json_row(backend, &TOKEN) } else { "''".to_owned() };
        arms.push(format!("SELECT {offset} + ${n} AS position, {party}, {token} AS token FROM {each} {joins}"));
    }
    let columns = ["position", "account_key", "obstacles", "token"];
    let rows = columns_at_once(connection, &arms.join(" UNION ALL "), &columns, parameters).await?;
    let numbers = |column| rows.found.get::<i64>(column);
    let keys = numbers("position")?.into_iter().zip(numbers("account_key")?);
    let states = numbers("obstacles")?.into_iter().zip(rows.found.get::<String>("token")?);
    let indexes: Vec<usize> = asked.into_values().flatten().collect();
    for ((position, account_key), (obstacles, token)) in keys.zip(states) {
        let index = usize::try_from(position).ok().and_then(|position| indexes.get(position));
        let Some(parties) = index.and_then(|index| found.get_mut(*index)) else { continue };
        parties.push(Party {
            account_key,
            is_account_active: obstacles & ACCOUNT_INACTIVE == 0,
            is_participant_effective: obstacles & PARTICIPANT_INEFFECTIVE == 0,
            token: token_of(&token)?,
        });
    }
    Ok(OfDirectory { found, version: rows.version })
}

impl PartyColumn {
    fn is_of_token(self) -> bool {
        matches!(self, Self::AuthenticationCodeHash | Self::TokenIdentifier | Self::OneTimePasswordHash)
    }
}

/// The columns of [`Token`].
const TOKEN: [&str; 9] = [
    "t.key",
    "t.id",
    "t.state",
    "t.effective_from",
    "t.effective_to",
    "t.pass_code_hash",
    "CASE WHEN t.one_time_password_live THEN 1 ELSE 0 END",
    "t.one_time_password_expires_on",
    "t.one_time_password_used_by",
];

/// SQLite has numbers for truth values.
fn is_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(i64::deserialize(deserializer)? == 1)
}

fn token_of(row: &str) -> Result<Option<Token>, DbErr> {
    if row.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(row).map(Some).map_err(|error| DbErr::Json(error.to_string()))
}

/// The state in which an account may take part in an event.
pub const ACTIVE: &str = "ACTIVE";
/// The state in which a participant, and an access token, may.
pub const EFFECTIVE: &str = "EFFECTIVE";

/// What keeps a party from taking part in an event: a sum of these.
const ACCOUNT_INACTIVE: i64 = 1;
const PARTICIPANT_INEFFECTIVE: i64 = 2;

/// The key of a party's account, its obstacles, and where they come from. An account knows whether its participant is
/// ineffective, and a participant whether its account is inactive, so that one look-up finds a name.
fn source(backend: DbBackend, column: PartyColumn) -> (String, String) {
    let party = |account_key: &str, inactive: &str, ineffective: &str| {
        format!(
            "{account_key} AS account_key, CAST({ACCOUNT_INACTIVE} * CAST({inactive} AS INTEGER) \
             + {PARTICIPANT_INEFFECTIVE} * CAST({ineffective} AS INTEGER) AS BIGINT) AS obstacles"
        )
    };
    let of_account = party("a.key", &format!("a.state <> '{ACTIVE}'"), "a.has_ineffective_participant");
    let of_participant = party("p.account_key", "p.has_inactive_account", &format!("p.state <> '{EFFECTIVE}'"));
    let by_account = |name: &str| join(backend, "accounts_receivable", "a", &format!("a.{name} = k.value"));
    let participants = |condition: &str| join(backend, "rewards_participants", "p", condition);
    let by_participant = |name: &str| participants(&format!("p.{name} = k.value"));
    let by_token = |name: &str| {
        let tokens = join(backend, "access_tokens", "t", &format!("t.{name} = k.value"));
        format!("{tokens} {}", participants("p.key = t.participant_key"))
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
