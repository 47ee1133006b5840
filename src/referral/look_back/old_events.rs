//! The events that were created before a moment.

use chrono::{DateTime, TimeDelta, Utc};

use super::customer_event::{CustomerEvent, describe};
use crate::{
    error::Result,
    id::{EventNumber, OrganisationId},
    storage::{
        Database,
        event_pages::{EventFilter, Order, Page, find_page},
        number_ranges::find_number_range,
    },
};

/// A page of old events, the oldest first.
pub struct OldEvents {
    pub events: Vec<CustomerEvent>,
    /// The number after which the next page begins; `None` on the last page.
    pub next_after: Option<EventNumber>,
}

/// Up to `limit` events created before a moment, with numbers after this one, in force or cancelled or either.
pub async fn find_old_events(
    database: &Database,
    organisation_id: OrganisationId,
    in_force: Option<bool>,
    before: DateTime<Utc>,
    after: EventNumber,
    limit: usize,
) -> Result<OldEvents> {
    // Dates are stored to the microsecond.
    let last = before - TimeDelta::microseconds(1);
    let filter = EventFilter { in_force, created_on_to: Some(last), ..EventFilter::default() };
    let transaction = database.begin_read().await?;
    let mut range = find_number_range(&transaction, organisation_id, None, Some(last)).await?;
    range.above = range.above.max(after);
    let Page { events, next_after } =
        find_page(&transaction, organisation_id, &filter, Order::OldestFirst, range, limit).await?;
    let events = describe(&transaction, organisation_id, events).await?;
    transaction.commit().await?;
    Ok(OldEvents { events, next_after })
}
