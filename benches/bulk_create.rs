//! How long a call takes, beside the database's own bulk load of the same rows: `cargo bench --bench bulk_create`, or
//! only a part of it: `cargo bench --bench bulk_create -- postgresql grpc 1000`.

#[path = "support/mod.rs"]
mod support;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use referral_events::{config::Config, directory::DirectoryKind, server};
use support::{
    Bench, Engine, add_organisation,
    floor::{Floor, PostgresFloor, SqliteFloor},
    is_chosen, milliseconds, postgres, quantile,
    server::{Client, Request, Server, Transport},
    world::{ORGANISATION, World},
};
use tokio::{net::TcpListener, task::JoinSet};

const PARTICIPANTS: u64 = 400_000;
/// Events of a call.
const SIZES: [&str; 4] = ["1", "10", "100", "1000"];
/// Calls that are measured one after the other, and those before them, which fill the caches of statements.
const ROUNDS: usize = 100;
const WARM_UP: usize = 5;
const CALLERS: usize = 16;
const CALLS_OF_A_CALLER: usize = 4;
/// Those whose callers call at once in the end, and the participants of each.
const ORGANISATIONS: usize = 4;
const PARTICIPANTS_OF_EACH: u64 = 50_000;

#[tokio::main]
async fn main() {
    println!(
        "| engine | transport | events a call | statements | median ms | p99 ms | floor ms | ratio | events/s \
         | events/s, {CALLERS} callers | median ms, {CALLERS} callers | p99 ms, {CALLERS} callers |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    let mut notes = Vec::new();
    for engine in Engine::chosen() {
        measure(engine, &mut notes).await;
    }
    postgres::stop();
    println!("\n{}", notes.join("\n"));
}

async fn measure(engine: Engine, notes: &mut Vec<String>) {
    let name = engine.name();
    let transports = Transport::ALL.into_iter().filter(|transport| is_chosen(transport.name(), &["gRPC", "REST"]));
    let sizes: Vec<u64> =
        SIZES.iter().filter(|size| is_chosen(size, &SIZES)).map(|size| size.parse().expect("a number")).collect();
    let bench = Bench::new(engine).await;
    let mut world = World::new(PARTICIPANTS, 0);
    let database = bench.connect().await;
    world.import(&database, &bench.hasher(), bench.organisation_id, &DirectoryKind::ALL).await;
    database.close().await.expect("a close");
    let empty = bench.size().await;
    let mut stored = 0;

    let server = Server::start(&bench.url);
    notes.push(format!(
        "{name}: ready {:.0} ms after its start; resident memory {}",
        milliseconds(server.started_in),
        server.memory()
    ));
    let mut floor = match &bench.file {
        Some(file) => Floor::Sqlite(SqliteFloor::new(file)),
        None => Floor::Postgres(PostgresFloor::new(&bench.url).await),
    };
    let mut callers = Vec::new();
    for transport in transports {
        let statements = count_statements(&bench, &mut world, transport, &sizes).await;
        callers.push((transport, statements, Client::login(&server.address, transport, ORGANISATION).await));
    }
    // On PostgreSQL the copy that the floor loads into is a part of the same database.
    let copies = if bench.file.is_some() { 1 } else { 2 };
    for &events in &sizes {
        // In turn, for every event that is stored makes the next call, and the floor, a little longer.
        let mut calls = vec![Vec::new(); callers.len()];
        let mut floors = Vec::new();
        for _ in 0..WARM_UP + ROUNDS {
            for ((_, _, client), calls) in callers.iter().zip(&mut calls) {
                let request = client.prepare(&world.batch(events));
                calls.push(client.call(request, events).await);
                floors.push(floor.load(events).await);
            }
        }
        stored += events * (copies * callers.len() * (WARM_UP + ROUNDS)) as u64;
        let floor = quantile(&mut floors[WARM_UP * callers.len()..], 0.5);
        for ((transport, statements, client), calls) in callers.iter().zip(&mut calls) {
            let (mut concurrent, elapsed) =
                call_at_once(prepare_all(client, &mut world, events, CALLERS), events).await;
            stored += events * concurrent.len() as u64;
            let calls = &mut calls[WARM_UP..];
            let median = quantile(calls, 0.5);
            println!(
                "| {name} | {} | {events} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} | {:.2} | {:.2} |",
                transport.name(),
                statements[&events],
                milliseconds(median),
                milliseconds(quantile(calls, 0.99)),
                milliseconds(floor),
                median.as_secs_f64() / floor.as_secs_f64(),
                events as f64 / median.as_secs_f64(),
                (events * concurrent.len() as u64) as f64 / elapsed.as_secs_f64(),
                milliseconds(quantile(&mut concurrent, 0.5)),
                milliseconds(quantile(&mut concurrent, 0.99)),
            );
            if events == 1000 {
                let memory = server.memory();
                notes.push(format!("{name}: resident memory after {CALLERS} callers of {} {memory}", transport.name()));
            }
        }
    }
    drop(floor);
    notes.push(format!("{name}: {} bytes an event, with its indexes", (bench.size().await - empty) / stored));
    // SQLite has one writer, whosever it is.
    if bench.file.is_none() && sizes.contains(&1000) {
        for (transport, ..) in &callers {
            let rate = call_of_several(&bench, &server.address, *transport).await;
            let transport = transport.name();
            notes.push(format!(
                "{name}: {rate:.0} events/s, {CALLERS} callers of {ORGANISATIONS} organisations, {transport}"
            ));
        }
    }
}

/// Events a second of callers who belong to several organisations, new ones, in calls of 1000 events.
async fn call_of_several(bench: &Bench, address: &str, transport: Transport) -> f64 {
    let database = bench.connect().await;
    let mut ready = Vec::new();
    for n in 0..ORGANISATIONS {
        let name = format!("{} {n}", transport.name());
        let organisation_id = add_organisation(&database, &name).await;
        let mut world = World::new(PARTICIPANTS_OF_EACH, 0);
        world.import(&database, &bench.hasher(), organisation_id, &DirectoryKind::ALL).await;
        let client = Client::login(address, transport, &name).await;
        client.call(client.prepare(&world.batch(1000)), 1000).await;
        ready.extend(prepare_all(&client, &mut world, 1000, CALLERS / ORGANISATIONS));
    }
    database.close().await.expect("a close");
    let (calls, elapsed) = call_at_once(ready, 1000).await;
    (1000 * calls.len()) as f64 / elapsed.as_secs_f64()
}

/// A caller, with what it is going to send.
type Ready = (Arc<Client>, Vec<Request>);

fn prepare_all(client: &Client, world: &mut World, events: u64, callers: usize) -> Vec<Ready> {
    let mut prepare = || {
        let caller = client.another();
        let requests = (0..CALLS_OF_A_CALLER).map(|_| caller.prepare(&world.batch(events))).collect();
        (caller, requests)
    };
    (0..callers).map(|_| prepare()).collect()
}

/// Calls of several callers at once: how long each took, and all of them.
async fn call_at_once(ready: Vec<Ready>, events: u64) -> (Vec<Duration>, Duration) {
    let mut callers = JoinSet::new();
    let started = Instant::now();
    for (caller, requests) in ready {
        callers.spawn(async move {
            let mut times = Vec::new();
            for request in requests {
                times.push(caller.call(request, events).await);
            }
            times
        });
    }
    (callers.join_all().await.concat(), started.elapsed())
}

/// The statements of a call of each size, counted in a server of this process.
async fn count_statements(
    bench: &Bench,
    world: &mut World,
    transport: Transport,
    sizes: &[u64],
) -> HashMap<u64, usize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let mut database = bench.connect().await;
    database.observe_statements(move |_| _ = counter.fetch_add(1, Ordering::Relaxed));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let serving = server::run(listener, database, bench.keys.clone(), Config::default(), std::future::pending());
    let serving = tokio::spawn(serving);
    let client = Client::login(&address, transport, ORGANISATION).await;
    let mut statements = HashMap::new();
    for &events in sizes {
        let request = client.prepare(&world.batch(events));
        count.store(0, Ordering::Relaxed);
        client.call(request, events).await;
        statements.insert(events, count.load(Ordering::Relaxed));
    }
    serving.abort();
    statements
}
