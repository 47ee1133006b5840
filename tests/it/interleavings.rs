//! Calls at once, of all kinds together: whatever comes of them, they could have come one after another.
//!
//! In each round a few callers send random calls about a small world, to two servers or to one, which carries out
//! together what waits. Some create all of their events or none, and some are sent several times under one idempotency
//! key. The judge then looks for an order of the calls in which the model answers each as it was answered. A call that was
//! answered before another was sent stands before it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use proptest::{
    bool::weighted,
    collection::vec,
    option,
    prelude::*,
    sample::Index,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use referral_events::storage::{Database, users};
use serde_json::{Value, json};

use crate::support::{
    Process, Setup, Workplace,
    model::Model,
    setting,
    small_world::{self, Content, Form, Name, PARTIES, Sent, cut, events},
    tests,
};

tests! {
    Rest: calls_at_once_are_answered_as_if_they_had_come_one_after_another;
}

/// How many rounds there are, where the environment does not say.
const ROUNDS: usize = 550;
/// Each round's calls are at most as many.
const CALLS: usize = 7;

/// What the events of a round have in common.
#[derive(Clone, Copy, Debug)]
enum Theme {
    Nothing,
    Referred(usize),
    Reference(u8),
    OneTimePassword(usize),
    /// Each party refers the next, and the last one the first.
    Circle(usize),
    /// So many callers send all of them, every second one in the opposite order.
    Batches(usize),
}

/// A call before it is sent.
#[derive(Clone, Debug)]
struct Planned {
    events: Vec<Sent>,
    all_or_nothing: bool,
    /// What its idempotency key is made from: the same for calls of the same content alone.
    key: Option<usize>,
    /// How long to wait first.
    delay: Duration,
}

fn round() -> impl Strategy<Value = Vec<Planned>> {
    let theme = prop_oneof![
        4 => Just(Theme::Nothing),
        1 => (0..PARTIES).prop_map(Theme::Referred),
        1 => (0..3u8).prop_map(Theme::Reference),
        1 => (0..PARTIES).prop_map(Theme::OneTimePassword),
        2 => (2..PARTIES).prop_map(Theme::Circle),
        1 => (2..5usize).prop_map(Theme::Batches),
    ];
    // All at once, or so that some come after others.
    let longest = prop_oneof![3 => Just(2_000u64), 1 => Just(30_000u64)];
    let delays = longest.prop_flat_map(|longest| vec(0..longest, CALLS));
    let options = vec((weighted(0.2), weighted(0.2), option::weighted(0.2, any::<Index>())), CALLS);
    (theme, events(2..15), vec(1..4usize, 1..4), delays, options).prop_map(
        |(theme, mut events, sizes, delays, options)| {
            for (n, event) in events.iter_mut().enumerate() {
                theme.apply(n, event);
            }
            let mut calls: Vec<Planned> = Vec::new();
            let planned = theme.calls(&events, &sizes).into_iter().zip(delays).zip(options).enumerate();
            for (n, ((events, delay), (all_or_nothing, has_key, repeated))) in planned {
                let delay = Duration::from_micros(delay);
                let repeated = repeated.filter(|_| n > 0).map(|repeated| repeated.get(&calls).clone());
                calls.push(match repeated.filter(|repeated| repeated.key.is_some()) {
                    Some(repeated) => Planned { delay, ..repeated },
                    None => Planned { events, all_or_nothing, key: has_key.then_some(n), delay },
                });
            }
            calls
        },
    )
}

impl Theme {
    fn apply(self, n: usize, event: &mut Sent) {
        match self {
            Self::Nothing | Self::Batches(_) => {}
            Self::Referred(party) => event.referred = party,
            Self::Reference(number) => event.reference = Some((None, number)),
            Self::OneTimePassword(party) => (event.referrer, event.forms.1) = (party, Form::OneTimePassword),
            Self::Circle(length) => {
                (event.referred, event.referrer) = (n % length, (n + 1) % length);
                (event.forms, event.fault) = ((Form::Account, Form::Account), None);
            }
        }
    }

    fn calls(self, events: &[Sent], sizes: &[usize]) -> Vec<Vec<Sent>> {
        let Self::Batches(callers) = self else {
            return cut(events, sizes).into_iter().map(<[Sent]>::to_vec).collect();
        };
        let opposite: Vec<Sent> = events.iter().rev().cloned().collect();
        (0..callers).map(|caller| if caller % 2 == 0 { events.to_vec() } else { opposite.clone() }).collect()
    }
}

