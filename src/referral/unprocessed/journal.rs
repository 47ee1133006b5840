//! The journal of unprocessed events, which no call waits for.
//!
//! A call leaves its unprocessed events in a queue. A task of its own writes them, all that wait together, and pauses
//! after that for many times as long as it took. What finds no room is left out and counted: the queue is bounded, and so
//! is what an organisation may leave in it, lest it fills the database.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};
use uuid::{ContextV7, Timestamp, Uuid};

use crate::{
    id::OrganisationId,
    referral::{
        codes::Sender,
        create::{Outcome, Reported},
        rules::validate::Checked,
        violation::Violation,
    },
    storage::{
        Database,
        unprocessed_events::{self, UnprocessedEvent},
    },
};

/// How many events may wait to be written.
const QUEUE: usize = 8192;
/// How many are written at a time.
const STEP: usize = 500;
/// How many times as long as it has written the writer pauses, so that it takes no more than 3 % of the database's time;
/// and the longest pause.
const PAUSE: u32 = 33;
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How many events of an organisation are kept at once, and in a day from then on, by each replica.
const OF_ORGANISATION: i64 = 20_000;
/// How often it is logged that events were left out.
const REPORT: Duration = Duration::from_secs(60);
/// The longest text that is kept, in characters.
const MAXIMUM_TEXT: usize = 1000;

/// Events that wait to be written, each with its organisation.
type Waiting = (OrganisationId, UnprocessedEvent);

/// Where calls leave their unprocessed events. Clones share it.
#[derive(Clone)]
pub struct Journal(Arc<Shared>);

struct Shared {
    queue: mpsc::Sender<Waiting>,
    /// The writer's end of the queue.
    written: AsyncMutex<mpsc::Receiver<Waiting>>,
    left_out: AtomicU64,
    room: Mutex<HashMap<OrganisationId, Room>>,
    /// Makes ids that rise, also within a millisecond.
    ids: Mutex<ContextV7>,
}

/// How many events an organisation may still leave, as of a moment.
struct Room {
    left: i64,
    since: DateTime<Utc>,
}

/// A call, and what became of its events.
pub struct Refused<'a> {
    pub sender: &'a Sender,
    pub events: &'a [Checked],
    pub report: &'a [Reported],
    /// Whether the caller's names of events have a meaning.
    pub has_names: bool,
}

impl Default for Journal {
    fn default() -> Self {
        let (queue, written) = mpsc::channel(QUEUE);
        Self(Arc::new(Shared {
            queue,
            written: AsyncMutex::new(written),
            left_out: AtomicU64::new(0),
            room: Mutex::default(),
            ids: Mutex::new(ContextV7::new()),
        }))
    }
}

impl Journal {
    /// How many events have been left out so far.
    pub fn left_out(&self) -> u64 {
        self.0.left_out.load(Ordering::Relaxed)
    }

    /// Leaves the unprocessed events of a call to be written, those that find room.
    pub fn keep(&self, call: &Refused<'_>, now: DateTime<Utc>) {
        let is_unprocessed = |reported: &&Reported| matches!(reported.outcome, Outcome::Unprocessed { .. });
        let count = call.report.iter().filter(is_unprocessed).count();
        if count == 0 {
            return;
        }
        let organisation_id = call.sender.organisation_id;
        let room = self.take_room(organisation_id, count, now);
        let places = self.0.queue.try_reserve_many(room);
        let kept = places.as_ref().map_or(0, |_| room);
        self.leave_out(count - kept);
        for (place, event) in places.into_iter().flatten().zip(self.unprocessed(call, now)) {
            place.send((organisation_id, event));
        }
    }

