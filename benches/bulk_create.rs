//! How long a call takes, beside the database's own bulk load of the same rows: `cargo bench --bench bulk_create`.

#[path = "support/floor.rs"]
mod floor;
#[path = "../tests/it/support/postgres.rs"]
mod postgres;
#[path = "support/world.rs"]
mod world;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use chrono::Utc;
use floor::{Floor, PostgresFloor, SqliteFloor};
use referral_events::{
    auth::password,
    config::{Keys, MissingKeys},
    contract::{
        CreateTokenRequest, authentication_service_client::AuthenticationServiceClient,
        referral_event_service_client::ReferralEventServiceClient,
    },
    secret::{CodeHasher, Secret},
    storage::{Database, entity::user, users},
};
use serde_json::Value;
use tonic::transport::Channel;
use world::{ORGANISATION, World};

const PARTICIPANTS: u64 = 200_000;
const ROUNDS: usize = 20;
const CALLERS: usize = 16;

/// A server of its own process.
struct Server {
    process: Child,
    address: String,
    started_in: Duration,
}

impl Server {
    fn start(url: &str) -> Self {
        let started = Instant::now();
        let mut process = Command::new(env!("CARGO_BIN_EXE_referral-events"))
            .env("REFERRAL_EVENTS_TOKEN_KEY", "a".repeat(64))
            .env("REFERRAL_EVENTS_HASH_KEY", "b".repeat(64))
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "warn", "--database-url", url])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a server");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        let address = line.trim().rsplit(' ').next().expect("an address").to_owned();
        Self { process, address, started_in: started.elapsed() }
    }

    /// Resident memory, in MiB.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() / 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[derive(Clone, Copy, Debug)]
enum Transport {
    Grpc,
    Rest,
}

/// A client of one transport; a clone of it is another caller.
#[derive(Clone)]
struct Client {
    transport: Transport,
    token: String,
    grpc: ReferralEventServiceClient<Channel>,
    http: reqwest::Client,
    url: String,
}

impl Client {
    async fn call(&self, batch: &Value) -> Duration {
        let count = batch["referral_customer_events_set"].as_array().expect("events").len();
        match self.transport {
            Transport::Grpc => {
                let mut request = tonic::Request::new(world::grpc_request(batch));
                let token = format!("Bearer {}", self.token).parse().expect("a header");
                request.metadata_mut().insert("authorization", token);
                let mut client = self.grpc.clone();
                let started = Instant::now();
                let response = client.bulk_create_referral_events(request).await.expect("an answer").into_inner();
                let elapsed = started.elapsed();
                assert_eq!(response.processed_customer_events_set.len(), count, "{response:?}");
                elapsed
            }
            Transport::Rest => {
                let body = batch.to_string();
                let request = self.http.post(&self.url).bearer_auth(&self.token);
                let request = request.header("content-type", "application/json").body(body);
                let started = Instant::now();
                let response = request.send().await.expect("an answer").bytes().await.expect("a body");
                let elapsed = started.elapsed();
                let answer: Value = serde_json::from_slice(&response).expect("JSON");
                let processed = answer["data"]["processed_customer_events_set"].as_array().expect("a set");
                assert_eq!(processed.len(), count, "{answer}");
                elapsed
            }
        }
    }
}

