//! How the time of a call grows with the events that are stored: `cargo bench --bench growth`, or with sizes and
//! engines of one's own: `cargo bench --bench growth -- postgresql 10000000`.
//!
//! The stored events, and as many accounts and participants, are written straight into the tables, with their indexes
//! in place. Their referred accounts come in no order, as in real life, so the indexes have the shape that calls give
//! them. Their optional attributes are empty, all but the external reference.

#[path = "support/mod.rs"]
mod support;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use referral_events::{directory::DirectoryKind, id::OrganisationId};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use support::{
    Bench, Engine, milliseconds, postgres, quantile,
    server::{Client, Server, Transport},
    world::{ORGANISATION, STRIDE, TOKENS, World},
};

const DEFAULT_SIZES: [u64; 2] = [10_000, 1_000_000];
const EVENTS: u64 = 1000;
const ROUNDS: u64 = 25;
const WARM_UP: u64 = 5;
/// The keys up to this one are left to the places.
const FIRST_KEY: u64 = 1000;

#[tokio::main]
async fn main() {
    println!("| engine | events stored | loaded in s | median ms | slowest ms | events/s |");
    println!("|---|---|---|---|---|---|");
    let mut sizes: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    if sizes.is_empty() {
        sizes.extend(DEFAULT_SIZES);
    }
    for engine in Engine::chosen() {
        for &stored in &sizes {
            measure(engine, stored).await;
        }
    }
    postgres::stop();
}

async fn measure(engine: Engine, stored: u64) {
    let bench = Bench::new(engine).await;
    let participants = TOKENS + stored + (WARM_UP + ROUNDS) * EVENTS;
    let mut world = World::new(participants, stored);
    let places = [
        DirectoryKind::BusinessUnits,
        DirectoryKind::Units,
        DirectoryKind::Taps,
        DirectoryKind::Devices,
        DirectoryKind::Classifications,
    ];
    let database = bench.connect().await;
    world.import(&database, &bench.hasher(), bench.organisation_id, &places).await;
    database.close().await.expect("a close");

    let started = Instant::now();
    let statements = load_statements(engine, bench.organisation_id, participants, stored);
    match &bench.file {
        Some(file) => load_sqlite(file, &statements),
        None => load_postgres(&bench.url, &statements).await,
    }
    let loaded = started.elapsed();
    let database = bench.connect().await;
    world.import(&database, &bench.hasher(), bench.organisation_id, &[DirectoryKind::AccessTokens]).await;
    database.close().await.expect("a close");

    let server = Server::start(&bench.url);
    let client = Client::login(&server.address, Transport::Grpc, ORGANISATION).await;
    let mut times: Vec<Duration> = Vec::new();
    for round in 0..WARM_UP + ROUNDS {
        let request = client.prepare(&world.batch(EVENTS));
        let time = client.call(request, EVENTS).await;
        if round >= WARM_UP {
            times.push(time);
        }
    }
    let median = quantile(&mut times, 0.5);
    println!(
        "| {} | {stored} | {:.0} | {:.1} | {:.1} | {:.0} |",
        engine.name(),
        loaded.as_secs_f64(),
        milliseconds(median),
        milliseconds(quantile(&mut times, 1.0)),
        EVENTS as f64 / median.as_secs_f64(),
    );
}

/// What writes the accounts, the participants, the events and the counters, in SQL that both engines read but for the
/// making of binary values.
fn load_statements(engine: Engine, organisation_id: OrganisationId, participants: u64, stored: u64) -> Vec<String> {
    let rows =
        |count: u64| format!("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {count} - 1)");
    // The last `n` digits of a number, with leading zeros.
    let digits = |n: u32, number: &str| format!("substr(CAST({} + {number} AS TEXT), 2)", 10u64.pow(n));
    let number = digits(10, "(i + 1)");
    let (uuid, hash) = match engine {
        Engine::Sqlite => ("unhex", "zeroblob(16)"),
        Engine::Postgres => ("uuid", "decode(repeat('00', 16), 'hex')"),
    };
    // They rise, and end before those of today.
    let id = format!("{uuid}({} || '70008000000000000000')", digits(12, "i"));
    let zeros = "0".repeat(21);
    let (account, referrer) = (FIRST_KEY + TOKENS + 1, FIRST_KEY + 1);
    let (span, last_key) = (participants - TOKENS, FIRST_KEY + 2 * participants);
    vec![
        format!(
            "{} INSERT INTO accounts_receivable (organisation_id, key, id, number, state) \
             SELECT {organisation_id}, {FIRST_KEY} + 1 + i, '1{zeros}' || {number}, 'ACR' || {number}, 'ACTIVE' FROM n",
            rows(participants)
        ),
        format!(
            "{} INSERT INTO rewards_participants (organisation_id, key, id, number, account_key, state) \
             SELECT {organisation_id}, {FIRST_KEY} + 1 + {participants} + i, '2{zeros}' || {number}, \
             'RP' || {number}, {FIRST_KEY} + 1 + i, 'EFFECTIVE' FROM n",
            rows(participants)
        ),
        format!(
            "{} INSERT INTO referral_events (organisation_id, id, number, in_force, performed_on, \
             referred_account_key, referred_by_account_key, external_system, external_system_reference_number, \
             content_hash, created_on) \
             SELECT {organisation_id}, {id}, i + 1, TRUE, '2026-06-22T15:00:00+00:00', \
             {account} + (CAST(i AS BIGINT) * {STRIDE}) % {span}, \
             {referrer} + (CAST(i AS BIGINT) * {STRIDE}) % {TOKENS}, \
             'shop', 'order-' || i, {hash}, '2026-06-22T15:00:00+00:00' FROM n",
            rows(stored)
        ),
        format!(
            "UPDATE counters SET last_value = {stored} \
             WHERE organisation_id = {organisation_id} AND name = 'event_number'"
        ),
        format!(
            "UPDATE counters SET last_value = {last_key} \
             WHERE organisation_id = {organisation_id} AND name = 'directory_key'"
        ),
    ]
}

/// Without a log and with a large cache, for the load alone; the server has its own settings.
fn load_sqlite(file: &Path, statements: &[String]) {
    let connection = rusqlite::Connection::open(file).expect("a database");
    let settings = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -2000000";
    connection.execute_batch(settings).expect("the settings");
    for statement in statements {
        connection.execute_batch(statement).expect("the rows");
    }
}

async fn load_postgres(url: &str, statements: &[String]) {
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    // To look up what the rows refer to takes most of the load's time; only a superuser may leave it out.
    connection.execute("SET session_replication_role = replica").await.ok();
    let after = ["VACUUM ANALYZE", "CHECKPOINT"].map(str::to_owned);
    for statement in statements.iter().chain(&after) {
        connection.execute(AssertSqlSafe(statement.as_str())).await.expect("the rows");
    }
    connection.close().await.expect("a close");
}
