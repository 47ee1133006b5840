//! Where an event happened and what kind it is: look-ups by id, name and code, all kinds in one statement.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Value};

use super::sql::{each_text, json, statement};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Place {
    pub key: i64,
    /// Its business unit: itself, its own, or that of its unit.
    pub business_unit_key: Option<i64>,
    /// Its unit: itself, or its own.
    pub unit_key: Option<i64>,
    /// Its TAP: itself, or the default TAP of its unit, or else of its business unit.
    pub tap_key: Option<i64>,
}

#[derive(FromQueryResult)]
struct Found {
    arm: i32,
    given: String,
    #[sea_orm(nested)]
    place: Place,
}

/// Looks up all `names`; those that don't exist in the organisation are missing from the answer.
pub async fn find_many_by_name<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    names: &HashSet<&PlaceName>,
) -> Result<HashMap<PlaceName, Place>, DbErr> {
    // In a fixed order, so that the same kinds of names give the same statement.
    let mut values_of: BTreeMap<(PlaceKind, PlaceColumn), Vec<&str>> = BTreeMap::new();
    for name in names {
        values_of.entry((name.kind, name.column)).or_default().push(&name.value);
    }
    if values_of.is_empty() {
        return Ok(HashMap::new());
    }
    let mut asked = Vec::new();
    let mut arms = Vec::new();
    let mut parameters: Vec<Value> = vec![organisation_id.into()];
    for ((kind, column), values) in values_of {
        parameters.push(json(&values));
        let each = each_text(connection.get_database_backend(), parameters.len());
        let (places, column_name) = (select_of(kind), column_name(kind, column));
        let arm = asked.len();
        arms.push(format!("SELECT {arm} AS arm, k.value AS given, {}", places(&each, column_name)));
        asked.push((kind, column));
    }
    let rows = Found::find_by_statement(statement(connection, arms.join(" UNION ALL "), parameters));
    let mut found = HashMap::new();
    for row in rows.all(connection).await? {
        if let Some(&(kind, column)) = usize::try_from(row.arm).ok().and_then(|arm| asked.get(arm)) {
            found.insert(PlaceName { kind, column, value: row.given }, row.place);
        }
    }
    Ok(found)
}

fn column_name(kind: PlaceKind, column: PlaceColumn) -> &'static str {
    match (kind, column) {
        (_, PlaceColumn::Id) => "id",
        (_, PlaceColumn::Name) => "name",
        (PlaceKind::Unit | PlaceKind::Classification, PlaceColumn::Code) => "alternative_code",
        (_, PlaceColumn::Code) => "code",
    }
}

/// The columns of [`Place`] and where they come from. CROSS JOIN keeps SQLite from scanning the table for the keys.
fn select_of(kind: PlaceKind) -> fn(&str, &str) -> String {
    match kind {
        PlaceKind::BusinessUnit => |each, column| {
            format!(
                "p.key, p.key AS business_unit_key, CAST(NULL AS BIGINT) AS unit_key, p.default_tap_key AS tap_key \
                 FROM {each} CROSS JOIN business_units p WHERE p.organisation_id = $1 AND p.{column} = k.value"
            )
        },
        PlaceKind::Unit => |each, column| {
            format!(
                "p.key, p.business_unit_key, p.key AS unit_key, COALESCE(p.default_tap_key, b.default_tap_key) \
                 AS tap_key FROM {each} CROSS JOIN units p \
                 LEFT JOIN business_units b ON b.organisation_id = $1 AND b.key = p.business_unit_key \
                 WHERE p.organisation_id = $1 AND p.{column} = k.value"
            )
        },
        PlaceKind::TransactionAcquiringPoint => |each, column| {
            format!(
                "p.key, COALESCE(p.business_unit_key, u.business_unit_key) AS business_unit_key, p.unit_key, \
                 p.key AS tap_key FROM {each} CROSS JOIN taps p \
                 LEFT JOIN units u ON u.organisation_id = $1 AND u.key = p.unit_key \
                 WHERE p.organisation_id = $1 AND p.{column} = k.value"
            )
        },
        PlaceKind::Device => |each, column| {
            format!(
                "p.key, u.business_unit_key, p.unit_key, COALESCE(u.default_tap_key, b.default_tap_key) AS tap_key \
                 FROM {each} CROSS JOIN devices p \
                 LEFT JOIN units u ON u.organisation_id = $1 AND u.key = p.unit_key \
                 LEFT JOIN business_units b ON b.organisation_id = $1 AND b.key = u.business_unit_key \
                 WHERE p.organisation_id = $1 AND p.{column} = k.value"
            )
        },
        PlaceKind::Classification => |each, column| {
            format!(
                "p.key, CAST(NULL AS BIGINT) AS business_unit_key, CAST(NULL AS BIGINT) AS unit_key, \
                 CAST(NULL AS BIGINT) AS tap_key \
                 FROM {each} CROSS JOIN classifications p WHERE p.organisation_id = $1 AND p.{column} = k.value"
            )
        },
    }
}
