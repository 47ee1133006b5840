//! The names by which callers know what an event's keys refer to.

use std::collections::{HashMap, HashSet};

use sea_orm::{ConnectionTrait, DbErr, Value};

use super::{
    entity::referral_event::Model,
    sql::{Columns, Sql, key_array},
};
use crate::id::{AccountKey, EntryKey, OrganisationId};

/// A row of the directory as callers know it.
#[derive(Clone, Debug)]
pub struct DirectoryName {
    pub id: String,
    /// Its code, its alternative code or its number, whichever its kind has.
    pub code: String,
    pub name: Option<String>,
}

/// The names of rows, by their keys; those of participants by the keys of their accounts.
#[derive(Debug, Default)]
pub struct DirectoryNames {
    pub classifications: HashMap<EntryKey, DirectoryName>,
    pub business_units: HashMap<EntryKey, DirectoryName>,
    pub units: HashMap<EntryKey, DirectoryName>,
    pub taps: HashMap<EntryKey, DirectoryName>,
    pub devices: HashMap<EntryKey, DirectoryName>,
    pub accounts: HashMap<AccountKey, DirectoryName>,
    pub participants: HashMap<AccountKey, DirectoryName>,
}

/// Each key is looked up by itself: see `sql/find_directory_entries.postgres.sql`.
const FIND_NAMES: Sql = Sql {
    postgres: include_str!("sql/find_directory_names.postgres.sql"),
    sqlite: include_str!("sql/find_directory_names.sqlite.sql"),
};

/// The names of all that the events refer to, in one statement.
pub async fn find_names_of<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    events: &[Model],
) -> Result<DirectoryNames, DbErr> {
    if events.is_empty() {
        return Ok(DirectoryNames::default());
    }
    let keys = |of: fn(&Model) -> Option<EntryKey>| {
        let distinct: HashSet<EntryKey> = events.iter().filter_map(of).collect();
        key_array(connection, &distinct.into_iter().collect::<Vec<EntryKey>>())
    };
    let accounts: HashSet<AccountKey> =
        events.iter().flat_map(|event| [event.referred_account_key, event.referred_by_account_key]).collect();
    let values: Vec<Value> = vec![
        organisation_id.into(),
        keys(|event| event.classification_key),
        keys(|event| event.performed_by_business_unit_key),
        keys(|event| event.performed_by_unit_key),
        keys(|event| event.performed_by_tap_key),
        keys(|event| event.performed_by_device_key),
        key_array(connection, &accounts.into_iter().collect::<Vec<AccountKey>>()),
    ];
    find_names(connection, values).await
}

/// The names of accounts and of their participants.
pub async fn find_party_names<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    accounts: &[AccountKey],
) -> Result<DirectoryNames, DbErr> {
    if accounts.is_empty() {
        return Ok(DirectoryNames::default());
    }
    let none = || key_array::<_, EntryKey>(connection, &[]);
    let accounts = key_array(connection, accounts);
    find_names(connection, vec![organisation_id.into(), none(), none(), none(), none(), none(), accounts]).await
}

async fn find_names<C: ConnectionTrait>(connection: &C, values: Vec<Value>) -> Result<DirectoryNames, DbErr> {
    let mut names = DirectoryNames::default();
    let columns = Columns::find(connection, FIND_NAMES.with(connection, values)).await?;
    let rows = columns.get::<i64>("list")?.into_iter().zip(columns.get::<i64>("key")?);
    let texts = columns.get::<String>("id")?.into_iter().zip(columns.get::<String>("code")?);
    for (((list, key), (id, code)), name) in rows.zip(texts).zip(columns.get::<Option<String>>("name")?) {
        let name = DirectoryName { id, code, name };
        match list {
            0 => _ = names.classifications.insert(EntryKey(key), name),
            1 => _ = names.business_units.insert(EntryKey(key), name),
            2 => _ = names.units.insert(EntryKey(key), name),
            3 => _ = names.taps.insert(EntryKey(key), name),
            4 => _ = names.devices.insert(EntryKey(key), name),
            5 => _ = names.accounts.insert(AccountKey(key), name),
            6 => _ = names.participants.insert(AccountKey(key), name),
            _ => {}
        }
    }
    Ok(names)
}
