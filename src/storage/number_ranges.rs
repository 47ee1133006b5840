//! Where the events of a period are, among all events by number.
//!
//! Numbers rise in the order in which events come to be, and so do the dates of their creation, but for clocks that
//! differ and clocks that are set back. How far at most an event's date lies behind the latest one before it is known
//! (`counters::take_numbers` keeps it). So an event whose date is before the period by more than that has none of the
//! period before it, and one whose date is after the period by more than that has none of it after it. That holds
//! whichever events are looked at; halving finds two that are close to the period.

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::sql::Sql;
use crate::id::{EventNumber, OrganisationId};

/// The numbers between which events are looked for, both excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberRange {
    pub above: EventNumber,
    pub below: EventNumber,
}

impl NumberRange {
    pub const ALL: Self = Self { above: EventNumber(0), below: EventNumber(i64::MAX) };
    pub const NONE: Self = Self { below: EventNumber(0), ..Self::ALL };

    fn is_empty(self) -> bool {
        self.below <= self.above.next()
    }

    /// The least range that has both.
    fn joined(self, other: Self) -> Self {
        match (self.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => self,
            _ => Self { above: self.above.min(other.above), below: self.below.max(other.below) },
        }
    }
}

/// What is added to the lag that is known, for servers that did not keep it: those of an older version. A call has its
/// date from its beginning and its number from its turn, which is no longer than a call may take.
const UNKNOWN_LAG: TimeDelta = TimeDelta::minutes(10);

/// What is known of the dates of an organisation's events; see `counters::take_numbers`. Lags are in microseconds.
#[derive(FromQueryResult)]
struct Dates {
    steady_from: EventNumber,
    greatest_lag: i64,
    greatest_lag_before: i64,
    newest: Option<EventNumber>,
}

const FIND_DATES: Sql = Sql::of_both(
    "\
SELECT c.steady_from, c.greatest_lag, c.greatest_lag_before,
    (SELECT e.number FROM referral_events e
        WHERE e.organisation_id = $1 ORDER BY e.number DESC LIMIT 1) AS newest
FROM counters c WHERE c.organisation_id = $1 AND c.name = 'event_number'",
);

/// A range that has the numbers of all events created in a period; what is `None` is open. It is found without reading
/// what is outside, and has hardly more than the period where the clock was not set back by more than a day.
pub async fn find_number_range<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
) -> Result<NumberRange, DbErr> {
    let dates = Dates::find_by_statement(FIND_DATES.with(connection, vec![organisation_id.into()]));
    let Some(Dates { steady_from, greatest_lag, greatest_lag_before, newest }) = dates.one(connection).await? else {
        return Ok(NumberRange::ALL);
    };
    let NumberRange { above: start, .. } = NumberRange::ALL;
    let end = newest.unwrap_or(start).next();
    let before = NumberRange { above: start, below: steady_from.min(end) };
    let since = NumberRange { above: steady_from.previous().max(start), below: end };
    let mut found = NumberRange::NONE;
    for (numbers, lag) in [(before, greatest_lag_before), (since, greatest_lag)] {
        if !numbers.is_empty() {
            let lag = TimeDelta::microseconds(lag);
            found = found.joined(find_within(connection, organisation_id, numbers, lag, from, to).await?);
        }
    }
    Ok(found)
}

/// The same among the events of these numbers, each of which lies behind no other before it by more than `lag`.
async fn find_within<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    numbers: NumberRange,
    lag: TimeDelta,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
) -> Result<NumberRange, DbErr> {
    let NumberRange { mut above, mut below } = numbers;
    let lag = lag + UNKNOWN_LAG;
    if let Some(date) = from.and_then(|from| comparable(from.checked_sub_signed(lag))) {
        above = find_last_before(connection, organisation_id, numbers, date).await?;
    }
    if let Some(date) = to.and_then(|to| comparable(to.checked_add_signed(lag))) {
        below = find_last_before(connection, organisation_id, numbers, date).await?.next();
    }
    Ok(NumberRange { above, below })
}

/// A date that the databases compare rightly, which SQLite does as texts; beyond those a period is open.
fn comparable(date: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    date.filter(|date| (1..=9999).contains(&date.year()))
}

/// Steps from $2 towards $3, of $4 at first and of half the length each time, taken where the event there was created
/// before $5. What is not numbered has the date of the first event after it.
const FIND_LAST_BEFORE: Sql = Sql::of_both(
    "\
WITH RECURSIVE steps (number, step) AS (
    SELECT CAST($2 AS BIGINT), CAST($4 AS BIGINT)
    UNION ALL
    SELECT s.number + CASE
            WHEN COALESCE((
                SELECT e.created_on < $5 FROM referral_events e
                WHERE e.organisation_id = $1 AND e.number >= s.number + s.step AND e.number < $3
                ORDER BY e.number LIMIT 1), FALSE) THEN s.step
            ELSE 0 END,
        s.step / 2
    FROM steps s WHERE s.step > 0)
SELECT number FROM steps WHERE step = 0",
);

/// The last of the numbers, or the one before the first, at which halving finds an event created before `date`.
async fn find_last_before<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    numbers: NumberRange,
    date: DateTime<Utc>,
) -> Result<EventNumber, DbErr> {
    #[derive(FromQueryResult)]
    struct Last {
        number: EventNumber,
    }
    // The greatest power of two that is a step within the numbers.
    let step = 1_i64 << (numbers.below.0 - numbers.above.0).max(1).ilog2();
    let values = vec![organisation_id.into(), numbers.above.into(), numbers.below.into(), step.into(), date.into()];
    let last = Last::find_by_statement(FIND_LAST_BEFORE.with(connection, values)).one(connection).await?;
    Ok(last.map_or(numbers.above, |last| last.number))
}
