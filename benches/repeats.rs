//! How long a call of 1000 events takes of which some are there already, or may close a circle, beside one of which none
//! is or may: `cargo bench --bench repeats`.

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use referral_events::directory::DirectoryKind;
use serde_json::{Value, json};
use support::{
    Bench, Engine, milliseconds, postgres, quantile,
    server::{Client, Server, Transport},
    world::{ORGANISATION, TOKENS, World},
};

const EVENTS: u64 = 1000;
const CASES: [Case; 6] = [
    Case::Repeats(0),
    Case::Repeats(1),
    Case::Repeats(10),
    Case::Repeats(500),
    Case::Referrers(1),
    Case::Referrers(10),
];
const ROUNDS: usize = 50;
const WARM_UP: usize = 5;
const EVENTS_SET: &str = "referral_customer_events_set";

/// What so many of the events are.
#[derive(Clone, Copy, Debug)]
enum Case {
    /// There already.
    Repeats(usize),
    /// Of a referred party who has referred others, so that a circle is possible.
    Referrers(usize),
}

#[tokio::main]
async fn main() {
    println!("| engine | among {EVENTS} | median ms | p99 ms | ratio to none |");
    println!("|---|---|---|---|---|");
    for engine in Engine::chosen() {
        measure(engine).await;
    }
    postgres::stop();
}

async fn measure(engine: Engine) {
    let bench = Bench::new(engine).await;
    let mut world = World::new((CASES.len() * (WARM_UP + ROUNDS)) as u64 * EVENTS + 10_000, 0);
    let database = bench.connect().await;
    world.import(&database, &bench.hasher(), bench.organisation_id, &DirectoryKind::ALL).await;
    database.close().await.expect("a close");
    let server = Server::start(&bench.url);
    let client = Client::login(&server.address, Transport::Grpc, ORGANISATION).await;

    let mut before = world.batch(EVENTS);
    client.call(client.prepare(&before), EVENTS).await;
    let mut times: [Vec<Duration>; CASES.len()] = Default::default();
    let mut referrers = 1..;
    for round in 0..WARM_UP + ROUNDS {
        // In turn, for every event that is stored makes the next call a little longer.
        for (case, times) in CASES.into_iter().zip(&mut times) {
            let mut batch = world.batch(EVENTS);
            match case {
                Case::Repeats(n) => events(&mut batch)[..n].clone_from_slice(&events(&mut before)[..n]),
                Case::Referrers(n) => {
                    for (event, referrer) in events(&mut batch)[..n].iter_mut().zip(referrers.by_ref()) {
                        refer_a_referrer(event, referrer);
                    }
                }
            }
            let time = client.call(client.prepare(&batch), EVENTS).await;
            if round >= WARM_UP {
                times.push(time);
            }
            before = batch;
        }
    }
    let none = quantile(&mut times[0], 0.5);
    for (case, times) in CASES.into_iter().zip(&mut times) {
        let median = quantile(times, 0.5);
        println!(
            "| {} | {case:?} | {:.2} | {:.2} | {:.2} |",
            engine.name(),
            milliseconds(median),
            milliseconds(quantile(times, 0.99)),
            median.as_secs_f64() / none.as_secs_f64()
        );
    }
}

fn events(batch: &mut Value) -> &mut [Value] {
    batch[EVENTS_SET].as_array_mut().expect("a set")
}

/// Has the event refer one of those who refer the others, by one of them whom nobody has referred.
fn refer_a_referrer(event: &mut Value, referrer: u64) {
    let members = event.as_object_mut().expect("an object");
    members.retain(|name, _| !name.starts_with("referred_"));
    event["referred_rewards_participant_identifier"] = json!({"number": format!("RP{referrer:010}")});
    event["referred_by_rewards_participant_identifier"] = json!({"number": format!("RP{:010}", TOKENS / 2 + referrer)});
}