    fn leave_out(&self, count: usize) {
        self.0.left_out.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// How many of so many events an organisation may leave.
    fn take_room(&self, organisation_id: OrganisationId, count: usize, now: DateTime<Utc>) -> usize {
        let mut rooms = self.0.room.lock().unwrap_or_else(PoisonError::into_inner);
        let room = rooms.entry(organisation_id).or_insert(Room { left: OF_ORGANISATION, since: now });
        let seconds = (now - room.since).num_seconds().max(0);
        let more = seconds.saturating_mul(OF_ORGANISATION) / TimeDelta::days(1).num_seconds();
        if more > 0 {
            *room = Room { left: OF_ORGANISATION.min(room.left.saturating_add(more)), since: now };
        }
        let taken = room.left.min(count as i64);
        room.left -= taken;
        taken as usize
    }

    fn unprocessed<'a>(
        &'a self,
        call: &'a Refused<'a>,
        now: DateTime<Utc>,
    ) -> impl Iterator<Item = UnprocessedEvent> + 'a {
        let unprocessed = (0..).zip(call.events.iter().zip(call.report)).filter_map(|(index, (event, reported))| {
            match &reported.outcome {
                Outcome::Unprocessed { violations, .. } => Some((index, event, violations)),
                Outcome::Processed { .. } => None,
            }
        });
        unprocessed.map(move |(event_index, event, violations)| {
            let (system, reference) = event.external_reference.clone();
            UnprocessedEvent {
                id: self.id(now),
                created_on: now,
                created_by: call.sender.user_name.clone(),
                request_id: call.sender.request_id.clone(),
                event_index,
                request_unique_identifier: event
                    .request_unique_identifier
                    .clone()
                    .filter(|_| call.has_names)
                    .map(storable),
                error_codes: codes(violations),
                error_description: storable(violations.first().map(Violation::error_description).unwrap_or_default()),
                external_system: system.map(storable),
                external_system_reference_number: reference.map(storable),
            }
        })
    }

    fn id(&self, now: DateTime<Utc>) -> Uuid {
        let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
        Uuid::new_v7(Timestamp::from_unix(&self.0.ids, seconds, now.timestamp_subsec_nanos()))
    }

    /// Writes what calls leave, until it is told to stop and has written what waits then. Where the database does not
    /// take it, it is left out.
    pub async fn write(self, database: Database, stop: oneshot::Receiver<()>) {
        let mut written = self.0.written.lock().await;
        let (mut stop, mut is_stopping) = (stop, false);
        let mut reported = self.left_out();
        let mut reports = tokio::time::interval(REPORT);
        let mut batch = Vec::with_capacity(STEP);
        loop {
            let count = tokio::select! {
                biased;
                _ = &mut stop, if !is_stopping => {
                    written.close();
                    is_stopping = true;
                    continue;
                }
                _ = reports.tick() => {
                    reported = self.report(reported);
                    continue;
                }
                count = written.recv_many(&mut batch, STEP) => count,
            };
            if count == 0 {
                break;
            }
            let started = Instant::now();
            self.write_batch(&database, std::mem::take(&mut batch)).await;
            if !is_stopping {
                let pause = (started.elapsed() * PAUSE).min(LONGEST_PAUSE);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _ = &mut stop => {
                        written.close();
                        is_stopping = true;
                    }
                }
            }
        }
        self.report(reported);
    }

    async fn write_batch(&self, database: &Database, batch: Vec<Waiting>) {
        let mut of_organisations: BTreeMap<OrganisationId, Vec<&UnprocessedEvent>> = BTreeMap::new();
        for (organisation_id, event) in &batch {
            of_organisations.entry(*organisation_id).or_default().push(event);
        }
        for (organisation_id, events) in of_organisations {
            let inserted = unprocessed_events::insert(database.writer(), organisation_id, &events).await;
            if let Err(error) = inserted {
                tracing::debug!(?error, "unprocessed events are not kept");
                self.leave_out(events.len());
            }
        }
    }

    /// Logs how many events were left out since there were so many.
    fn report(&self, before: u64) -> u64 {
        let left_out = self.left_out();
        if left_out > before {
            let events = left_out - before;
            tracing::warn!(events, "unprocessed events are not kept: too many came, or the database did not take them");
        }
        left_out
    }
}

fn codes(violations: &[Violation]) -> String {
    let mut codes: Vec<&str> = Vec::with_capacity(violations.len());
    for violation in violations {
        let code = violation.kind.code();
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    codes.join(",")
}

/// A text as both databases can store it, cut short where it is very long.
fn storable(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAXIMUM_TEXT) {
        text.truncate(end);
    }
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}
