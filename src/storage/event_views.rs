//! Events as they are looked back on: with the names of what they refer to, one by one or a page at a time.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, Iden, Iterable, QueryResult, Value};
use serde::Serialize;
use uuid::Uuid;

use super::{
    entity::referral_event::{Column, Model},
    number_ranges::NumberRange,
    sql::{events_by_referrer, left_join, statement},
};

/// An event with the names of its classification, its places and its parties.
#[derive(Clone, Debug)]
pub struct EventView {
    pub event: Model,
    pub classification: Option<Named>,
    pub business_unit: Option<Named>,
    pub unit: Option<Named>,
    pub tap: Option<Named>,
    pub device: Option<Named>,
    pub referred_account: Option<Named>,
    pub referred_participant: Option<Named>,
    pub referred_by_account: Option<Named>,
    pub referred_by_participant: Option<Named>,
}

/// What callers know a row of the directory by.
#[derive(Clone, Debug)]
pub struct Named {
    pub id: String,
    /// Its code, its alternative code or its number, whichever its kind has.
    pub code: String,
    pub name: Option<String>,
}

/// What to join to an event.
struct Join {
    /// Its alias, and what its columns begin with in the answer.
    alias: &'static str,
    table: &'static str,
    key: &'static str,
    /// The event's column that holds the key.
    of_event: &'static str,
    code: &'static str,
    name: &'static str,
}

const NO_NAME: &str = "CAST(NULL AS TEXT)";

const JOINS: [Join; 9] = {
    const fn join(
        alias: &'static str,
        table: &'static str,
        key: &'static str,
        of_event: &'static str,
        code: &'static str,
        name: &'static str,
    ) -> Join {
        Join { alias, table, key, of_event, code, name }
    }
    [
        join("c", "classifications", "key", "classification_key", "c.alternative_code", "c.name"),
        join("b", "business_units", "key", "performed_by_business_unit_key", "b.code", "b.name"),
        join("u", "units", "key", "performed_by_unit_key", "u.alternative_code", "u.name"),
        join("t", "taps", "key", "performed_by_tap_key", "t.code", "t.name"),
        join("d", "devices", "key", "performed_by_device_key", "d.code", NO_NAME),
        join("a", "accounts_receivable", "key", "referred_account_key", "a.number", NO_NAME),
        join("p", "rewards_participants", "account_key", "referred_account_key", "p.number", NO_NAME),
        join("ba", "accounts_receivable", "key", "referred_by_account_key", "ba.number", NO_NAME),
        join("bp", "rewards_participants", "account_key", "referred_by_account_key", "bp.number", NO_NAME),
    ]
};

impl FromQueryResult for EventView {
    fn from_query_result(row: &QueryResult, _: &str) -> Result<Self, DbErr> {
        Self::read(row).map_err(|cause| unreadable(row, &cause))
    }
}

impl EventView {
    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        let named = |alias: &str| -> Result<Option<Named>, DbErr> {
            let prefix = format!("{alias}_");
            let Some(id) = row.try_get(&prefix, "id")? else { return Ok(None) };
            Ok(Some(Named { id, code: row.try_get(&prefix, "code")?, name: row.try_get(&prefix, "name")? }))
        };
        Ok(Self {
            event: Model::from_query_result(row, "")?,
            classification: named("c")?,
            business_unit: named("b")?,
            unit: named("u")?,
            tap: named("t")?,
            device: named("d")?,
            referred_account: named("a")?,
            referred_participant: named("p")?,
            referred_by_account: named("ba")?,
            referred_by_participant: named("bp")?,
        })
    }
}

/// Says for the log which row it is.
fn unreadable(row: &QueryResult, cause: &DbErr) -> DbErr {
    let integer = |column| row.try_get("", column).map_or("?".to_owned(), |value: i64| value.to_string());
    let (number, organisation) = (integer("number"), integer("organisation_id"));
    DbErr::Type(format!(
        "the event of number {number} cannot be read, of the organisation of id {organisation}: {cause}"
    ))
}

/// Selects the views of the events that `events` selects: the newest first. What is joined is looked up for them alone.
fn select_views(backend: DbBackend, events: &str) -> String {
    let names: String = JOINS
        .iter()
        .map(|Join { alias, code, name, .. }| {
            format!(", {alias}.id AS {alias}_id, {code} AS {alias}_code, {name} AS {alias}_name")
        })
        .collect();
    let joins: String = JOINS
        .iter()
        .map(|Join { alias, table, key, of_event, .. }| {
            format!(" {}", left_join(backend, table, alias, &format!("{alias}.{key} = e.{of_event}")))
        })
        .collect();
    format!("SELECT {}{names} FROM ({events}) AS e{joins} ORDER BY e.number DESC", columns_of_event())
}

