//! Callers of two organisations for five minutes, one call of twenty of which is hung up on: `cargo bench --bench soak`,
//! or `cargo bench --bench soak -- postgresql 60` for one engine and so many seconds. Every call that is not hung up on
//! must be answered as ever; every event that was acknowledged must be there once, and of each call that was hung up on
//! all events or none.

#[path = "support/mod.rs"]
mod support;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use referral_events::{
    directory::DirectoryKind,
    id::OrganisationId,
    storage::{Database, entity::referral_event},
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};
use serde_json::Value;
use support::{
    Bench, Engine, add_organisation, milliseconds, postgres, quantile,
    server::Server,
    world::{ORGANISATION, World},
};
use tokio::task::JoinSet;

const CALLERS_OF_EACH: u64 = 8;
const EVENTS: u64 = 5;
const PARTICIPANTS: u64 = 600_000;
/// One of so many calls is hung up on, this long after it was sent.
const HANG_UP_EVERY: u64 = 20;
const LONGEST_WAIT_MICROSECONDS: u64 = 20_000;
/// Between two calls of a caller.
const PAUSE: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() {
    let seconds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(300);
    println!("| engine | seconds | calls | hung up | of those committed | events | p50 ms | p99 ms | memory |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for engine in Engine::chosen() {
        soak(engine, Duration::from_secs(seconds)).await;
    }
    postgres::stop();
}

/// What came of calls; each as the references of its events.
#[derive(Default)]
struct Seen {
    times: Vec<Duration>,
    answered: Vec<Vec<String>>,
    hung_up: Vec<Vec<String>>,
}

async fn soak(engine: Engine, period: Duration) {
    let bench = Bench::new(engine).await;
    let database = bench.connect().await;
    let other = add_organisation(&database, "other").await;
    let organisations = [(bench.organisation_id, ORGANISATION), (other, "other")];
    let server = Server::start(&bench.url);
    let mut callers = JoinSet::new();
    let mut ready = Vec::new();
    for (organisation_id, name) in organisations {
        let world = World::new(PARTICIPANTS, 0);
        world.import(&database, &bench.hasher(), organisation_id, &DirectoryKind::ALL).await;
        ready.push((organisation_id, Arc::new(Mutex::new(world)), login(&server.address, name).await));
    }
    let end = Instant::now() + period;
    for (organisation_id, world, token) in ready {
        for n in 0..CALLERS_OF_EACH {
            let (world, token, address) = (world.clone(), token.clone(), server.address.clone());
            let calling = async move { call_until(end, &world, &token, &address, n).await };
            callers.spawn(async move { (organisation_id, calling.await) });
        }
    }
    let mut times = Vec::new();
    let (mut hung_up, mut committed, mut events) = (0, 0, 0);
    let mut seen: HashMap<OrganisationId, Vec<Seen>> = HashMap::new();
    for (organisation_id, more) in callers.join_all().await {
        seen.entry(organisation_id).or_default().push(more);
    }
    for (organisation_id, seen) in seen {
        let references = references(&database, organisation_id).await;
        let stored: HashSet<&String> = references.iter().collect();
        assert_eq!(stored.len(), references.len(), "an event is there twice");
        events += stored.len();
        for seen in seen {
            times.extend(seen.times);
            assert!(seen.answered.iter().flatten().all(|reference| stored.contains(reference)), "an event is lost");
            for call in &seen.hung_up {
                let there = call.iter().filter(|reference| stored.contains(reference)).count();
                assert!(there == 0 || there == call.len(), "a part of a call is there");
                committed += usize::from(there > 0);
            }
            hung_up += seen.hung_up.len();
        }
    }
    println!(
        "| {} | {} | {} | {hung_up} | {committed} | {events} | {:.1} | {:.1} | {} |",
        engine.name(),
        period.as_secs(),
        times.len() + hung_up,
        milliseconds(quantile(&mut times, 0.5)),
        milliseconds(quantile(&mut times, 0.99)),
        server.memory(),
    );
    database.close().await.expect("a close");
}

async fn login(address: &str, organisation: &str) -> String {
    let credentials = serde_json::json!({"username": "u", "password": "p", "organisation": organisation});
    let login = reqwest::Client::new().post(format!("http://{address}/authentication/token")).json(&credentials);
    let answer: Value = login.send().await.expect("an answer").json().await.expect("JSON");
    answer["data"]["token"].as_str().expect("a token").to_owned()
}

async fn call_until(end: Instant, world: &Mutex<World>, token: &str, address: &str, caller: u64) -> Seen {
    let mut seen = Seen::default();
    let mut client = reqwest::Client::new();
    for n in caller.. {
        if Instant::now() >= end {
            break;
        }
        let batch = world.lock().expect("a lock").batch(EVENTS);
        let events = batch["referral_customer_events_set"].as_array().expect("a set");
        let reference = |event: &Value| event["external_system_reference_number"].as_str().map(str::to_owned);
        let references: Vec<String> = events.iter().filter_map(reference).collect();
        let url = format!("http://{address}/customer_events/bulk/referrals/create");
        let request = client.post(url).bearer_auth(token).json(&batch);
        let started = Instant::now();
        if n.is_multiple_of(HANG_UP_EVERY) {
            let wait = Duration::from_micros(n * 7919 % LONGEST_WAIT_MICROSECONDS);
            if tokio::time::timeout(wait, request.send()).await.is_err() {
                // With its connections.
                client = reqwest::Client::new();
            }
            seen.hung_up.push(references);
        } else {
            let response = request.send().await.expect("an answer");
            let answer: Value = response.json().await.expect("JSON");
            let processed = answer["data"]["processed_customer_events_set"].as_array().map(Vec::len);
            assert_eq!(processed, Some(references.len()), "{answer}");
            seen.times.push(started.elapsed());
            seen.answered.push(references);
        }
        tokio::time::sleep(PAUSE).await;
    }
    seen
}

async fn references(database: &Database, organisation_id: OrganisationId) -> Vec<String> {
    let events = referral_event::Entity::find()
        .select_only()
        .column(referral_event::Column::ExternalSystemReferenceNumber)
        .filter(referral_event::Column::OrganisationId.eq(organisation_id));
    events.into_tuple().all(database.reader()).await.expect("events")
}
