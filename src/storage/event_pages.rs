//! Pages of lists of events, the newest or the oldest first.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use serde::Serialize;

pub use super::event_page_statements::Order;
use super::{
    calls::CallsOf,
    entity::referral_event::Model,
    event_page_statements::{Index, end_of_reading, page},
    number_ranges::NumberRange,
    referral_events::Stored,
};
use crate::id::{AccountKey, EntryKey, EventNumber, OrganisationId};

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
    /// Comes with a system, which is empty for those without one. Here and below, what older programs do not know is
    /// written only where it is given, so that they and we take each other's page tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_system_reference_number: Option<String>,
    /// On either side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referred_or_referred_by_account_key: Option<AccountKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled_by: Option<String>,
    pub in_force: Option<bool>,
    pub performed_on_from: Option<DateTime<Utc>>,
    pub performed_on_to: Option<DateTime<Utc>>,
    pub created_on_from: Option<DateTime<Utc>>,
    pub created_on_to: Option<DateTime<Utc>>,
}

impl EventFilter {
    fn index(&self) -> Index {
        if self.external_system_reference_number.is_some() {
            Index::ExternalReference
        } else if self.referred_account_key.is_some() {
            Index::Referred
        } else if self.referred_by_account_key.is_some() {
            Index::ReferredBy
        } else if self.referred_or_referred_by_account_key.is_some() {
            Index::Either
        } else {
            Index::Number
        }
    }

    /// Whose calls the events were created by; those of a request are fewer than those of a user.
    pub fn calls(&self) -> Option<CallsOf<'_>> {
        let of_request = self.request_id.as_deref().map(CallsOf::Request);
        of_request.or(self.created_by.as_deref().map(CallsOf::User))
    }

    /// Whether an index that leads to many events leads also to some that the filter leaves out.
    fn leaves_out(&self) -> bool {
        let Self {
            referred_account_key: _,
            referred_by_account_key,
            referred_or_referred_by_account_key,
            classification_key,
            performed_by_business_unit_key,
            performed_by_unit_key,
            performed_by_tap_key,
            performed_by_device_key,
            external_system,
            external_system_reference_number: _,
            request_id,
            created_by,
            cancelled_by,
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
            || [external_system, request_id, created_by, cancelled_by].into_iter().any(Option::is_some)
            || in_force.is_some()
            || referred_by_account_key.and(*referred_or_referred_by_account_key).is_some()
    }
}

/// The most events that are read for a page. Where hardly any meets the filter, a page is what was found among them.
/// Those in which one account was referred, or of one external reference, are few, and are not counted.
const MAXIMUM_READ: i64 = 20_000;

/// The number of the first event that the page does not read, where there are more than it may read.
async fn find_end_of_reading<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    filter: &EventFilter,
    order: Order,
    range: NumberRange,
) -> Result<Option<EventNumber>, DbErr> {
    #[derive(FromQueryResult)]
    struct Found {
        number: EventNumber,
    }
    let Some(sql) = end_of_reading(filter.index(), order) else { return Ok(None) };
    let mut values = vec![organisation_id.into(), range.above.into(), range.below.into(), MAXIMUM_READ.into()];
    if filter.index() != Index::Number {
        values.push(filter.referred_by_account_key.or(filter.referred_or_referred_by_account_key).into());
    }
    let found = Found::find_by_statement(sql.with(connection, values)).one(connection).await?;
    Ok(found.map(|found| found.number))
}

/// Events, in the order of their list.
#[derive(Debug)]
pub struct Page {
    pub events: Vec<Model>,
    /// The number after which the next page begins, in the order of the list; `None` on the last page.
    pub next_after: Option<EventNumber>,
}

/// The first events that meet the filter, up to `limit`, with numbers in the range.
pub async fn find_page<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    filter: &EventFilter,
    order: Order,
    mut range: NumberRange,
    limit: usize,
) -> Result<Page, DbErr> {
    let end = match filter.leaves_out() {
        true => find_end_of_reading(connection, organisation_id, filter, order, range).await?,
        false => None,
    };
    let mut next_after = None;
    if let Some(end) = end {
        // The next page reads the event at the end.
        match order {
            Order::NewestFirst => (range.above, next_after) = (end, Some(end.next())),
            Order::OldestFirst => (range.below, next_after) = (end, Some(end.previous())),
        }
    }
    // One more than wanted tells whether there is a next page.
    let fetched = i64::try_from(limit + 1).map_err(|_| DbErr::ConvertFromU64("i64"))?;
    let values = vec![
        organisation_id.into(),
        range.above.into(),
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
        filter.referred_or_referred_by_account_key.into(),
        filter.external_system_reference_number.clone().into(),
        filter.request_id.clone().into(),
        filter.created_by.clone().into(),
        filter.cancelled_by.clone().into(),
    ];
    let statement = page(filter.index(), order).with(connection, values);
    let found = Stored::find_by_statement(statement).all(connection).await?;
    let mut events: Vec<Model> = found.into_iter().map(|Stored(event)| event).collect();
    if events.len() > limit {
        events.truncate(limit);
        next_after = events.last().map(|event| event.number);
    }
    Ok(Page { events, next_after })
}