fn columns_of_event() -> String {
    let columns: Vec<String> = Column::iter().map(|column| format!("e.{}", column.to_string())).collect();
    columns.join(", ")
}

/// What names an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventName {
    Id(Uuid),
    Number(i64),
    /// A system (empty for none), and the reference number in it.
    ExternalReference(String, String),
}

/// The event that the name leads to. An external reference can have been that of several events over the time: the one
/// in force comes first, then the one that was cancelled last.
pub async fn find_event<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    name: EventName,
) -> Result<Option<EventView>, DbErr> {
    let mut values: Vec<Value> = vec![organisation_id.into()];
    let condition = match name {
        EventName::Id(id) => {
            values.push(id.into());
            "e.id = $2"
        }
        EventName::Number(number) => {
            values.push(number.into());
            "e.number = $2"
        }
        EventName::ExternalReference(system, number) => {
            values.extend([system.into(), number.into()]);
            "e.external_system = $2 AND e.external_system_reference_number = $3"
        }
    };
    let columns = columns_of_event();
    let event = format!(
        "SELECT {columns} FROM referral_events e WHERE e.organisation_id = $1 AND {condition} \
         ORDER BY (CASE WHEN e.in_force THEN 0 ELSE 1 END), e.cancelled_on DESC, e.number DESC LIMIT 1"
    );
    let sql = select_views(connection.get_database_backend(), &event);
    EventView::find_by_statement(statement(connection, sql, values)).one(connection).await
}

/// Which events a list is of; what is `None` is met by all.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EventFilter {
    pub referred_account_key: Option<i64>,
    pub referred_by_account_key: Option<i64>,
    pub classification_key: Option<i64>,
    pub performed_by_business_unit_key: Option<i64>,
    pub performed_by_unit_key: Option<i64>,
    pub performed_by_tap_key: Option<i64>,
    pub performed_by_device_key: Option<i64>,
    pub external_system: Option<String>,
    pub in_force: Option<bool>,
    pub performed_on_from: Option<DateTime<Utc>>,
    pub performed_on_to: Option<DateTime<Utc>>,
    pub created_on_from: Option<DateTime<Utc>>,
    pub created_on_to: Option<DateTime<Utc>>,
}

/// The index that leads to the events of a filter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Index {
    /// All events, by number.
    Number,
    /// Those of one referrer, by number.
    ReferredBy,
    /// Those of one referred account: it has one in force, and a few that were cancelled.
    Referred,
}

impl EventFilter {
    fn index(&self) -> Index {
        match (self.referred_account_key, self.referred_by_account_key) {
            (Some(_), _) => Index::Referred,
            (None, Some(_)) => Index::ReferredBy,
            (None, None) => Index::Number,
        }
    }

    /// Whether the index leads also to events that the filter leaves out.
    fn leaves_out(&self) -> bool {
        self.classification_key.is_some()
            || self.performed_by_business_unit_key.is_some()
            || self.performed_by_unit_key.is_some()
            || self.performed_by_tap_key.is_some()
            || self.performed_by_device_key.is_some()
            || self.external_system.is_some()
            || self.in_force.is_some()
            || self.performed_on_from.is_some()
            || self.performed_on_to.is_some()
            || self.created_on_from.is_some()
            || self.created_on_to.is_some()
    }
}

/// The most events that are read for a page. Where hardly any meets the filter, a page is what was found among them.
const MAXIMUM_READ: i64 = 20_000;

