//! What becomes of a chunk of rows, decided from what the database holds, without asking it.
//!
//! Rows mean what they would mean one after another. They are still written all at once, because a chunk ends before a
//! row that touches what an earlier row of it touches: no two rows of a chunk give the same value to a unique column,
//! change the same stored row, or take over a value that the other gives up. So the order of the writes is free.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value as Json;
use uuid::Uuid;

use super::{
    kind::{Column, Content, DirectoryKind, ID, Need},
    rejection::{Code, Fault, Rejection},
    row::{Cell, Row},
    taps::{DefaultTaps, Place},
};
use crate::{
    id::{EntryKey, OrganisationId, RowKey},
    secret::CodeHasher,
    storage::directory::{ONE_TIME_PASSWORD_HASH, Referred, Stored, StoredColumn},
    text::quoted,
};

/// What the database holds of what a chunk names; each by the position of a column and a value in it.
pub struct StoredRows {
    pub referred: HashMap<(usize, String), Referred>,
    /// A stored row that one row of the chunk finds by several values is here by the first: its id, else its natural
    /// key.
    pub stored: HashMap<(usize, String), Stored>,
}

/// What is to be written for a chunk.
#[derive(Default)]
pub struct Plan {
    /// Each a key, and a value for every stored column of the kind.
    pub inserts: Vec<Vec<Json>>,
    /// By the positions of the columns that are written: each a key and the values.
    pub updates: BTreeMap<Vec<usize>, Vec<Vec<Json>>>,
    pub default_taps: DefaultTaps,
    pub updated: u64,
    /// The rows that say what is stored already.
    pub unchanged: u64,
    pub rejections: Vec<Rejection>,
    /// How many rows of the chunk are decided; the next one has to wait until these are written.
    pub done: usize,
}

impl Plan {
    /// The keys of the rows that are inserted, and of those that are updated.
    pub fn keys(&self) -> (Vec<RowKey>, Vec<RowKey>) {
        let key = |row: &Vec<Json>| row.first().and_then(Json::as_i64).map(RowKey);
        (self.inserts.iter().filter_map(key).collect(), self.updates.values().flatten().filter_map(key).collect())
    }
}

/// How many of `rows`, from the first, give no value to a unique column that an earlier one gives.
pub fn count_until_repeat(kind: DirectoryKind, rows: &[Row]) -> usize {
    let mut seen = HashSet::new();
    rows.iter().take_while(|row| claims(kind, row).all(|claim| seen.insert(claim))).count()
}

/// The values that a row gives to unique columns, with their columns' positions.
fn claims(kind: DirectoryKind, row: &Row) -> impl Iterator<Item = (usize, &str)> {
    kind.columns()
        .iter()
        .enumerate()
        .filter(|(_, column)| column.unique)
        .filter_map(|(position, _)| Some((position, row.text(position)?)))
}

pub struct Planner<'a> {
    pub kind: DirectoryKind,
    pub hasher: &'a CodeHasher,
    pub organisation_id: OrganisationId,
    pub known: &'a StoredRows,
}

/// Why a row is not decided for writing.
enum Refusal {
    Rejected(Fault),
    /// It touches what an earlier row of the chunk changes.
    NotYet,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Rejected(fault)
    }
}

impl<'a> Planner<'a> {
    /// At most how many of `rows` will be inserted.
    pub fn count_new(&self, rows: &[Row]) -> usize {
        rows.iter().filter(|row| self.stored(row, ID).or(self.stored(row, self.natural())).is_none()).count()
    }

    /// Decides `rows`, giving new ones the keys from `next_key` on.
    pub fn plan(&self, rows: &[Row], RowKey(mut next_key): RowKey) -> Plan {
        let mut plan = Plan::default();
        let mut touched = HashSet::new();
        for row in rows {
            match self.target(row, &touched) {
                Ok(Some(target)) => {
                    touched.insert(target.key);
                    if self.update(&mut plan, row, target) {
                        plan.updated += 1;
                    } else {
                        plan.unchanged += 1;
                    }
                }
                Ok(None) => {
                    self.insert(&mut plan, row, RowKey(next_key));
                    next_key += 1;
                }
                Err(Refusal::Rejected(fault)) => plan.rejections.push(row.refuse(fault)),
                Err(Refusal::NotYet) => break,
            }
            plan.done += 1;
        }
        plan
    }

