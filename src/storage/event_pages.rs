//! Pages of lists of events, the newest first.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use serde::Serialize;

use super::{entity::referral_event::Model, number_ranges::NumberRange, referral_events::Stored, sql::Sql};
use crate::id::{AccountKey, EntryKey, OrganisationId};

/// Which events a list is of; what is `None` is met by all.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EventFilter {
    pub referred_account_key: Option<AccountKey>,
    pub referred_by_account_key: Option<AccountKey>,
    pub classification_key: Option<EntryKey>,
    pub performed_by_business_unit_key: Option<EntryKey>,
    pub performed_by_unit_key: Option<EntryKey>,
    pub performed_by_tap_key: Option<EntryKey>,
    pub performed_by_device_key: Option<EntryKey>,
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
        let Self {
            referred_account_key: _,
            referred_by_account_key: _,
            classification_key,
            performed_by_business_unit_key,
            performed_by_unit_key,
            performed_by_tap_key,
            performed_by_device_key,
            external_system,
            in_force,
            performed_on_from,
            performed_on_to,
            created_on_from,
            created_on_to,
        } = self;
        let keys = [
            classification_key,
            performed_by_business_unit_key,
            performed_by_unit_key,
            performed_by_tap_key,
            performed_by_device_key,
        ];
        let dates = [performed_on_from, performed_on_to, created_on_from, created_on_to];
        keys.into_iter().any(Option::is_some)
            || dates.into_iter().any(Option::is_some)
            || external_system.is_some()
            || in_force.is_some()
    }
}

/// The most events that are read for a page. Where hardly any meets the filter, a page is what was found among them.
const MAXIMUM_READ: i64 = 20_000;

/// The newest number below $2.
const FIND_NEWEST: Sql = Sql::of_both(
    "SELECT e.number FROM referral_events e WHERE e.organisation_id = $1 AND e.number < $2 ORDER BY e.number DESC LIMIT 1",
);

/// The number of the event of referrer $3 that comes $4 after the newest below $2. SQLite takes any two columns of an
/// index for nearly a key: it would rather read all events by number than be told the referrer.
const FIND_NTH_OF_REFERRER: Sql = Sql {
    postgres: "\
SELECT e.number FROM referral_events e
WHERE e.organisation_id = $1 AND e.number < $2 AND e.referred_by_account_key = $3
ORDER BY e.number DESC LIMIT 1 OFFSET $4",
    sqlite: "\
SELECT e.number FROM referral_events e INDEXED BY referral_events_by_referrer_and_number
WHERE e.organisation_id = $1 AND e.number < $2 AND e.referred_by_account_key = $3
ORDER BY e.number DESC LIMIT 1 OFFSET $4",
};

/// The number below which a page does not read, where there is more than it may read.
async fn find_end_of_reading<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    filter: &EventFilter,
    range: NumberRange,
) -> Result<Option<i64>, DbErr> {
    #[derive(FromQueryResult)]
    struct Found {
        number: i64,
    }
    let (organisation, below) = (organisation_id.into(), range.below.into());
    let statement = match filter.index() {
        Index::Referred => return Ok(None),
        Index::Number => FIND_NEWEST.with(connection, vec![organisation, below]),
        Index::ReferredBy => {
            let values = vec![organisation, below, filter.referred_by_account_key.into(), MAXIMUM_READ.into()];
            FIND_NTH_OF_REFERRER.with(connection, values)
        }
    };
    let found = Found::find_by_statement(statement).one(connection).await?;
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
    pub events: Vec<Model>,
    /// The number below which the next page begins; `None` on the last page.
    pub next_below: Option<i64>,
}

/// The newest events that meet the filter, up to `limit`, with numbers in the range.
pub async fn find_page<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
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
    let sql = match filter.index() {
        Index::Number => FIND_PAGE,
        Index::ReferredBy => FIND_PAGE_OF_REFERRER,
        Index::Referred => FIND_PAGE_OF_REFERRED,
    };
    let found = Stored::find_by_statement(sql.with(connection, values)).all(connection).await?;
    let mut events: Vec<Model> = found.into_iter().map(|Stored(event)| event).collect();
    let mut next_below = end.map(|end| end + 1);
    if events.len() > limit {
        events.truncate(limit);
        next_below = events.last().map(|event| event.number.0);
    }
    Ok(Page { events, next_below })
}

