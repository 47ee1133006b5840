//! The directory's entries that events name, where they happened and what kind they are: look-ups by id, name and code,
//! all kinds in one statement.

use sea_orm::{ConnectionTrait, DbErr};

use super::sql::{Columns, Lists, Sql, Versioned};
use crate::id::{EntryKey, OrganisationId};

/// The columns by which an entry can be found, in the order of the parameters of [`FIND_ENTRIES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryColumn {
    BusinessUnitId,
    BusinessUnitName,
    BusinessUnitCode,
    UnitId,
    UnitName,
    UnitAlternativeCode,
    TapId,
    TapName,
    TapCode,
    DeviceId,
    DeviceCode,
    ClassificationId,
    ClassificationName,
    ClassificationAlternativeCode,
}

impl EntryColumn {
    const COUNT: usize = Self::ClassificationAlternativeCode as usize + 1;
}

/// A place or a classification, with the places that it implies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: EntryKey,
    /// Its business unit: itself, its own, or that of its unit.
    pub business_unit_key: Option<EntryKey>,
    /// Its unit: itself, or its own.
    pub unit_key: Option<EntryKey>,
    /// Its TAP: itself, or the default TAP of its unit, or else of its business unit.
    pub tap_key: Option<EntryKey>,
}

const FIND_ENTRIES: Sql = Sql {
    postgres: include_str!("sql/find_directory_entries.postgres.sql"),
    sqlite: include_str!("sql/find_directory_entries.sqlite.sql"),
};

/// Looks up what has each of the values in its column, in the order of `names`.
pub async fn find_many_by_name<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    names: &[(EntryColumn, &str)],
) -> Result<Versioned<Vec<Option<Entry>>>, DbErr> {
    let mut found = vec![None; names.len()];
    if names.is_empty() {
        return Ok(Versioned { found, version: None });
    }
    let lists: Lists<{ EntryColumn::COUNT }> =
        Lists::of(names.iter().map(|(column, value)| (*column as usize, *value)));
    let columns = Columns::find(connection, lists.asked_by(FIND_ENTRIES, connection, organisation_id)).await?;
    let keys = |name| columns.get::<Option<i64>>(name);
    let names = columns.get::<i64>("list")?.into_iter().zip(columns.get::<i64>("position")?);
    let entries = columns.get::<i64>("key")?.into_iter().zip(keys("business_unit_key")?);
    let rest = keys("unit_key")?.into_iter().zip(keys("tap_key")?);
    for (((list, position), (key, business_unit_key)), (unit_key, tap_key)) in names.zip(entries).zip(rest) {
        if let Some(entry) = lists.index(list, position).and_then(|index| found.get_mut(index)) {
            *entry = Some(Entry {
                key: EntryKey(key),
                business_unit_key: business_unit_key.map(EntryKey),
                unit_key: unit_key.map(EntryKey),
                tap_key: tap_key.map(EntryKey),
            });
        }
    }
    Ok(Versioned { found, version: Some(columns.value("version")?) })
}