/// A call that was answered.
struct Call {
    events: Vec<Sent>,
    all_or_nothing: bool,
    key: Option<usize>,
    outcomes: Vec<Result<Name, String>>,
    sent: Instant,
    answered: Instant,
}

impl Call {
    async fn send(server: &Process, token: &str, world: usize, planned: Planned) -> Self {
        let Planned { events, all_or_nothing, key: planned_key, delay } = planned;
        let json: Vec<Value> = (0..).zip(&events).map(|(position, event)| event.json(position, world)).collect();
        let request = json!({"token": token, "referral_customer_events_set": json, "all_or_nothing": all_or_nothing});
        let key = planned_key.map(|key| format!("{world}-{key}"));
        tokio::time::sleep(delay).await;
        let sent = Instant::now();
        let answer = server.post_once("customer_events/bulk/referrals/create", &request, key.as_deref()).await;
        let answered = Instant::now();
        assert_eq!(answer.code, "OK", "{answer:?}");
        let outcomes = small_world::outcomes(&events, &answer).unwrap_or_else(|error| panic!("{error}"));
        Self { events, all_or_nothing, key: planned_key, outcomes, sent, answered }
    }

    fn is_before(&self, other: &Self) -> bool {
        self.answered < other.sent
    }

    fn names(&self) -> impl Iterator<Item = &Name> {
        self.outcomes.iter().filter_map(|outcome| outcome.as_ref().ok())
    }
}

/// The calls of a round, a line each event, for whoever looks into a failure.
fn told(calls: &[Call]) -> String {
    let first = calls.iter().map(|call| call.sent).min().expect("a call");
    let mut text = String::new();
    for call in calls {
        let [from, to] = [call.sent, call.answered].map(|moment| (moment - first).as_micros());
        let (all_or_nothing, key) = (call.all_or_nothing, call.key);
        writeln!(text, "\nfrom {from} to {to} us, all or nothing {all_or_nothing}, key {key:?}:").expect("a line");
        for (event, outcome) in call.events.iter().zip(&call.outcomes) {
            writeln!(text, "  {event:?}\n    {outcome:?}").expect("a line");
        }
    }
    text
}

/// The model after some calls, and the names that its events were answered with.
#[derive(Clone, Default)]
struct History {
    model: Model,
    names: Vec<Name>,
    /// The answers under idempotency keys.
    kept: HashMap<usize, Vec<Result<usize, String>>>,
}

impl History {
    /// Whether the model answers a call as it was answered.
    fn explains(&mut self, call: &Call) -> bool {
        let kept = call.key.and_then(|key| self.kept.get(&key).cloned());
        let expected = kept.unwrap_or_else(|| match call.all_or_nothing {
            true => self.model.all_or_nothing(&call.events),
            false => self.model.call(&call.events),
        });
        if let Some(key) = call.key {
            self.kept.insert(key, expected.clone());
        }
        expected == small_world::positions(&mut self.names, &call.outcomes)
    }

    /// The history in which the calls come after this one, in whatever order explains them.
    fn followed_by(&self, calls: &[&Call]) -> Option<Self> {
        if calls.is_empty() {
            return Some(self.clone());
        }
        let could_be_next = |call: &&&Call| !calls.iter().any(|other| other.is_before(call));
        calls.iter().filter(could_be_next).find_map(|next| {
            let mut history = self.clone();
            let others: Vec<&Call> = calls.iter().copied().filter(|call| !std::ptr::eq(*call, *next)).collect();
            if history.explains(next) { history.followed_by(&others) } else { None }
        })
    }
}

/// What a run has seen, to show that it has seen what it is about.
#[derive(Default)]
struct Seen {
    rows: HashMap<Name, Content>,
    codes: BTreeMap<String, usize>,
    calls: usize,
    /// Calls that another one overlapped.
    overlapping: usize,
    /// Events that several calls were answered with.
    shared: usize,
    highest_number: i64,
}

impl Seen {
    /// Judges a round and takes note of it.
    fn judge(&mut self, world: usize, calls: &[Call]) {
        let history = History::default().followed_by(&calls.iter().collect::<Vec<_>>());
        let history =
            history.unwrap_or_else(|| panic!("no order of the calls explains their answers: {}", told(calls)));
        self.check_numbers(calls);
        for (name, content) in small_world::rows(&history.model.created, &history.names, world) {
            assert!(self.rows.insert(name, content).is_none(), "an event of another round: {}", told(calls));
        }
        for call in calls {
            for outcome in &call.outcomes {
                let code = outcome.as_ref().err().map_or("OK", String::as_str);
                *self.codes.entry(code.to_owned()).or_default() += 1;
            }
            let overlaps = |other: &Call| !other.is_before(call) && !call.is_before(other);
            self.overlapping += usize::from(calls.iter().filter(|other| overlaps(other)).count() > 1);
        }
        self.calls += calls.len();
    }

