//! Old events: those that are to be archived, and the removal of those that are in a file.

use std::time::Instant;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use tokio::time::sleep;

use super::{file::Archive, format::Entry};
use crate::{
    contract::CustomerEvent,
    date,
    error::Result,
    id::{EventId, EventNumber, OrganisationId},
    referral::find_old_events,
    storage::{Database, referral_events},
    transport::customer_event::customer_event,
};

/// In which state events are archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Posted,
    Cancelled,
    All,
}

/// The events of an organisation, in a state, that were created before a moment.
pub struct OldEvents {
    pub organisation_id: OrganisationId,
    pub state: State,
    pub before: DateTime<Utc>,
}

/// How many events are read at once, and how many are removed in one transaction, for which calls of the organisation wait
/// some milliseconds. An event has up to 25 KB.
const STEP: usize = 250;

impl OldEvents {
    /// Gives all of them to `take`, page by page, by their numbers: none is left out, none comes twice, whatever calls do
    /// meanwhile. Each page is as of a moment of its own, for a transaction of minutes would keep the database from
    /// clearing up.
    pub async fn each(&self, database: &Database, mut take: impl FnMut(&[CustomerEvent]) -> Result<()>) -> Result<u64> {
        let is_in_force = match self.state {
            State::Posted => Some(true),
            State::Cancelled => Some(false),
            State::All => None,
        };
        let (mut after, mut count) = (Some(EventNumber(0)), 0);
        while let Some(last) = after {
            let page = find_old_events(database, self.organisation_id, is_in_force, self.before, last, STEP).await?;
            let events: Vec<CustomerEvent> = page.events.into_iter().map(customer_event).collect();
            count += events.len() as u64;
            if !events.is_empty() {
                take(&events)?;
            }
            after = page.next_after;
        }
        Ok(count)
    }
}

/// What became of the events of an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub removed: u64,
    /// Those that were cancelled after they were written: the archive does not tell it, so they stay.
    pub changed: u64,
}

/// Removes the events of an archive, as far as they are there and as the archive tells them. Each step takes its turn like
/// a call of the organisation, which looks events up several times and must not see them go in between, and is followed by
/// a pause as long as itself.
pub async fn remove(database: &Database, organisation_id: OrganisationId, archive: &Archive) -> Result<Removed> {
    let mut all = Removed::default();
    let mut entries = archive.entries()?;
    loop {
        let step: Vec<Entry> = entries.by_ref().take(STEP).collect::<Result<_>>()?;
        if step.is_empty() {
            return Ok(all);
        }
        let started = Instant::now();
        let Removed { removed, changed } = remove_step(database, organisation_id, &step).await?;
        all = Removed { removed: all.removed + removed, changed: all.changed + changed };
        sleep(started.elapsed()).await;
    }
}

async fn remove_step(database: &Database, organisation_id: OrganisationId, step: &[Entry]) -> Result<Removed> {
    let ids = |step: &[Entry]| step.iter().map(|entry| entry.id).collect::<Vec<EventId>>();
    let transaction = database.begin_turn(organisation_id).await?;
    let mut removed = 0;
    for is_in_force in [true, false] {
        let of_state: Vec<Entry> = step.iter().filter(|entry| entry.is_in_force == is_in_force).copied().collect();
        if !of_state.is_empty() {
            removed += referral_events::remove(&transaction, organisation_id, &ids(&of_state), is_in_force).await?;
        }
    }
    let changed = match removed == step.len() as u64 {
        true => 0,
        false => referral_events::count(&transaction, organisation_id, &ids(step)).await?,
    };
    transaction.commit().await?;
    Ok(Removed { removed, changed })
}

/// A day, which begins at midnight of UTC, or a date and time as calls have them.
pub fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d")
        && text.len() == "2016-06-22".len()
    {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    date::read(text).map_err(|error| format!("it takes a day like 2016-06-22, or a date and time; this is {error}"))
}
