//! Which calls are carried out now, which wait, and which are told to come back.
//!
//! Calls of one organisation take turns in the database anyway. Those that are sure to wait do so here, where it costs a
//! place in a queue and no connection, and where organisations are served in turn: what one of them sends makes no other
//! wait. Nothing is correct because of this queue; correctness rests on the database alone.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{
    error::{Error, ErrorKind, Result},
    id::OrganisationId,
};

/// How many calls are carried out and wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// The places of calls that are carried out at once.
    pub places: usize,
    /// Those of one organisation.
    pub places_of_one: usize,
    /// So many events that calls create share a place, where they are calls of one organisation.
    pub events_of_a_place: usize,
    /// Calls that are carried out or wait. Half of them may be carried out at once, and a quarter be one organisation's:
    /// those that wait can give way to others.
    pub calls: usize,
    /// How long a call may be expected to wait for others of its organisation; past it, it is refused.
    pub wait: Duration,
}

/// So many calls of an organisation may wait whatever the expected time is: it is guessed from the calls before.
const ALWAYS_ALLOWED_TO_WAIT: usize = 16;
/// What a call costs beside its events, in events.
const COST_OF_A_CALL: usize = 50;
/// The time that an event is expected to take where none was carried out yet.
const FIRST_PACE: f64 = 30e-6;
/// Calls that are carried out together end within so long of one another.
const MOMENT: Duration = Duration::from_millis(1);
/// The part that the call that has just ended has in what is expected of the next.
const WEIGHT_OF_THE_LAST: f64 = 0.2;

/// What a call is going to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Creates so many events, together with other calls that do.
    Creates(usize),
    /// Something else, by itself, that costs as much as so many events.
    Other(usize),
}

/// A fair queue of calls.
#[derive(Clone)]
pub struct Admission {
    limits: AdmissionLimits,
    state: Arc<Mutex<State>>,
    /// How many calls were refused.
    shed: Arc<AtomicU64>,
}

/// How many calls wait, are carried out, and were refused so far.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionCounts {
    pub waiting: usize,
    pub at_work: usize,
    pub shed: u64,
}

/// A call that is carried out; its place is free again once this is dropped.
pub struct Permit {
    admission: Admission,
    organisation_id: OrganisationId,
    weight: Weight,
}

/// What a call takes.
#[derive(Clone, Copy)]
struct Weight {
    /// In time.
    cost: usize,
    /// Of a place: how many of its events.
    share: usize,
}

#[derive(Default)]
struct State {
    /// The places that are taken, and the calls that have taken them.
    places: usize,
    at_work: usize,
    waiting: usize,
    organisations: HashMap<OrganisationId, Organisation>,
    /// The service that the organisation served last had had before: where one that comes anew begins.
    served: u64,
    /// Seconds that an event takes, of the organisation that was served last.
    pace: Option<f64>,
}

/// An organisation with calls here.
struct Organisation {
    at_work: usize,
    /// The cost of its calls at work, and their shares of places.
    cost_at_work: usize,
    share_at_work: usize,
    queue: VecDeque<Waiting>,
    /// The cost of all its calls so far. The organisation with the least is served next.
    served: u64,
    /// Seconds that an event takes, as its calls come to their ends one after another.
    pace: f64,
    /// When the pace was last measured, or the first of those at work began.
    since: Instant,
    /// The cost of its calls that have ended since.
    ended: usize,
}

struct Waiting {
    weight: Weight,
    turn: oneshot::Sender<Result<Permit>>,
}

impl Admission {
    pub fn new(limits: AdmissionLimits) -> Self {
        let limits = AdmissionLimits { places: limits.places.min(limits.calls), ..limits };
        Self { limits, state: Arc::default(), shed: Arc::default() }
    }

    /// Waits until a call may be carried out. Refuses it at once where that would take too long.
    pub async fn enter(&self, organisation_id: OrganisationId, load: Load) -> Result<Permit> {
        let weight = self.limits.weigh(load);
        let turn = {
            let mut state = self.state();
            if let Some(place) = self.enter_at_once(&mut state, organisation_id, weight) {
                return Ok(place);
            }
            self.make_room(&mut state, organisation_id)?;
            let (turn, my_turn) = oneshot::channel();
            state.organisation(organisation_id).queue.push_back(Waiting { weight, turn });
            state.waiting += 1;
            my_turn
        };
        turn.await.map_err(Error::internal)?
    }