    /// Numbers are unique and rise: within a call, and from a call to one that is sent after its answer.
    fn check_numbers(&mut self, calls: &[Call]) {
        let number = |name: &Name| name.1.parse::<i64>().expect("a number");
        let mut named_by: HashMap<&Name, BTreeSet<usize>> = HashMap::new();
        for (n, call) in calls.iter().enumerate() {
            call.names().for_each(|name| _ = named_by.entry(name).or_default().insert(n));
        }
        self.shared += named_by.values().filter(|calls| calls.len() > 1).count();
        // What one call alone was answered with is its own. It may still name it several times.
        let own = |n: usize| {
            let mut numbers = Vec::new();
            for name in calls[n].names().filter(|name| named_by[name].len() == 1) {
                if !numbers.contains(&number(name)) {
                    numbers.push(number(name));
                }
            }
            numbers
        };
        for (n, call) in calls.iter().enumerate() {
            let numbers = own(n);
            let lowest = numbers.first().copied().unwrap_or(i64::MAX);
            assert!(numbers.is_sorted() && lowest > self.highest_number, "{numbers:?} in {}", told(calls));
            for (m, _) in calls.iter().enumerate().filter(|(_, other)| other.is_before(call)) {
                assert!(own(m).last().is_none_or(|highest| *highest < lowest), "{lowest} in {}", told(calls));
            }
        }
        let numbers: BTreeSet<i64> = named_by.keys().map(|name| number(name)).collect();
        assert_eq!(numbers.len(), named_by.len(), "{}", told(calls));
        self.highest_number = numbers.last().copied().unwrap_or(0).max(self.highest_number);
    }
}

/// The calls of the round about a world, always the same for a seed.
fn plan(seed: u64, world: usize) -> Vec<Planned> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&(world as u64).to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    round().new_tree(&mut runner).expect("a round").current()
}

async fn calls_at_once_are_answered_as_if_they_had_come_one_after_another(setup: Setup) {
    let rounds = setting("RACE_ROUNDS").unwrap_or(ROUNDS);
    let seed = setting("RACE_SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    println!("{:?}: {rounds} rounds with RACE_SEED={seed}", setup.engine);

    let mut workplace = Workplace::over(setup.engine.create_database());
    // It gives wrong codes without end.
    workplace.set("REFERRAL_EVENTS_WRONG_CODES", "1000000");
    workplace.run_well(&["migrate"], "");
    workplace.add_caller("seven green kettles");
    for (kind, rows) in small_world::directory(0..rounds) {
        workplace.run_well(&["import", "--organisation", "acme", kind.name(), "-"], &rows);
    }
    let log = ["--log", "warn,referral_events::referral=debug"];
    let servers = [workplace.serve(&log), workplace.serve(&log)];
    let token = servers[0].login("seven green kettles").await;

    let mut seen = Seen::default();
    for world in 0..rounds {
        let calls = plan(seed, world).into_iter().enumerate();
        let servers = &servers[..1 + world % 2];
        let calls = join_all(calls.map(|(n, call)| Call::send(&servers[n % servers.len()], &token, world, call))).await;
        seen.judge(world, &calls);
    }

    let database = Database::connect(&workplace.database_url()).await.expect("a database");
    let acme = users::find_organisation(database.reader(), "acme").await.expect("a look-up").expect("an organisation");
    let stored: HashMap<Name, Content> = small_world::stored(&database, acme.id).await.into_iter().collect();
    assert_eq!(stored, seen.rows);
    for server in &servers {
        assert!(!server.output().contains("ERROR"), "{}", server.output());
    }
    // Most rounds are as they are meant: the calls meet, and over the same things.
    if rounds >= ROUNDS {
        assert!(seen.overlapping > seen.calls / 2 && seen.shared > rounds / 10);
        let groups = servers.iter().map(|server| server.output().matches("calls are carried out together").count());
        let groups: usize = groups.sum();
        assert!(groups > rounds / 2, "{groups}");
        for code in [
            "OK",
            "ReferralAlreadyExists",
            "ReferredByAnotherParticipant",
            "CircularReferral",
            "ExternalReferenceConflict",
            "InvalidAccessToken",
            "SelfReferral",
            "NotAttempted",
        ] {
            assert!(seen.codes.get(code).is_some_and(|count| *count > rounds / 20), "{code}: {:?}", seen.codes);
        }
    }
}
