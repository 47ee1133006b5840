//! Who took part in an event: look-ups of accounts by their own names, by their participant's, and by access tokens.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr};
use serde::{Deserialize, Deserializer};

use super::sql::{Columns, Lists, Sql, Versioned, read_json};
use crate::id::{AccessTokenKey, AccountKey, EventNumber, OrganisationId};

/// The columns by which an account can be found, in the order of the parameters of [`FIND_PARTIES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartyColumn {
    AccountId,
    AccountNumber,
    ParticipantId,
    ParticipantNumber,
    /// Hash of the authentication code of an access token.
    AuthenticationCodeHash,
    /// Identifier of an access token.
    AccessTokenIdentifier,
    /// Hash of a one-time password of an access token.
    OneTimePasswordHash,
}

impl PartyColumn {
    const COUNT: usize = Self::OneTimePasswordHash as usize + 1;
}

/// An account, with its participant and, where one was asked for, the access token that led to it.
#[derive(Clone, Debug)]
pub struct Party {
    pub account_key: AccountKey,
    pub is_account_active: bool,
    /// True for an account without a participant, too.
    pub is_participant_effective: bool,
    pub token: Option<AccessToken>,
}

impl Party {
    /// The same, found by the hash of a code that is not the newest key's.
    pub fn found_by_old_hash(mut self) -> Self {
        self.token.iter_mut().for_each(|token| token.is_by_old_hash = true);
        self
    }
}

/// What of an access token decides whether it identifies.
#[derive(Clone, Debug, Deserialize)]
pub struct AccessToken {
    pub key: AccessTokenKey,
    pub id: String,
    pub state: String,
    pub effective_from: Option<DateTime<Utc>>,
    pub effective_to: Option<DateTime<Utc>>,
    pub pass_code_hash: Option<String>,
    #[serde(deserialize_with = "is_one")]
    pub is_one_time_password_live: bool,
    pub one_time_password_expires_on: Option<DateTime<Utc>>,
    pub one_time_password_used_by: Option<EventNumber>,
    /// Whether it was found by the hash that is not the newest key's.
    #[serde(skip)]
    pub is_by_old_hash: bool,
}

/// The state in which an access token may identify.
pub const EFFECTIVE: &str = "EFFECTIVE";

const FIND_PARTIES: Sql = Sql {
    postgres: include_str!("sql/find_parties.postgres.sql"),
    sqlite: include_str!("sql/find_parties.sqlite.sql"),
};

const ACCOUNT_INACTIVE: i64 = 1;
const PARTICIPANT_INEFFECTIVE: i64 = 2;

/// Looks up all `names`; answers the parties of each, none where nothing in the organisation has the name. A one-time
/// password may have been used by several tokens over the time, so a name can lead to more than one party.
pub async fn find_many_by_name<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    names: &[(PartyColumn, &str)],
) -> Result<Versioned<Vec<Vec<Party>>>, DbErr> {
    let mut found = vec![Vec::new(); names.len()];
    if names.is_empty() {
        return Ok(Versioned { found, version: None });
    }
    let lists: Lists<{ PartyColumn::COUNT }> =
        Lists::of(names.iter().map(|(column, value)| (*column as usize, *value)));
    let columns = Columns::find(connection, lists.asked_by(FIND_PARTIES, connection, organisation_id)).await?;
    let numbers = |name| columns.get::<i64>(name);
    let places = numbers("list")?.into_iter().zip(numbers("position")?);
    let states = numbers("obstacles")?.into_iter().zip(columns.get::<String>("token")?);
    for (((list, position), account_key), (obstacles, token)) in places.zip(numbers("account_key")?).zip(states) {
        let parties = lists.index(list, position).and_then(|index| found.get_mut(index));
        let Some(parties) = parties else { continue };
        parties.push(Party {
            account_key: AccountKey(account_key),
            is_account_active: obstacles & ACCOUNT_INACTIVE == 0,
            is_participant_effective: obstacles & PARTICIPANT_INEFFECTIVE == 0,
            token: if token.is_empty() { None } else { Some(read_json(&token)?) },
        });
    }
    Ok(Versioned { found, version: Some(columns.value("version")?) })
}

/// SQLite has numbers for truth values.
fn is_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(i64::deserialize(deserializer)? == 1)
}