    /// Refuses a call that would be refused now, before its body is read.
    pub fn check(&self, organisation_id: OrganisationId) -> Result<()> {
        self.find_room(&mut self.state(), organisation_id).map(|_| ())
    }

    pub fn counts(&self) -> AdmissionCounts {
        let mut state = self.state();
        state.forget_the_departed();
        AdmissionCounts { waiting: state.waiting, at_work: state.at_work, shed: self.shed.load(Ordering::Relaxed) }
    }

    /// Counts a call that is refused, and tells it to come back.
    fn shed(&self, wait: Duration) -> Error {
        self.shed.fetch_add(1, Ordering::Relaxed);
        too_many(wait)
    }

    fn enter_at_once(&self, state: &mut State, organisation_id: OrganisationId, weight: Weight) -> Option<Permit> {
        let is_next = state.organisations.get(&organisation_id).is_none_or(|known| known.queue.is_empty());
        let may_begin = is_next && state.may_begin(self.limits, state.organisations.get(&organisation_id), weight);
        may_begin.then(|| self.begin(state, organisation_id, weight))
    }

    fn begin(&self, state: &mut State, organisation_id: OrganisationId, weight: Weight) -> Permit {
        state.at_work += 1;
        let organisation = state.organisation(organisation_id);
        if organisation.at_work == 0 {
            (organisation.since, organisation.ended) = (Instant::now(), 0);
        }
        let places_before = self.limits.places_of(organisation.share_at_work);
        organisation.at_work += 1;
        organisation.cost_at_work += weight.cost;
        organisation.share_at_work += weight.share;
        let served_before = organisation.served;
        organisation.served += weight.cost as u64;
        let more_places = self.limits.places_of(organisation.share_at_work) - places_before;
        state.places += more_places;
        state.served = state.served.max(served_before);
        Permit { admission: self.clone(), organisation_id, weight }
    }

    /// Makes sure that one more call may wait.
    fn make_room(&self, state: &mut State, organisation_id: OrganisationId) -> Result<()> {
        let Some(most) = self.find_room(state, organisation_id)? else { return Ok(()) };
        let displaced = state.organisations.get_mut(&most).and_then(|most| most.queue.pop_back());
        let Some(displaced) = displaced else { return Err(self.shed(self.limits.wait)) };
        state.waiting -= 1;
        // Where its caller has left meanwhile, nobody needs the answer.
        _ = displaced.turn.send(Err(self.shed(self.limits.wait)));
        Ok(())
    }

    /// Refuses a call for which there is no room to wait. Where all places are taken, the organisation that has the most
    /// calls waiting gives its last one's to one that has fewer: it is what is answered.
    fn find_room(&self, state: &mut State, organisation_id: OrganisationId) -> Result<Option<OrganisationId>> {
        state.forget_the_departed();
        let mut waiting = 0;
        if let Some(organisation) = state.organisations.get(&organisation_id) {
            self.check_wait(organisation)?;
            waiting = organisation.queue.len();
        }
        if state.at_work + state.waiting < self.limits.calls {
            return Ok(None);
        }
        let most = state.organisations.iter().max_by_key(|(_, organisation)| organisation.queue.len());
        let most = most.filter(|(_, most)| most.queue.len() > waiting + 1).map(|(id, _)| *id);
        most.map_or_else(|| Err(self.shed(self.limits.wait)), |most| Ok(Some(most)))
    }

    fn check_wait(&self, organisation: &Organisation) -> Result<()> {
        let wait = organisation.expected_wait();
        if organisation.queue.len() < ALWAYS_ALLOWED_TO_WAIT || wait <= self.limits.wait {
            return Ok(());
        }
        Err(self.shed(wait))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    /// Gives the place to the next call.
    fn drop(&mut self) {
        let limits = self.admission.limits;
        let mut next = Vec::new();
        let mut state = self.admission.state();
        state.end(limits, self.organisation_id, self.weight);
        while let Some((organisation_id, waiting)) = state.next(limits) {
            next.push((waiting.turn, self.admission.begin(&mut state, organisation_id, waiting.weight)));
        }
        drop(state);
        for (turn, place) in next {
            // Where its caller has just left, the place comes back, is dropped, and goes on to the next.
            _ = turn.send(Ok(place));
        }
    }
}

impl State {
    fn organisation(&mut self, organisation_id: OrganisationId) -> &mut Organisation {
        let (served, pace) = (self.served, self.pace.unwrap_or(FIRST_PACE));
        self.organisations.entry(organisation_id).or_insert_with(|| Organisation {
            at_work: 0,
            cost_at_work: 0,
            share_at_work: 0,
            queue: VecDeque::new(),
            served,
            pace,
            since: Instant::now(),
            ended: 0,
        })
    }