/// The number below which a page does not read, where there is more than it may read.
async fn find_end_of_reading<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    filter: &EventFilter,
    range: NumberRange,
) -> Result<Option<i64>, DbErr> {
    #[derive(FromQueryResult)]
    struct Found {
        number: i64,
    }
    let mut values: Vec<Value> = vec![organisation_id.into(), range.below.into()];
    let sql = match filter.index() {
        Index::Referred => return Ok(None),
        Index::Number => "SELECT e.number FROM referral_events e WHERE e.organisation_id = $1 AND e.number < $2 \
             ORDER BY e.number DESC LIMIT 1"
            .to_owned(),
        Index::ReferredBy => {
            values.extend([filter.referred_by_account_key.into(), MAXIMUM_READ.into()]);
            let events = events_by_referrer(connection.get_database_backend());
            format!(
                "SELECT e.number FROM {events} WHERE e.organisation_id = $1 AND e.number < $2 \
                 AND e.referred_by_account_key = $3 ORDER BY e.number DESC LIMIT 1 OFFSET $4"
            )
        }
    };
    let found = Found::find_by_statement(statement(connection, sql, values)).one(connection).await?;
    let end = found.map(|found| match filter.index() {
        // No two have one number, so this many numbers are no more events than that.
        Index::Number => found.number - MAXIMUM_READ,
        Index::ReferredBy | Index::Referred => found.number,
    });
    Ok(end.filter(|end| *end > range.above))
}

/// Events, the newest first.
#[derive(Debug)]
pub struct Page {
    pub events: Vec<EventView>,
    /// The number below which the next page begins; `None` on the last page.
    pub next_below: Option<i64>,
}

/// The newest events that meet the filter, up to `limit`, with numbers in the range.
pub async fn find_page<C: ConnectionTrait>(
    connection: &C,
    organisation_id: i64,
    filter: &EventFilter,
    range: NumberRange,
    limit: usize,
) -> Result<Page, DbErr> {
    let end = match filter.leaves_out() {
        true => find_end_of_reading(connection, organisation_id, filter, range).await?,
        false => None,
    };
    // One more than wanted tells whether there is a next page.
    let fetched = i64::try_from(limit + 1).map_err(|_| DbErr::ConvertFromU64("i64"))?;
    let values = vec![
        organisation_id.into(),
        end.unwrap_or(range.above).into(),
        range.below.into(),
        filter.referred_account_key.into(),
        filter.referred_by_account_key.into(),
        filter.classification_key.into(),
        filter.performed_by_business_unit_key.into(),
        filter.performed_by_unit_key.into(),
        filter.performed_by_tap_key.into(),
        filter.performed_by_device_key.into(),
        filter.external_system.clone().into(),
        filter.in_force.into(),
        filter.performed_on_from.into(),
        filter.performed_on_to.into(),
        filter.created_on_from.into(),
        filter.created_on_to.into(),
        fetched.into(),
    ];
    let sql = select_page(connection.get_database_backend(), filter.index());
    let mut events = EventView::find_by_statement(statement(connection, sql, values)).all(connection).await?;
    let mut next_below = end.map(|end| end + 1);
    if events.len() > limit {
        events.truncate(limit);
        next_below = events.last().map(|view| view.event.number);
    }
    Ok(Page { events, next_below })
}

/// One text for each index, so that it is the index that is used: a planner that has no statistics of a table that fills
/// fast, or believes that the events it looks for are everywhere, would rather read all events by number.
fn select_page(backend: DbBackend, index: Index) -> String {
    let columns = columns_of_event();
    let (before, events, party) = match index {
        Index::Number => (String::new(), "referral_events e", ""),
        Index::ReferredBy => (String::new(), events_by_referrer(backend), "AND e.referred_by_account_key = $5"),
        Index::Referred => {
            let of_referred = format!(
                "WITH of_referred AS MATERIALIZED (SELECT {columns} FROM referral_events e \
                 WHERE e.organisation_id = $1 AND e.referred_account_key = $4) "
            );
            (of_referred, "of_referred e", "")
        }
    };
    let filters: String = [
        "e.referred_account_key = $4",
        "e.referred_by_account_key = $5",
        "e.classification_key = $6",
        "e.performed_by_business_unit_key = $7",
        "e.performed_by_unit_key = $8",
        "e.performed_by_tap_key = $9",
        "e.performed_by_device_key = $10",
        "e.external_system = $11",
        "(e.in_force IS NOT NULL) = $12",
        "e.performed_on >= $13",
        "e.performed_on <= $14",
        "e.created_on >= $15",
        "e.created_on <= $16",
    ]
    .into_iter()
    .zip(4..)
    .map(|(filter, parameter)| format!(" AND (${parameter} IS NULL OR {filter})"))
    .collect();
    let events = format!(
        "SELECT {columns} FROM {events} WHERE e.organisation_id = $1 AND e.number > $2 AND e.number < $3 \
         {party}{filters} ORDER BY e.number DESC LIMIT $17"
    );
    format!("{before}{}", select_views(backend, &events))
}