/// There is a text for each index, so that it is the index that is used: a planner that has no statistics of a table
/// that fills fast, or believes that the events it looks for are everywhere, would rather read all events by number.
///
/// $2 and $3 are the numbers between which the page lies, $4 to $11 what the column is to be, $12 whether the event is in
/// force, $13 to $16 the least and the greatest date, $17 the number of events to read. NULL leaves a condition out.
const FIND_PAGE: Sql = Sql::of_both(
    "\
SELECT e.* FROM referral_events e
WHERE e.organisation_id = $1 AND e.number > $2 AND e.number < $3
    AND ($6 IS NULL OR e.classification_key = $6)
    AND ($7 IS NULL OR e.performed_by_business_unit_key = $7)
    AND ($8 IS NULL OR e.performed_by_unit_key = $8)
    AND ($9 IS NULL OR e.performed_by_tap_key = $9)
    AND ($10 IS NULL OR e.performed_by_device_key = $10)
    AND ($11 IS NULL OR e.external_system = $11)
    AND ($12 IS NULL OR (e.in_force IS NOT NULL) = $12)
    AND ($13 IS NULL OR e.performed_on >= $13)
    AND ($14 IS NULL OR e.performed_on <= $14)
    AND ($15 IS NULL OR e.created_on >= $15)
    AND ($16 IS NULL OR e.created_on <= $16)
ORDER BY e.number DESC LIMIT $17",
);

const FIND_PAGE_OF_REFERRER: Sql = Sql {
    postgres: "\
SELECT e.* FROM referral_events e
WHERE e.organisation_id = $1 AND e.number > $2 AND e.number < $3
    AND e.referred_by_account_key = $5
    AND ($6 IS NULL OR e.classification_key = $6)
    AND ($7 IS NULL OR e.performed_by_business_unit_key = $7)
    AND ($8 IS NULL OR e.performed_by_unit_key = $8)
    AND ($9 IS NULL OR e.performed_by_tap_key = $9)
    AND ($10 IS NULL OR e.performed_by_device_key = $10)
    AND ($11 IS NULL OR e.external_system = $11)
    AND ($12 IS NULL OR (e.in_force IS NOT NULL) = $12)
    AND ($13 IS NULL OR e.performed_on >= $13)
    AND ($14 IS NULL OR e.performed_on <= $14)
    AND ($15 IS NULL OR e.created_on >= $15)
    AND ($16 IS NULL OR e.created_on <= $16)
ORDER BY e.number DESC LIMIT $17",
    sqlite: "\
SELECT e.* FROM referral_events e INDEXED BY referral_events_by_referrer_and_number
WHERE e.organisation_id = $1 AND e.number > $2 AND e.number < $3
    AND e.referred_by_account_key = $5
    AND ($6 IS NULL OR e.classification_key = $6)
    AND ($7 IS NULL OR e.performed_by_business_unit_key = $7)
    AND ($8 IS NULL OR e.performed_by_unit_key = $8)
    AND ($9 IS NULL OR e.performed_by_tap_key = $9)
    AND ($10 IS NULL OR e.performed_by_device_key = $10)
    AND ($11 IS NULL OR e.external_system = $11)
    AND ($12 IS NULL OR (e.in_force IS NOT NULL) = $12)
    AND ($13 IS NULL OR e.performed_on >= $13)
    AND ($14 IS NULL OR e.performed_on <= $14)
    AND ($15 IS NULL OR e.created_on >= $15)
    AND ($16 IS NULL OR e.created_on <= $16)
ORDER BY e.number DESC LIMIT $17",
};

const FIND_PAGE_OF_REFERRED: Sql = Sql::of_both(
    "\
WITH of_referred AS MATERIALIZED (
    SELECT * FROM referral_events e WHERE e.organisation_id = $1 AND e.referred_account_key = $4)
SELECT e.* FROM of_referred e
WHERE e.number > $2 AND e.number < $3
    AND ($5 IS NULL OR e.referred_by_account_key = $5)
    AND ($6 IS NULL OR e.classification_key = $6)
    AND ($7 IS NULL OR e.performed_by_business_unit_key = $7)
    AND ($8 IS NULL OR e.performed_by_unit_key = $8)
    AND ($9 IS NULL OR e.performed_by_tap_key = $9)
    AND ($10 IS NULL OR e.performed_by_device_key = $10)
    AND ($11 IS NULL OR e.external_system = $11)
    AND ($12 IS NULL OR (e.in_force IS NOT NULL) = $12)
    AND ($13 IS NULL OR e.performed_on >= $13)
    AND ($14 IS NULL OR e.performed_on <= $14)
    AND ($15 IS NULL OR e.created_on >= $15)
    AND ($16 IS NULL OR e.created_on <= $16)
ORDER BY e.number DESC LIMIT $17",
);
