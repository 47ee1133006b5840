//! Where an event happened and what kind it is: look-ups by id, name and code, all kinds in one statement.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::{ConnectionTrait, DbErr, Value};

use super::sql::{OfDirectory, all_at_once, each_text, json, json_row};

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
        let (place, from) = source(kind);
        let [key, business_unit, unit, tap] = place;
        let row = json_row(backend, &[&arm, "k.value", key, business_unit, unit, tap]);
        let column_name = column_name(kind, column);
        arms.push(format!(
            "SELECT {row} AS row FROM {each} CROSS JOIN {from} \
             WHERE p.organisation_id = $1 AND p.{column_name} = k.value"
        ));
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

/// The columns of [`Place`], and where they come from. CROSS JOIN keeps SQLite from scanning the table for the keys.
fn source(kind: PlaceKind) -> ([&'static str; 4], &'static str) {
    match kind {
        PlaceKind::BusinessUnit => (["p.key", "p.key", "NULL", "p.default_tap_key"], "business_units p"),
        PlaceKind::Unit => (
            ["p.key", "p.business_unit_key", "p.key", "COALESCE(p.default_tap_key, b.default_tap_key)"],
            "units p LEFT JOIN business_units b ON b.organisation_id = $1 AND b.key = p.business_unit_key",
        ),
        PlaceKind::TransactionAcquiringPoint => (
            ["p.key", "COALESCE(p.business_unit_key, u.business_unit_key)", "p.unit_key", "p.key"],
            "taps p LEFT JOIN units u ON u.organisation_id = $1 AND u.key = p.unit_key",
        ),
        PlaceKind::Device => (
            ["p.key", "u.business_unit_key", "p.unit_key", "COALESCE(u.default_tap_key, b.default_tap_key)"],
            "devices p LEFT JOIN units u ON u.organisation_id = $1 AND u.key = p.unit_key \
             LEFT JOIN business_units b ON b.organisation_id = $1 AND b.key = u.business_unit_key",
        ),
        PlaceKind::Classification => (["p.key", "NULL", "NULL", "NULL"], "classifications p"),
    }
}
