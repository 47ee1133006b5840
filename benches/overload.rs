//! What callers notice where one organisation sends far more than fits: `cargo bench --bench overload`, or only a part of
//! it: `cargo bench --bench overload -- postgresql 100`.
//!
//! So many callers of one organisation call over REST as fast as they may, each after the time that a refusal told it to
//! wait; one caller of another organisation calls beside them, one call after the other.

#[path = "support/mod.rs"]
mod support;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use referral_events::directory::DirectoryKind;
use serde_json::Value;
use support::{
    Bench, Engine, add_organisation, is_chosen, milliseconds, postgres, quantile,
    server::Server,
    world::{ORGANISATION, World},
};
use tokio::task::JoinSet;

const CALLERS: usize = 300;
/// How long they call.
const PERIOD: Duration = Duration::from_secs(10);
/// Over how long they begin, one after another: what began together would come back together, for `Retry-After` is in
/// whole seconds.
const BEGINNING: Duration = Duration::from_secs(2);
/// Calls of a caller that is alone.
const CALLS_ALONE: usize = 200;
const PARTICIPANTS: u64 = 500_000;
const SIZES: [&str; 2] = ["1", "100"];
/// Events that are ready to be sent: more than are created in the period.
const EVENTS_READY: u64 = 400_000;
const CALLS_READY: u64 = 40_000;

#[tokio::main]
async fn main() {
    println!("| engine | events a call | callers | admitted/s | p50 ms | p99 ms | refused/s | p50 ms | p99 ms |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for engine in Engine::chosen() {
        for size in SIZES.iter().filter(|size| is_chosen(size, &SIZES)) {
            measure(engine, size.parse().expect("a number")).await;
        }
    }
    postgres::stop();
}

async fn measure(engine: Engine, events: u64) {
    let bench = Bench::new(engine).await;
    let database = bench.connect().await;
    let mut worlds = [World::new(PARTICIPANTS, 0), World::new(PARTICIPANTS, 0)];
    let other = add_organisation(&database, "neighbour").await;
    for (world, organisation_id) in worlds.iter_mut().zip([bench.organisation_id, other]) {
        world.import(&database, &bench.hasher(), organisation_id, &DirectoryKind::ALL).await;
    }
    database.close().await.expect("a close");
    let server = Server::start(&bench.url);
    let many = Callers::login(&server.address, ORGANISATION).await;
    let one = Callers::login(&server.address, "neighbour").await;
    let calls = (EVENTS_READY / events).min(CALLS_READY);
    many.prepare(&mut worlds[0], calls, events);
    one.prepare(&mut worlds[1], calls.min(4000), events);

    let row = |who: &str, mut seen: Seen, elapsed: Duration| {
        let rate = |times: &[Duration]| times.len() as f64 / elapsed.as_secs_f64();
        let of = |times: &mut Vec<Duration>, share| match times.is_empty() {
            true => 0.0,
            false => milliseconds(quantile(times, share)),
        };
        println!(
            "| {} | {events} | {who} | {:.0} | {:.1} | {:.1} | {:.0} | {:.1} | {:.1} |",
            engine.name(),
            rate(&seen.admitted),
            of(&mut seen.admitted, 0.5),
            of(&mut seen.admitted, 0.99),
            rate(&seen.refused),
            of(&mut seen.refused, 0.5),
            of(&mut seen.refused, 0.99),
        );
    };
    let started = Instant::now();
    let alone = one.call_until(|calls| calls == CALLS_ALONE).await;
    row("1, alone", alone, started.elapsed());
    let end = Instant::now() + PERIOD;
    let neighbour = {
        let one = one.clone();
        tokio::spawn(async move { one.call_until(|_| Instant::now() >= end).await })
    };
    let mut callers = JoinSet::new();
    for n in 0..CALLERS {
        let caller = many.another();
        callers.spawn(async move {
            tokio::time::sleep(BEGINNING.mul_f64(n as f64 / CALLERS as f64)).await;
            caller.call_until(|_| Instant::now() >= end).await
        });
    }
    let mut seen = Seen::default();
    for more in callers.join_all().await {
        seen.admitted.extend(more.admitted);
        seen.refused.extend(more.refused);
    }
    row(&CALLERS.to_string(), seen, PERIOD);
    row("1, beside them", neighbour.await.expect("a caller"), PERIOD);
}

/// How long calls took.
#[derive(Default)]
struct Seen {
    admitted: Vec<Duration>,
    refused: Vec<Duration>,
}

/// A caller of an organisation, with a connection of its own; its fellows share what is ready to be sent.
#[derive(Clone)]
struct Callers {
    url: String,
    token: String,
    http: reqwest::Client,
    ready: Arc<Mutex<VecDeque<String>>>,
}

impl Callers {
    async fn login(address: &str, organisation: &str) -> Self {
        let http = reqwest::Client::new();
        let credentials = serde_json::json!({"username": "u", "password": "p", "organisation": organisation});
        let login = http.post(format!("http://{address}/authentication/token"));
        let login = login.header("content-type", "application/json").body(credentials.to_string());
        let answer = login.send().await.expect("an answer").bytes().await.expect("a body");
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        let token = answer["data"]["token"].as_str().expect("a token").to_owned();
        let url = format!("http://{address}/customer_events/bulk/referrals/create");
        Self { url, token, http, ready: Arc::default() }
    }

    fn another(&self) -> Self {
        Self { http: reqwest::Client::new(), ..self.clone() }
    }

    fn prepare(&self, world: &mut World, calls: u64, events: u64) {
        let mut ready = self.ready.lock().expect("a lock");
        ready.extend((0..calls).map(|_| world.batch(events).to_string()));
    }

    async fn call_until(&self, is_enough: impl Fn(usize) -> bool) -> Seen {
        let mut seen = Seen::default();
        while !is_enough(seen.admitted.len()) {
            let body = self.ready.lock().expect("a lock").pop_front();
            let Some(body) = body else { panic!("everything is sent") };
            let request = self.http.post(&self.url).bearer_auth(&self.token);
            let request = request.header("content-type", "application/json").body(body.clone());
            let started = Instant::now();
            let response = request.send().await.expect("an answer");
            let (status, headers) = (response.status(), response.headers().clone());
            let answer = response.bytes().await.expect("a body");
            let elapsed = started.elapsed();
            if status == 429 {
                seen.refused.push(elapsed);
                self.ready.lock().expect("a lock").push_back(body);
                let wait = headers["retry-after"].to_str().expect("a text").parse().expect("seconds");
                tokio::time::sleep(Duration::from_secs(wait)).await;
            } else {
                assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
                seen.admitted.push(elapsed);
            }
        }
        seen
    }
}
