//! Where an event happened and what kind it is: look-ups by id, name and code, all kinds in one statement.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Value};

use super::sql::{OfDirectory, all_at_once, each_text, join, json, json_row, left_join};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlaceKind {
    BusinessUnit,
    Unit,
    TransactionAcquiringPoint,
    Device,
    Classification,
}

/// The columns by which a caller may name a place. `Code` is the alternative code of units and classifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlaceColumn {
    Id,
    Name,
    Code,
}

/// The name a caller gave: which kind of place, by which column, what value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PlaceName {
    pub kind: PlaceKind,
    pub column: PlaceColumn,
    pub value: String,
}

/// A row of the directory, with the places that it implies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub key: i64,
    /// Its business unit: itself, its own, or that of its unit.
    pub business_unit_key: Option<i64>,
    /// Its unit: itself, or its own.
    pub unit_key: Option<i64>,
    /// Its TAP: itself, or the default TAP of its unit, or else of its business unit.
    pub tap_key: Option<i64>,
}

/// Looks up all `names`; those that don't exist in the organisation are missing from the answer.
pub async fn find_many_by_name<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    names: &HashSet<&PlaceName>,
) -> Result<OfDirectory<HashMap<PlaceName, Place>>, DbErr> {
    // In a fixed order, so that the same kinds of names give the same statement.
    let mut values_of: BTreeMap<(PlaceKind, PlaceColumn), Vec<&str>> = BTreeMap::new();
    for name in names {
        values_of.entry((name.kind, name.column)).or_default().push(&name.value);
    }
    let mut found = HashMap::new();
    if values_of.is_empty() {
        return Ok(OfDirectory { found, version: None });
    }
    let backend = connection.get_database_backend();
    let mut asked = Vec::new();
    let mut arms = Vec::new();
    let mut parameters: Vec<Value> = vec![organisation_id.into()];
    for ((kind, column), values) in values_of {
        parameters.push(json(&values));
        let (each, arm) = (each_text(backend, parameters.len()), asked.len().to_string());
        let (table, [key, business_unit, unit, tap], joins) = source(backend, kind);
        let row = json_row(backend, &[&arm, "k.value", key, business_unit, unit, tap]);
        let places = join(backend, table, "p", &format!("p.{} = k.value", column_name(kind, column)));
        arms.push(format!("SELECT {row} AS row FROM {each} {places} {joins}"));
        asked.push((kind, column));
    }
    let rows = all_at_once::<(usize, String, _, _, _, _), _>(connection, &arms.join(" UNION ALL "), parameters).await?;
    for (arm, value, key, business_unit_key, unit_key, tap_key) in rows.found {
        if let Some(&(kind, column)) = asked.get(arm) {
            let place = Place { key, business_unit_key, unit_key, tap_key };
            found.insert(PlaceName { kind, column, value }, place);
        }
    }
    Ok(OfDirectory { found, version: rows.version })
}

fn column_name(kind: PlaceKind, column: PlaceColumn) -> &'static str {
    match (kind, column) {
        (_, PlaceColumn::Id) => "id",
        (_, PlaceColumn::Name) => "name",
        (PlaceKind::Unit | PlaceKind::Classification, PlaceColumn::Code) => "alternative_code",
        (_, PlaceColumn::Code) => "code",
    }
}

/// The table of the places of a kind, the columns of [`Place`], and what is joined for them.
fn source(backend: DbBackend, kind: PlaceKind) -> (&'static str, [&'static str; 4], String) {
    let unit = || left_join(backend, "units", "u", "u.key = p.unit_key");
    let business_unit_of =
        |place: &str| left_join(backend, "business_units", "b", &format!("b.key = {place}.business_unit_key"));
    match kind {
        PlaceKind::BusinessUnit => ("business_units", ["p.key", "p.key", "NULL", "p.default_tap_key"], String::new()),
        PlaceKind::Unit => (
            "units",
            ["p.key", "p.business_unit_key", "p.key", "COALESCE(p.default_tap_key, b.default_tap_key)"],
            business_unit_of("p"),
        ),
        PlaceKind::TransactionAcquiringPoint => {
            ("taps", ["p.key", "COALESCE(p.business_unit_key, u.business_unit_key)", "p.unit_key", "p.key"], unit())
        }
        PlaceKind::Device => (
            "devices",
            ["p.key", "u.business_unit_key", "p.unit_key", "COALESCE(u.default_tap_key, b.default_tap_key)"],
            format!("{} {}", unit(), business_unit_of("u")),
        ),
        PlaceKind::Classification => ("classifications", ["p.key", "NULL", "NULL", "NULL"], String::new()),
    }
}
