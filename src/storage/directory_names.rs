//! What callers know the rows of the directory by that events refer to by their keys.

use std::collections::{HashMap, HashSet};

use sea_orm::{ConnectionTrait, DbErr, Value};

use super::{
    entity::referral_event::Model,
    sql::{Columns, Sql, key_array},
};

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
    pub classifications: HashMap<i64, DirectoryName>,
    pub business_units: HashMap<i64, DirectoryName>,
    pub units: HashMap<i64, DirectoryName>,
    pub taps: HashMap<i64, DirectoryName>,
    pub devices: HashMap<i64, DirectoryName>,
    pub accounts: HashMap<i64, DirectoryName>,
    pub participants: HashMap<i64, DirectoryName>,
}

const FIND_NAMES: Sql = Sql {
    postgres: include_str!("sql/find_directory_names.postgres.sql"),
    sqlite: include_str!("sql/find_directory_names.sqlite.sql"),
};

/// The names of all that the events refer to, in one statement.
pub async fn find_names_of<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    events: &[Model],
) -> Result<DirectoryNames, DbErr> {
    let mut names = DirectoryNames::default();
    if events.is_empty() {
        return Ok(names);
    }
    let keys = |of: fn(&Model) -> Option<i64>| {
        let distinct: HashSet<i64> = events.iter().filter_map(of).collect();
        key_array(connection, &distinct.into_iter().collect::<Vec<i64>>())
    };
    let accounts: HashSet<i64> =
        events.iter().flat_map(|event| [event.referred_account_key, event.referred_by_account_key]).collect();
    let values: Vec<Value> = vec![
        organisation_id.into(),
        keys(|event| event.classification_key),
        keys(|event| event.performed_by_business_unit_key),
        keys(|event| event.performed_by_unit_key),
        keys(|event| event.performed_by_tap_key),
        keys(|event| event.performed_by_device_key),
        key_array(connection, &accounts.into_iter().collect::<Vec<i64>>()),
    ];
    let columns = Columns::find(connection, FIND_NAMES.with(connection, values)).await?;
    let rows = columns.get::<i64>("list")?.into_iter().zip(columns.get::<i64>("key")?);
    let texts = columns.get::<String>("id")?.into_iter().zip(columns.get::<String>("code")?);
    let mut lists = [
        &mut names.classifications,
        &mut names.business_units,
        &mut names.units,
        &mut names.taps,
        &mut names.devices,
        &mut names.accounts,
        &mut names.participants,
    ];
    for (((list, key), (id, code)), name) in rows.zip(texts).zip(columns.get::<Option<String>>("name")?) {
        if let Some(list) = lists.get_mut(list as usize) {
            list.insert(key, DirectoryName { id, code, name });
        }
    }
    Ok(names)
}
