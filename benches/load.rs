//! How fast a file is loaded, beside calls of 1000 events back to back, and the memory that it takes on each side:
//! `cargo bench --bench load`, or of fewer rows than half a million: `cargo bench --bench load -- sqlite 50000`.

#[path = "support/mod.rs"]
mod support;

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant},
};

use referral_events::directory::DirectoryKind;
use support::{
    Bench, Engine, postgres,
    server::{Client, Server, Transport},
    world::{ORGANISATION, TOKENS, World},
};

const ROWS: u64 = 500_000;
const CALL: u64 = 1000;
/// Calls before the load and again after it, for the machine may be faster at one time than at another.
const CALLS: u64 = 100;

#[tokio::main]
async fn main() {
    let rows = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(ROWS);
    println!("| engine | rows | calls, events/s | load, events/s | ratio | memory of load, MiB | memory of server |");
    println!("|---|---|---|---|---|---|---|");
    for engine in Engine::chosen() {
        measure(engine, rows).await;
    }
    postgres::stop();
}

async fn measure(engine: Engine, rows: u64) {
    let bench = Bench::new(engine).await;
    // As many parties as are referred, and some more than as many calls need that come in between.
    let mut world = World::new(TOKENS + rows + 3 * CALLS * CALL, 0);
    let database = bench.connect().await;
    world.import(&database, &bench.hasher(), bench.organisation_id, &DirectoryKind::ALL).await;
    database.close().await.expect("a close");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let calls = CALLS.min(rows / CALL);
    let server = Server::start(&bench.url);
    let before = call(&server, &mut world, calls).await;
    drop(server);

    write_file(&folder.path().join("load.ndjson"), &mut world, rows);
    let server = Server::start(&bench.url);
    let started = Instant::now();
    let (status, memory) = wait(load(&server, folder.path()));
    let loaded = rows as f64 / started.elapsed().as_secs_f64();
    assert!(status.success(), "{status}");
    let memory_of_server = server.memory();
    let after = call(&server, &mut world, calls).await;

    let called = 2.0 * (calls * CALL) as f64 / (before + after).as_secs_f64();
    let (engine, ratio) = (engine.name(), loaded / called);
    println!("| {engine} | {rows} | {called:.0} | {loaded:.0} | {ratio:.2} | {memory} | {memory_of_server} |");
}

/// How long so many calls take, one after the other.
async fn call(server: &Server, world: &mut World, calls: u64) -> Duration {
    let client = Client::login(&server.address, Transport::Grpc, ORGANISATION).await;
    let mut took = Duration::ZERO;
    for _ in 0..calls {
        let request = client.prepare(&world.batch(CALL));
        took += client.call(request, CALL).await;
    }
    took
}

fn write_file(path: &Path, world: &mut World, rows: u64) {
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    for _ in 0..rows.div_ceil(CALL) {
        let batch = world.batch(CALL);
        for event in batch["referral_customer_events_set"].as_array().expect("events") {
            writeln!(file, "{event}").expect("a line");
        }
    }
}

fn load(server: &Server, folder: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_referral-events"));
    command.args(["load", "load.ndjson", "--username", "u", "--organisation", ORGANISATION]);
    command.args(["--server", &format!("http://{}", server.address)]).current_dir(folder);
    command.env("REFERRAL_EVENTS_PASSWORD", "p").spawn().expect("a load")
}

/// Waits for its end; answers the most memory that it had, in MiB.
fn wait(mut child: Child) -> (ExitStatus, u64) {
    let mut peak = 0;
    loop {
        if let Some(status) = child.try_wait().expect("a status") {
            return (status, peak / 1024);
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        peak = line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default().max(peak);
        std::thread::sleep(Duration::from_millis(20));
    }
}