    /// Whether a call of an organisation, which is known if it has others here, may begin beside those at work.
    fn may_begin(&self, limits: AdmissionLimits, organisation: Option<&Organisation>, weight: Weight) -> bool {
        let (at_work, share) = organisation.map_or((0, 0), |known| (known.at_work, known.share_at_work));
        let places = limits.places_of(share + weight.share);
        let more_places = places - limits.places_of(share);
        let fits = places <= limits.places_of_one && self.places + more_places <= limits.places;
        fits && self.at_work < (limits.calls / 2).max(limits.places)
            && at_work < (limits.calls / 4).max(limits.places_of_one)
    }

    fn end(&mut self, limits: AdmissionLimits, organisation_id: OrganisationId, weight: Weight) {
        self.at_work -= 1;
        let Some(organisation) = self.organisations.get_mut(&organisation_id) else { return };
        let places_before = limits.places_of(organisation.share_at_work);
        organisation.at_work -= 1;
        organisation.cost_at_work -= weight.cost;
        organisation.share_at_work -= weight.share;
        self.places -= places_before - limits.places_of(organisation.share_at_work);
        organisation.ended += weight.cost;
        let elapsed = organisation.since.elapsed();
        if elapsed >= MOMENT {
            let last = elapsed.as_secs_f64() / organisation.ended as f64;
            organisation.pace += WEIGHT_OF_THE_LAST * (last - organisation.pace);
            (organisation.since, organisation.ended) = (Instant::now(), 0);
        }
        self.pace = Some(organisation.pace);
        if organisation.at_work == 0 && organisation.queue.is_empty() {
            self.organisations.remove(&organisation_id);
        }
    }

    /// The call that is next: of the organisation that has been served least, of those whose next call may begin.
    fn next(&mut self, limits: AdmissionLimits) -> Option<(OrganisationId, Waiting)> {
        self.forget_the_departed();
        let ready = self.organisations.iter().filter(|(_, organisation)| {
            let next = organisation.queue.front();
            next.is_some_and(|next| self.may_begin(limits, Some(organisation), next.weight))
        });
        let organisation_id = *ready.min_by_key(|(_, organisation)| organisation.served)?.0;
        let waiting = self.organisations.get_mut(&organisation_id)?.queue.pop_front()?;
        self.waiting -= 1;
        Some((organisation_id, waiting))
    }

    /// Frees the places of those who wait no longer.
    fn forget_the_departed(&mut self) {
        let mut waiting = 0;
        self.organisations.retain(|_, organisation| {
            organisation.queue.retain(|waiting| !waiting.turn.is_closed());
            waiting += organisation.queue.len();
            organisation.at_work > 0 || !organisation.queue.is_empty()
        });
        self.waiting = waiting;
    }
}

impl AdmissionLimits {
    fn weigh(self, load: Load) -> Weight {
        let (events, share) = match load {
            Load::Creates(events) => (events, events.clamp(1, self.events_of_a_place)),
            Load::Other(events) => (events, self.events_of_a_place),
        };
        Weight { cost: events + COST_OF_A_CALL, share }
    }

    /// The places that calls of one organisation take together.
    fn places_of(self, share: usize) -> usize {
        share.div_ceil(self.events_of_a_place)
    }
}

impl Organisation {
    /// How long a call that comes now is going to wait, as far as one can tell: by how long the calls before it took, or
    /// by how long those at work take already.
    fn expected_wait(&self) -> Duration {
        let queued: usize = self.queue.iter().map(|waiting| waiting.weight.cost).sum();
        let taken = self.since.elapsed().as_secs_f64();
        let pace = match self.cost_at_work {
            0 => self.pace,
            cost => self.pace.max(taken / cost as f64),
        };
        Duration::try_from_secs_f64(pace * (queued + self.cost_at_work) as f64).unwrap_or(Duration::MAX)
    }
}

/// Tells a caller to come back; those who are told so at once don't come back at once.
fn too_many(wait: Duration) -> Error {
    let wait = wait.clamp(Duration::from_secs(1), Duration::from_secs(30));
    let spread = getrandom::u64().unwrap_or_default() as f64 / u64::MAX as f64;
    Error::new(ErrorKind::TooManyRequests, "The service has too many calls under way; try again.")
        .retry_after(wait.mul_f64(1.0 + spread))
}