#[tokio::main]
async fn main() {
    println!(
        "| engine | transport | events | median ms | p99 ms | floor ms | ratio | events/s, 1 caller | events/s, {CALLERS} callers |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("bench.db");
    measure("SQLite", &format!("sqlite:{}", file.display()), Some(&file)).await;
    match postgres::missing() {
        None => {
            postgres::FSYNC.store(true, Ordering::Relaxed);
            measure("PostgreSQL", &postgres::create_database(), None).await;
            postgres::stop();
        }
        Some(reason) => println!("no PostgreSQL: {reason}"),
    }
}

/// Measures one engine; `file` is that of SQLite.
async fn measure(engine: &str, url: &str, file: Option<&Path>) {
    let database = Database::connect(url).await.expect("a database");
    database.migrate().await.expect("a schema");
    let key = |digit: &str| digit.repeat(64);
    let keys = Keys::resolve(Some(&key("a")), Some(&key("b")), url, MissingKeys::Refuse).expect("keys");
    let organisation_id =
        users::add_organisation(database.write(), ORGANISATION, Utc::now()).await.expect("an organisation");
    let user = user::Model {
        organisation_id,
        id: "U".to_owned(),
        name: "u".to_owned(),
        password_hash: password::hash(Secret::new("p")).await.expect("a hash"),
        role: "caller".to_owned(),
        default_unit_id: None,
        created_on: Utc::now(),
    };
    users::add_user(database.write(), user).await.expect("a user");
    let mut world = World::new(PARTICIPANTS);
    let (rows, took) = world.import(&database, &CodeHasher::new(&keys.hash)).await;
    eprintln!("{engine}: import of {rows} rows in {took:.2?}, {:.0} rows/s", rows as f64 / took.as_secs_f64());
    database.close().await.expect("a close");

    let server = Server::start(url);
    eprintln!("{engine}: start to ready in {:.1?}; resident memory {} MiB", server.started_in, server.memory());
    let channel = Channel::from_shared(format!("http://{}", server.address)).expect("a URI").connect_lazy();
    let credentials = CreateTokenRequest {
        username: Some("u".to_owned()),
        password: Some("p".to_owned()),
        organisation: Some(ORGANISATION.to_owned()),
        unit: None,
    };
    let token = AuthenticationServiceClient::new(channel.clone()).create_token(credentials).await;
    let token = token.expect("a token").into_inner().token;
    let mut floor = match file {
        Some(file) => Floor::Sqlite(SqliteFloor::new(file)),
        None => Floor::Postgres(PostgresFloor::new(url).await),
    };
    for transport in [Transport::Grpc, Transport::Rest] {
        let client = Client {
            transport,
            token: token.clone(),
            grpc: ReferralEventServiceClient::new(channel.clone()),
            http: reqwest::Client::new(),
            url: format!("http://{}/customer_events/bulk/referrals/create", server.address),
        };
        for events in [1, 10, 100, 1000] {
            let (mut calls, mut floors) = (Vec::new(), Vec::new());
            for round in 0..ROUNDS + 3 {
                let batch = world.batch(events);
                let call = client.call(&batch).await;
                let load = floor.load(events).await;
                // The first rounds fill the caches of statements.
                if round >= 3 {
                    calls.push(call);
                    floors.push(load);
                }
            }
            let batches: Vec<Vec<Value>> =
                (0..CALLERS).map(|_| (0..2).map(|_| world.batch(events)).collect()).collect();
            let started = Instant::now();
            let callers: Vec<_> = batches
                .into_iter()
                .map(|batches| {
                    let client = client.clone();
                    tokio::spawn(async move {
                        for batch in &batches {
                            client.call(batch).await;
                        }
                    })
                })
                .collect();
            for caller in callers {
                caller.await.expect("a caller");
            }
            let concurrent = (CALLERS as u64 * 2 * events) as f64 / started.elapsed().as_secs_f64();
            let (median, p99) = (quantile(&mut calls, 0.5), quantile(&mut calls, 0.99));
            let floor = quantile(&mut floors, 0.5);
            println!(
                "| {engine} | {transport:?} | {events} | {:.2} | {:.2} | {:.2} | {:.2} | {:.0} | {concurrent:.0} |",
                milliseconds(median),
                milliseconds(p99),
                milliseconds(floor),
                median.as_secs_f64() / floor.as_secs_f64(),
                events as f64 / median.as_secs_f64(),
            );
        }
    }
    eprintln!("{engine}: resident memory after it all {} MiB", server.memory());
}

fn quantile(times: &mut [Duration], q: f64) -> Duration {
    times.sort();
    times[((times.len() - 1) as f64 * q).round() as usize]
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
