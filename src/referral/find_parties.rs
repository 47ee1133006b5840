//! What parties are named by, looked up: all names of some calls at once.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
};

use futures_util::future::try_join_all;
use sea_orm::{ConnectionTrait, DbErr};

use super::given::{GivenParty, PartyBy, PartyKind};
use crate::{
    id::OrganisationId,
    secret::{CodeHasher, Hashes},
    storage::parties::{self, Party, PartyColumn},
};

/// What parties lead to.
pub struct Parties {
    /// What each name leads to, of which there are fewer than parties.
    found: Vec<Vec<Party>>,
    /// The position of each party's name.
    named: Vec<usize>,
    /// The versions of the directory that they are from.
    pub versions: Vec<i64>,
}

impl Parties {
    /// What each of the parties given leads to, in their order.
    pub fn of_each(&self) -> impl Iterator<Item = &[Party]> {
        self.named.iter().map(|index| self.found[*index].as_slice())
    }
}

/// In how many statements the parties of calls are looked up at once, an equal part in each: where there are many, reading
/// their names from the indexes is what takes the time, and the database has more than one core.
pub const PARTY_STATEMENTS: usize = 2;
/// So many names at least are worth a statement.
const NAMES_OF_A_STATEMENT: usize = 50;

/// A value looked for in a column.
type PartyName<'a> = (PartyColumn, Cow<'a, str>);

/// Looks up what the parties given lead to, in so many statements at once.
pub async fn find_parties<'a, C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    hasher: &CodeHasher,
    given: impl Iterator<Item = &'a GivenParty>,
    statements: usize,
) -> Result<Parties, DbErr> {
    let mut indexes: HashMap<PartyName, usize> = HashMap::new();
    // While there are two hash keys: the other hashes of codes, each with its column and the index of its name.
    let mut old_hashes: Vec<(PartyColumn, String, usize)> = Vec::new();
    let named: Vec<usize> = given
        .map(|party| {
            let next = indexes.len();
            let (name, old_hash) = name_of(party, organisation_id, hasher);
            let column = name.0;
            match indexes.entry(name) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    old_hashes.extend(old_hash.map(|hash| (column, hash, next)));
                    *new.insert(next)
                }
            }
        })
        .collect();
    let mut names: Vec<(PartyName, usize)> = indexes.into_iter().collect();
    names.sort_unstable_by_key(|(_, index)| *index);
    let count = names.len();
    let names = names.iter().map(|((column, value), _)| (*column, value.as_ref()));
    let names: Vec<(PartyColumn, &str)> =
        names.chain(old_hashes.iter().map(|(column, hash, _)| (*column, hash.as_str()))).collect();
    let parts = names.chunks(names.len().div_ceil(statements).max(NAMES_OF_A_STATEMENT));
    let parts = parts.map(|names| parties::find_many_by_name(connection, organisation_id, names));
    let mut found = Vec::with_capacity(names.len());
    let mut versions = Vec::new();
    for part in try_join_all(parts).await? {
        found.extend(part.found);
        versions.extend(part.version);
    }
    for ((.., index), parties) in old_hashes.iter().zip(found.split_off(count)) {
        found[*index].extend(parties.into_iter().map(Party::found_by_old_hash));
    }
    // An accounts receivable identifier that names no account may name its participant.
    let (missing, of_participants): (Vec<usize>, Vec<(PartyColumn, &str)>) = (0..count)
        .filter(|index| found[*index].is_empty())
        .filter_map(|index| Some((index, (participants_column(names[index].0)?, names[index].1))))
        .unzip();
    let participants = parties::find_many_by_name(connection, organisation_id, &of_participants).await?;
    for (index, parties) in missing.into_iter().zip(participants.found) {
        found[index] = parties;
    }
    versions.extend(participants.version);
    Ok(Parties { found, named, versions })
}

/// What to look for first; and the hash of a code by the other key, where there is one.
fn name_of<'a>(
    given: &'a GivenParty,
    organisation_id: OrganisationId,
    hasher: &CodeHasher,
) -> (PartyName<'a>, Option<String>) {
    let of_code = |column, Hashes { first, second }| ((column, first.into()), second);
    let name = match (&given.by, given.kind) {
        (PartyBy::Id(id), PartyKind::AccountsReceivable) => (PartyColumn::AccountId, id.into()),
        (PartyBy::Id(id), PartyKind::RewardsParticipant) => (PartyColumn::ParticipantId, id.into()),
        (PartyBy::Number(number), PartyKind::AccountsReceivable) => (PartyColumn::AccountNumber, number.into()),
        (PartyBy::Number(number), PartyKind::RewardsParticipant) => (PartyColumn::ParticipantNumber, number.into()),
        (PartyBy::AuthenticationCode(code), _) => {
            let hashes = hasher.authentication_code(organisation_id, code);
            return of_code(PartyColumn::AuthenticationCodeHash, hashes);
        }
        (PartyBy::PassCode { identifier, .. }, _) => (PartyColumn::AccessTokenIdentifier, identifier.into()),
        (PartyBy::OneTimePassword(password), _) => {
            return of_code(PartyColumn::OneTimePasswordHash, hasher.one_time_password(organisation_id, password));
        }
    };
    (name, None)
}

/// The participant's column for what no account has in its own.
fn participants_column(column: PartyColumn) -> Option<PartyColumn> {
    match column {
        PartyColumn::AccountId => Some(PartyColumn::ParticipantId),
        PartyColumn::AccountNumber => Some(PartyColumn::ParticipantNumber),
        _ => None,
    }
}
