//! How long a call of 1000 events takes of which some are there already, beside one of which none is:
//! `cargo bench --bench repeats`.

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use referral_events::directory::DirectoryKind;
use serde_json::Value;
use support::{
    Bench, Engine, milliseconds, postgres, quantile,
    server::{Client, Server, Transport},
    world::{ORGANISATION, World},
};

const EVENTS: u64 = 1000;
const REPEATS: [usize; 4] = [0, 1, 10, 500];
const ROUNDS: usize = 50;
const WARM_UP: usize = 5;
const EVENTS_SET: &str = "referral_customer_events_set";

#[tokio::main]
async fn main() {
    println!("| engine | repeats among {EVENTS} | median ms | p99 ms | ratio to none |");
    println!("|---|---|---|---|---|");
    for engine in Engine::chosen() {
        measure(engine).await;
    }
    postgres::stop();
}

async fn measure(engine: Engine) {
    let bench = Bench::new(engine).await;
    let mut world = World::new((REPEATS.len() * (WARM_UP + ROUNDS)) as u64 * EVENTS + 10_000, 0);
    let database = bench.connect().await;
    world.import(&database, &bench.hasher(), bench.organisation_id, &DirectoryKind::ALL).await;
    database.close().await.expect("a close");
    let server = Server::start(&bench.url);
    let client = Client::login(&server.address, Transport::Grpc, ORGANISATION).await;

    let mut before = world.batch(EVENTS);
    client.call(client.prepare(&before), EVENTS).await;
    let mut times: [Vec<Duration>; REPEATS.len()] = Default::default();
    for round in 0..WARM_UP + ROUNDS {
        // In turn, for every event that is stored makes the next call a little longer.
        for (repeats, times) in REPEATS.into_iter().zip(&mut times) {
            let mut batch = world.batch(EVENTS);
            events(&mut batch)[..repeats].clone_from_slice(&events(&mut before)[..repeats]);
            let time = client.call(client.prepare(&batch), EVENTS).await;
            if round >= WARM_UP {
                times.push(time);
            }
            before = batch;
        }
    }
    let none = quantile(&mut times[0], 0.5);
    for (repeats, times) in REPEATS.into_iter().zip(&mut times) {
        let median = quantile(times, 0.5);
        println!(
            "| {} | {repeats} | {:.2} | {:.2} | {:.2} |",
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
