//! How many calls of one event a second callers of one organisation get, beside connections that insert and commit the
//! finished row: `cargo bench --bench small_calls`, or only a part of it:
//! `cargo bench --bench small_calls -- postgresql grpc 16`.

#[path = "support/mod.rs"]
mod support;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use referral_events::{directory::DirectoryKind, storage::entity::referral_event};
use sea_orm::{ActiveModelTrait, EntityTrait, Iden, IntoActiveModel, Iterable, QueryOrder, QuerySelect, Values};
use sea_query_sqlx::SqlxValues;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Postgres};
use support::{
    Bench, Engine,
    floor::SqliteFloor,
    is_chosen, milliseconds, postgres, quantile,
    server::{Client, Server, Transport},
    world::{ORGANISATION, World},
};
use tokio::task::JoinSet;

const PARTICIPANTS: u64 = 200_000;
const CALLERS: [&str; 4] = ["1", "4", "16", "64"];
/// Calls, or rows, of each number of callers together, at most so many each.
const CALLS: usize = 8000;
const CALLS_OF_ONE: usize = 800;

#[tokio::main]
async fn main() {
    println!(
        "| engine | transport | callers | calls/s | p50 ms | p99 ms | inserts/s | p50 ms | rate ratio | p50 ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for engine in Engine::chosen() {
        measure(engine).await;
    }
    postgres::stop();
}

/// What callers together got.
struct Rate {
    a_second: f64,
    times: Vec<Duration>,
}

impl Rate {
    fn of(times: Vec<Duration>, elapsed: Duration) -> Self {
        Self { a_second: times.len() as f64 / elapsed.as_secs_f64(), times }
    }
}

async fn measure(engine: Engine) {
    let bench = Bench::new(engine).await;
    let mut world = World::new(PARTICIPANTS, 0);
    let database = bench.connect().await;
    world.import(&database, &bench.hasher(), bench.organisation_id, &DirectoryKind::ALL).await;
    let server = Server::start(&bench.url);
    let transports = Transport::ALL.into_iter().filter(|transport| is_chosen(transport.name(), &["gRPC", "REST"]));
    let transports: Vec<Transport> = transports.collect();
    for number in CALLERS.iter().filter(|number| is_chosen(number, &CALLERS)) {
        let callers: usize = number.parse().expect("a number");
        let each = (CALLS / callers).min(CALLS_OF_ONE);
        for transport in &transports {
            let mut called = call(&server, *transport, &mut world, callers, each).await;
            let rows = referral_event::Entity::find()
                .order_by_desc(referral_event::Column::Number)
                .limit((callers * each) as u64)
                .all(database.reader())
                .await
                .expect("rows");
            let mut inserted = match &bench.file {
                Some(file) => insert_sqlite(file, rows.len()),
                None => insert_postgres(&bench.url, rows, callers).await,
            };
            let [call, insert] = [&mut called, &mut inserted].map(|rate| quantile(&mut rate.times, 0.5));
            println!(
                "| {} | {} | {callers} | {:.0} | {:.2} | {:.2} | {:.0} | {:.2} | {:.3} | {:.2} |",
                engine.name(),
                transport.name(),
                called.a_second,
                milliseconds(call),
                milliseconds(quantile(&mut called.times, 0.99)),
                inserted.a_second,
                milliseconds(insert),
                called.a_second / inserted.a_second,
                call.as_secs_f64() / insert.as_secs_f64(),
            );
        }
    }
    println!("\n{}: resident memory {}\n", engine.name(), server.memory());
}

async fn call(server: &Server, transport: Transport, world: &mut World, callers: usize, each: usize) -> Rate {
    let first = Client::login(&server.address, transport, ORGANISATION).await;
    let mut ready = Vec::new();
    for _ in 0..callers {
        let client = first.another();
        client.call(client.prepare(&world.batch(1)), 1).await;
        let requests: Vec<_> = (0..each).map(|_| client.prepare(&world.batch(1))).collect();
        ready.push((client, requests));
    }
    let mut calls = JoinSet::new();
    let started = Instant::now();
    for (client, requests) in ready {
        calls.spawn(async move {
            let mut times = Vec::with_capacity(requests.len());
            for request in requests {
                times.push(client.call(request, 1).await);
            }
            times
        });
    }
    let times = calls.join_all().await.concat();
    Rate::of(times, started.elapsed())
}

/// The rows again, each inserted and committed by itself, by so many connections, into a copy of the table.
async fn insert_postgres(url: &str, rows: Vec<referral_event::Model>, connections: usize) -> Rate {
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    connection.execute("DROP TABLE IF EXISTS floor").await.expect("no table");
    connection.execute("CREATE TABLE floor (LIKE referral_events INCLUDING ALL)").await.expect("a copy");
    let names: Vec<String> = referral_event::Column::iter().map(|column| column.to_string()).collect();
    let binds: Vec<String> = (1..=names.len()).map(|n| format!("${n}")).collect();
    let insert = format!("INSERT INTO floor ({}) VALUES ({})", names.join(", "), binds.join(", "));
    let each = rows.len().div_ceil(connections);
    let mut rows = rows.into_iter();
    let mut ready = Vec::new();
    for _ in 0..connections {
        let connection = PgConnection::connect(url).await.expect("a connection");
        ready.push((connection, rows.by_ref().take(each).collect::<Vec<_>>(), insert.clone()));
    }
    let mut inserts = JoinSet::new();
    let started = Instant::now();
    for (mut connection, rows, insert) in ready {
        inserts.spawn(async move {
            let mut times = Vec::with_capacity(rows.len());
            for row in rows {
                let mut row = row.into_active_model();
                let values =
                    referral_event::Column::iter().map(|column| row.take(column).into_value().expect("a value"));
                let values = SqlxValues(Values(values.collect()));
                let insert = sqlx::query_with::<Postgres, _>(AssertSqlSafe(insert.clone()), values);
                let started = Instant::now();
                insert.execute(&mut connection).await.expect("an insert");
                times.push(started.elapsed());
            }
            times
        });
    }
    let times = inserts.join_all().await.concat();
    Rate::of(times, started.elapsed())
}

/// The same on SQLite, where one connection writes.
fn insert_sqlite(file: &Path, rows: usize) -> Rate {
    let times = SqliteFloor::new(file).insert_each(rows);
    let elapsed = times.iter().sum();
    Rate::of(times, elapsed)
}