    /// The stored row that `row` changes, or `None` where it is new.
    fn target(&self, row: &Row, touched: &HashSet<RowKey>) -> Result<Option<&'a Stored>, Refusal> {
        self.check_references(row)?;
        let holders: Vec<(usize, &Stored)> =
            claims(self.kind, row).filter_map(|(position, _)| Some((position, self.stored(row, position)?))).collect();
        if holders.iter().any(|(_, holder)| touched.contains(&holder.key)) {
            return Err(Refusal::NotYet);
        }
        let (natural, noun) = (self.kind.natural_key(), self.kind.noun());
        let target = match (row.id(), self.stored(row, ID), self.stored(row, self.natural())) {
            (Some(id), None, Some(other)) => {
                let (id, value, other) = (quoted(id), quoted(&other.natural_key), quoted(&other.id));
                let reason = format!("no {noun} has the id {id}, and {natural} {value} is of the one with {other}");
                return Err(Fault::of(self.column(ID), Code::UnknownId, reason).into());
            }
            (Some(_), by_id, _) => by_id,
            (None, _, by_natural) => by_natural,
        };
        if target.is_none() {
            self.check_mandatory(row)?;
        }
        for (position, holder) in holders {
            if target.is_none_or(|target| target.key != holder.key) {
                self.check_free(row, position, holder, target)?;
            }
        }
        match self.kind {
            DirectoryKind::Taps => self.check_place(row, target)?,
            DirectoryKind::AccessTokens => self.check_period(row, target)?,
            _ => {}
        }
        Ok(target)
    }

    fn check_references(&self, row: &Row) -> Result<(), Fault> {
        for (position, column) in self.kind.columns().iter().enumerate() {
            if let (Content::Reference(to), Some(given)) = (column.content, row.text(position))
                && self.referred(row, position).is_none()
            {
                let (noun, key) = (to.noun(), to.natural_key());
                let reason = format_args!("no {noun} has the {key} {}", quoted(given));
                return Err(Fault::of(column, Code::NotFound(to), reason));
            }
        }
        Ok(())
    }

    fn check_mandatory(&self, row: &Row) -> Result<(), Fault> {
        for (position, column) in self.kind.columns().iter().enumerate() {
            if column.need == Need::Mandatory && matches!(row.cells[position], Cell::LeftOut | Cell::Empty) {
                return Err(match row.id() {
                    Some(id) => {
                        let reason = format_args!("missing, and no row has the id {}", quoted(id));
                        Fault::of(column, Code::Missing, reason)
                    }
                    None => Fault::of(column, Code::Missing, "missing"),
                });
            }
        }
        Ok(())
    }

    /// Refuses a value that `holder` has, which is not the row's own.
    fn check_free(&self, row: &Row, position: usize, holder: &Stored, own: Option<&Stored>) -> Result<(), Fault> {
        let column = self.column(position);
        let (noun, natural) = (self.kind.noun(), quoted(&holder.natural_key));
        let given = row.text(position).unwrap_or_default();
        let reason = match column.content {
            // A password that is stored already stays as it is, used or not, so it takes nothing from another.
            Content::OneTimePassword if own.is_some_and(|own| self.has_code(own, row, position)) => return Ok(()),
            Content::AuthenticationCode | Content::OneTimePassword => format!("another {noun} has the same"),
            Content::Reference(to) => format!("the {} {} is of the {noun} {natural}", to.noun(), quoted(given)),
            _ => format!("{} is of the {noun} with the id {}", quoted(given), quoted(&holder.id)),
        };
        Err(Fault::of(column, Code::Taken, reason))
    }

    fn check_place(&self, row: &Row, target: Option<&Stored>) -> Result<(), Fault> {
        let place = self.place(row, target);
        if let (Some(_), Some(of_unit), Some(own)) = (place.unit, place.unit_business_unit, place.business_unit)
            && of_unit != own
        {
            let unit = self.position("unit_alternative_code");
            let (at_fault, whose) = match row.text(unit) {
                Some(_) => (unit, "the unit"),
                None => (self.position("business_unit_code"), "the TAP's unit"),
            };
            let reason = format_args!("{whose} belongs to another business unit than the TAP");
            return Err(Fault::of(self.column(at_fault), Code::WrongPlace, reason));
        }
        if row.cell(self.kind, "is_default") == &Cell::Flag(true) && place.home().is_none() {
            let column = self.column(self.position("is_default"));
            return Err(Fault::of(column, Code::WrongPlace, "the TAP has neither a unit nor a business unit"));
        }
        Ok(())
    }

    fn check_period(&self, row: &Row, target: Option<&Stored>) -> Result<(), Fault> {
        let end = |name: &str| match row.cell(self.kind, name) {
            Cell::Time(time) => Some(*time),
            Cell::LeftOut => target.and_then(|target| time(self.stored_value(target, self.position(name))?)),
            _ => None,
        };
        match (end("effective_from"), end("effective_to")) {
            (Some(from), Some(to)) if to < from => {
                let column = self.column(self.position("effective_to"));
                Err(Fault::of(column, Code::WrongPeriod, "before effective_from"))
            }
            _ => Ok(()),
        }
    }

    fn insert(&self, plan: &mut Plan, row: &Row, RowKey(key): RowKey) {
        let id = row.id().map_or_else(|| format!("{:X}", Uuid::now_v7().simple()), str::to_owned);
        let mut values = vec![Json::from(key)];
        for (position, column) in self.kind.columns().iter().enumerate() {
            if column.stored.is_some() {
                values.push(match (self.value(row, position, &id), column.need) {
                    (Json::Null, Need::Default(default)) => default.into(),
                    _ if position == ID => id.as_str().into(),
                    _ if self.goes_with_password(row, column) => Json::Null,
                    (value, _) => value,
                });
            }
        }
        plan.inserts.push(values);
        if self.kind == DirectoryKind::Taps && row.cell(self.kind, "is_default") == &Cell::Flag(true) {
            self.place(row, None).make_default(EntryKey(key), &mut plan.default_taps);
        }
    }

    /// Answers whether the row changes anything.
    fn update(&self, plan: &mut Plan, row: &Row, target: &Stored) -> bool {
        let mut positions = Vec::new();
        let mut values = vec![Json::from(target.key.0)];
        let mut differs = false;
        let mut old_password = None;
        for (position, column) in self.kind.columns().iter().enumerate() {
            let is_dropped = self.goes_with_password(row, column);
            let is_written = match &row.cells[position] {
                _ if position == ID || column.stored.is_none() => false,
                Cell::LeftOut => is_dropped,
                Cell::Empty => column.need == Need::Optional,
                // A natural key that stays, as that of each row that is found by it, need not be written.
                _ => row.text(position) != Some(&target.natural_key) || position != self.natural(),
            };
            if is_written {
                old_password = old_password.or((column.stored == Some(ONE_TIME_PASSWORD_HASH)).then_some(position));
                let value = if is_dropped { Json::Null } else { self.value(row, position, &target.id) };
                differs |= !self.is_stored(target, position, &value);
                positions.push(position);
                values.push(value);
            }
        }
        if let Some(position) = old_password.filter(|_| self.hasher.has_two_keys()) {
            values.push(row.old_hash(position).into());
        }
        if differs {
            plan.updates.entry(positions).or_default().push(values);
        }
        let is_default = row.cell(self.kind, "is_default");
        let taps = &mut plan.default_taps;
        let changes_default = self.kind == DirectoryKind::Taps
            && self.place(row, Some(target)).take_over(
                EntryKey(target.key.0),
                is_default,
                &self.stored_place(target),
                target.default_tap_key,
                taps,
            );
        differs || changes_default
    }

    /// Whether the column is the expiry of a one-time password that the row takes away.
    fn goes_with_password(&self, row: &Row, column: &Column) -> bool {
        column.name == "one_time_password_expires_on" && row.cell(self.kind, "one_time_password") == &Cell::Empty
    }

    /// What is stored for a cell.
    fn value(&self, row: &Row, position: usize, id: &str) -> Json {
        match &row.cells[position] {
            Cell::LeftOut | Cell::Empty => Json::Null,
            Cell::Text(text) => match self.column(position).content {
                Content::Reference(_) => self.referred(row, position).map(|referred| referred.key.0).into(),
                _ => text.as_str().into(),
            },
            Cell::Code(hashes) => hashes.first.as_str().into(),
            Cell::PassCode(code) => self.hasher.pass_code(self.organisation_id, id, code).first.into(),
            Cell::Flag(flag) => (*flag).into(),
            Cell::Time(time) => time.to_rfc3339_opts(SecondsFormat::AutoSi, false).into(),
        }
    }

    /// Where the TAP of `row` will be.
    fn place(&self, row: &Row, target: Option<&Stored>) -> Place {
        let stored = target.map(|target| self.stored_place(target));
        let (unit, business_unit) = (self.position("unit_alternative_code"), self.position("business_unit_code"));
        let mut place = stored.unwrap_or_default();
        if row.cells[unit] != Cell::LeftOut {
            let referred = self.referred(row, unit);
            place.unit = referred.map(|referred| EntryKey(referred.key.0));
            place.unit_business_unit = referred.and_then(|referred| referred.business_unit_key);
        }
        if row.cells[business_unit] != Cell::LeftOut {
            place.business_unit = self.referred(row, business_unit).map(|referred| EntryKey(referred.key.0));
        }
        place
    }

    fn stored_place(&self, stored: &Stored) -> Place {
        let key = |name| self.stored_value(stored, self.position(name))?.as_i64().map(EntryKey);
        Place {
            unit: key("unit_alternative_code"),
            unit_business_unit: stored.unit_business_unit_key,
            business_unit: key("business_unit_code"),
        }
    }

    fn natural(&self) -> usize {
        self.position(self.kind.natural_key())
    }

    fn position(&self, name: &str) -> usize {
        self.kind.position(name).unwrap_or(ID)
    }

    fn column(&self, position: usize) -> &'static Column {
        &self.kind.columns()[position]
    }

    /// What a stored row has in a column, if anything.
    fn stored_value<'s>(&self, stored: &'s Stored, position: usize) -> Option<&'s Json> {
        let of_stored = self.kind.columns()[..position].iter().filter(|column| column.stored.is_some()).count();
        stored.values.get(of_stored).filter(|value| !value.is_null())
    }

    /// Whether a stored row has this value.
    fn is_stored(&self, stored: &Stored, position: usize, value: &Json) -> bool {
        let has = self.stored_value(stored, position).unwrap_or(&Json::Null);
        match self.column(position).content {
            // The databases write it in forms of their own.
            Content::Time => time(has) == time(value),
            _ => has == value,
        }
    }

    /// The row that a reference names.
    fn referred(&self, row: &Row, position: usize) -> Option<&'a Referred> {
        self.known.referred.get(&(position, row.text(position)?.to_owned()))
    }

    /// The stored row that has what `row` gives to a unique column.
    fn stored(&self, row: &Row, position: usize) -> Option<&'a Stored> {
        let value = match self.column(position).content {
            Content::Reference(_) => self.referred(row, position)?.key.0.to_string(),
            _ => row.text(position)?.to_owned(),
        };
        let found = self.known.stored.get(&(position, value));
        found.or_else(|| self.known.stored.get(&(position, row.old_hash(position)?.to_owned())))
    }

    /// Whether a stored row has the code of `row`, by whichever key it is hashed.
    fn has_code(&self, stored: &Stored, row: &Row, position: usize) -> bool {
        let hashes = [row.text(position), row.old_hash(position)];
        hashes.into_iter().flatten().any(|hash| self.is_stored(stored, position, &hash.into()))
    }
}

fn time(stored: &Json) -> Option<DateTime<Utc>> {
    stored.as_str()?.parse().ok()
}

/// The stored columns of a kind at `positions`.
pub fn stored_columns(kind: DirectoryKind, positions: impl IntoIterator<Item = usize>) -> Vec<StoredColumn> {
    positions.into_iter().filter_map(|position| kind.columns()[position].stored).collect()
}
