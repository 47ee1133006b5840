//! Whatever becomes of the database: calls are answered with the documented code, the service says that it is not ready,
//! and all is well again by itself once the database is.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use referral_events::config::Config;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_types::StatusExt;

use crate::support::{
    Cluster, Method, Server, Setup, SmallDisk, TestDatabase, Transport, Workplace, envelope, event, method, tests,
};

tests! {
    OwnPostgres:
        a_database_that_is_gone_is_found_again,
        a_database_that_takes_no_writes_answers_those_who_read,
        sessions_of_a_server_that_takes_no_writes_any_more_are_given_up,
        a_database_without_free_connections_makes_the_service_unavailable,
        sessions_that_the_database_ends_are_replaced;
    PostgresOnSmallDisk:
        a_full_disk_of_postgresql_makes_the_service_unavailable;
    SqliteOnSmallDisk:
        a_full_disk_of_sqlite_makes_the_service_unavailable;
    Postgres:
        calls_that_wait_for_their_turn_do_not_make_the_service_unready;
    Sqlite:
        a_lock_that_another_holds_for_long_makes_the_service_unavailable,
        nothing_is_acknowledged_into_a_file_that_is_gone,
        nothing_is_acknowledged_into_a_file_that_another_took_the_place_of,
        nothing_is_acknowledged_into_a_log_that_is_gone;
    NoCalls:
        a_row_that_cannot_be_read_is_a_failure_and_the_log_names_it;
}

/// How long a call may take once the database is known to be out of reach, on a machine that has much else to do.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The event of this number, which refers a party that no other number's does.
fn referral(identifier: &str, n: usize) -> Value {
    let mut event = event(identifier, &format!("{n:02}"), "60");
    event["performed_on"] = json!("2016-06-22T15:00:00Z");
    event
}

/// A call that creates the event of this number.
fn creation(server: &Server, n: usize) -> Value {
    json!({"token": server.token, "referral_customer_events_set": [referral("1", n)]})
}

async fn assert_created(server: &mut Server, n: usize) {
    let call = creation(server, n);
    server.bulk(call).await.assert_outcome(&["1"], &[]);
}

/// Asserts that a call is refused on both transports because the service is unavailable, and is told to come back.
async fn assert_unavailable(server: &Server, method: &Method, request: &Value) {
    let (verb, path) = method.addresses().swap_remove(0);
    let response = server.call_rest(verb, &path, &request.to_string(), &[]).await;
    let retry_after = response.headers().get("retry-after").cloned();
    let (status, answer) = envelope(response).await;
    answer.assert_refused("ServiceUnavailable");
    assert_eq!(status, 503);
    assert_eq!(retry_after.expect("a header"), "1");

    let status = server.call_grpc(method, request.clone(), &[]).await.expect_err("a refusal");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let details = status.get_error_details();
    assert_eq!(details.error_info().expect("an ErrorInfo").reason, "ServiceUnavailableException");
    assert_eq!(details.retry_info().and_then(|info| info.retry_delay), Some(Duration::from_secs(1)));
}

async fn assert_creation_unavailable(server: &Server, n: usize) {
    assert_unavailable(server, &method("BulkCreateReferralEvents"), &creation(server, n)).await;
}

/// Asserts that whoever only reads is served over both transports.
async fn assert_readable(server: &mut Server) {
    for transport in [Transport::Rest, Transport::Grpc] {
        server.transport = transport;
        let list = server.list(json!({})).await;
        assert_eq!(list.code, "OK", "{list:?}");
    }
}

/// Asserts that all is well over both transports; the numbers are those of two new events.
async fn assert_well(server: &mut Server, numbers: [usize; 2]) {
    for (transport, n) in [Transport::Rest, Transport::Grpc].into_iter().zip(numbers) {
        server.transport = transport;
        assert_created(server, n).await;
    }
    assert_readable(server).await;
}

async fn over(setup: Setup, url: String) -> Server {
    Server::start_over(setup, TestDatabase::at(url), Config::default()).await
}

async fn a_database_that_is_gone_is_found_again(setup: Setup) {
    let mut cluster = Cluster::start();
    let mut server = over(setup, format!("{}/postgres", cluster.url())).await;
    assert_well(&mut server, [1, 2]).await;
    server.wait_until_ready(true).await;
    let request = HealthCheckRequest { service: "referral.v1.ReferralEventService".to_owned() };
    let mut watched = server.health_client().watch(request).await.expect("an answer").into_inner();
    let mut next = async || watched.message().await.expect("an answer").expect("a status").status();
    assert_eq!(next().await, ServingStatus::Serving);

    for (n, end) in [Cluster::crash, Cluster::end].into_iter().enumerate() {
        end(&mut cluster);
        let sentence = server.wait_until_ready(false).await;
        assert_eq!(sentence, "The database cannot be reached; try again.");
        assert_eq!(next().await, ServingStatus::NotServing);
        let started = Instant::now();
        assert_creation_unavailable(&server, 3).await;
        assert_unavailable(&server, &method("ListReferralEvents"), &json!({"token": server.token})).await;
        let credentials = json!({"organisation": "acme", "username": "carla", "password": "carla"});
        assert_unavailable(&server, &method("CreateToken"), &credentials).await;
        assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());

        cluster.serve();
        server.wait_until_ready(true).await;
        assert_eq!(next().await, ServingStatus::Serving);
        assert_well(&mut server, [3 + 2 * n, 4 + 2 * n]).await;
    }
}

/// Waits until the server says so; the database was out of reach before.
async fn wait_until_it_takes_no_writes(server: &Server) {
    let takes_no_writes = async {
        while server.wait_until_ready(false).await != "The database takes no writes at present; try again." {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), takes_no_writes).await.expect("the fault in its own words");
}

async fn a_database_that_takes_no_writes_answers_those_who_read(setup: Setup) {
    let mut cluster = Cluster::start();
    let mut server = over(setup, format!("{}/postgres", cluster.url())).await;
    assert_well(&mut server, [1, 2]).await;
    let release = json!({"token": server.login("acme", "rita").await});
    cluster.end();
    cluster.stand_by();
    cluster.serve();
    wait_until_it_takes_no_writes(&server).await;
    assert_creation_unavailable(&server, 3).await;
    assert_unavailable(&server, &method("ReleaseToken"), &release).await;
    assert_readable(&mut server).await;

    cluster.execute("SELECT pg_promote()");
    server.wait_until_ready(true).await;
    assert_well(&mut server, [3, 4]).await;
    assert_eq!(server.release_token(release).await.code, "OK");
}

/// A port that leads to a server, and from one moment on to another. Connections stay with the one they were made to.
struct Switch {
    port: u16,
    target: Arc<Mutex<u16>>,
}

impl Switch {
    async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let target = Arc::new(Mutex::new(target));
        let current = target.clone();
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let target = *current.lock().expect("a lock");
                tokio::spawn(async move {
                    let Ok(mut to) = TcpStream::connect(("127.0.0.1", target)).await else { return };
                    // It ends when either side hangs up.
                    _ = copy_bidirectional(&mut from, &mut to).await;
                });
            }
        });
        Self { port, target }
    }

    fn turn_to(&self, target: u16) {
        *self.target.lock().expect("a lock") = target;
    }
}

async fn sessions_of_a_server_that_takes_no_writes_any_more_are_given_up(setup: Setup) {
    let mut old = Cluster::start();
    let switch = Switch::to(old.port()).await;
    let mut server = over(setup, format!("postgres://postgres@127.0.0.1:{}/postgres", switch.port)).await;
    assert_well(&mut server, [1, 2]).await;
    old.end();
    let mut new = old.copied();
    old.stand_by();
    old.serve();
    wait_until_it_takes_no_writes(&server).await;
    // Its sessions are open to the old server, which goes on serving those who read.
    let readers = (0..8).map(|_| server.list(json!({})));
    assert!(join_all(readers).await.iter().all(|list| list.code == "OK"));
    assert_creation_unavailable(&server, 3).await;

    new.serve();
    switch.turn_to(new.port());
    server.wait_until_ready(true).await;
    for n in 3..13 {
        assert_created(&mut server, n).await;
    }
    assert_well(&mut server, [13, 14]).await;
}

/// A cluster, and the URL of a database in it whose owner is nobody special.
async fn owned_database() -> (Cluster, String) {
    let cluster = Cluster::start();
    for statement in ["CREATE ROLE app LOGIN", "CREATE DATABASE events OWNER app"] {
        cluster.execute(statement);
    }
    let url = format!("postgres://app@127.0.0.1:{}/events", cluster.port());
    (cluster, url)
}

const END_SESSIONS: &str = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'app'";

async fn a_database_without_free_connections_makes_the_service_unavailable(setup: Setup) {
    let (cluster, url) = owned_database().await;
    let mut server = over(setup, url).await;
    assert_well(&mut server, [1, 2]).await;
    cluster.execute("ALTER ROLE app CONNECTION LIMIT 0");
    cluster.execute(END_SESSIONS);
    let sentence = server.wait_until_ready(false).await;
    assert_eq!(sentence, "The database has no connection or no memory left; try again.");
    // What was open is found to be closed by the first calls.
    join_all((0..16).map(|_| server.list(json!({})))).await;
    let started = Instant::now();
    assert_creation_unavailable(&server, 3).await;
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());

    cluster.execute("ALTER ROLE app CONNECTION LIMIT -1");
    server.wait_until_ready(true).await;
    assert_well(&mut server, [3, 4]).await;
}

async fn sessions_that_the_database_ends_are_replaced(setup: Setup) {
    let (cluster, url) = owned_database().await;
    let mut server = over(setup, url).await;
    assert_well(&mut server, [1, 2]).await;
    join_all((0..8).map(|_| server.list(json!({})))).await;
    cluster.execute(END_SESSIONS);
    // A call may meet a session that has just ended; it is told to come back, and then is served.
    let started = Instant::now();
    let mut n = 3;
    loop {
        let call = creation(&server, n);
        match server.bulk(call).await {
            answer if answer.code == "OK" => n += 1,
            answer => answer.assert_refused("ServiceUnavailable"),
        }
        if n == 6 {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60));
    }
    server.wait_until_ready(true).await;
    assert_well(&mut server, [6, 7]).await;
}

/// Events of so much text that a disk is soon full of them; each refers a party that no other number's does.
fn large(server: &Server, numbers: std::ops::Range<usize>) -> Value {
    // Of characters that no compression makes few.
    let text = |n: usize| -> String {
        let bytes = (0..4000).scan(n as u64 + 1, |state, _| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from_u32(0x4E00 + (*state >> 33) as u32 % 20_000)
        });
        bytes.collect()
    };
    let events = numbers.map(|n| {
        let mut event = referral(&n.to_string(), n);
        event["description"] = json!(text(n));
        event
    });
    json!({"token": server.token, "referral_customer_events_set": events.collect::<Vec<_>>()})
}

/// What is expected of a service whose database's disk is full, and then is not.
async fn assert_full_disk_is_survived(server: &mut Server, disk: &SmallDisk) {
    assert_well(server, [1, 2]).await;
    if server.database_url().starts_with("sqlite:") {
        cut_log(&server.database_url()).await;
    }
    disk.fill();
    let bulk = method("BulkCreateReferralEvents");
    assert_unavailable(server, &bulk, &large(server, 10..50)).await;
    let sentence = server.wait_until_ready(false).await;
    assert_eq!(sentence, "The database has no room left, or cannot write to its disk; try again.");
    assert_unavailable(server, &bulk, &large(server, 10..50)).await;
    assert_readable(server).await;
    disk.free();
    server.wait_until_ready(true).await;
    assert_well(server, [3, 4]).await;
    let created = server.bulk(large(server, 10..50)).await;
    assert_eq!(created.processed().len(), 40);
}

/// Brings all of SQLite's log into the file and gives its room back: what is in the log's file already has its place.
async fn cut_log(url: &str) {
    let mut connection = SqliteConnection::connect(url).await.expect("a connection");
    let log = log_of(Path::new(url.trim_start_matches("sqlite:")));
    while fs::metadata(&log).expect("a log").len() > 0 {
        // It waits for nobody who reads.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.expect("a checkpoint");
    }
    connection.close().await.expect("a close");
}

async fn a_full_disk_of_postgresql_makes_the_service_unavailable(setup: Setup) {
    let disk = SmallDisk::new(32);
    let cluster = Cluster::start();
    cluster.execute(&format!("CREATE TABLESPACE small LOCATION '{}'", disk.folder("tables").display()));
    cluster.execute("CREATE DATABASE events TABLESPACE small");
    let mut server = over(setup, format!("{}/events", cluster.url())).await;
    assert_full_disk_is_survived(&mut server, &disk).await;
}

async fn a_full_disk_of_sqlite_makes_the_service_unavailable(setup: Setup) {
    let disk = SmallDisk::new(32);
    let mut server = over(setup, format!("sqlite:{}", disk.path().join("test.db").display())).await;
    assert_full_disk_is_survived(&mut server, &disk).await;
}

async fn calls_that_wait_for_their_turn_do_not_make_the_service_unready(setup: Setup) {
    let patient = Config { maximum_wait: Duration::from_secs(30), ..Config::default() };
    let server = Server::start_with(setup, patient).await;
    let mut other = PgConnection::connect(&server.database_url()).await.expect("a connection");
    other.execute("BEGIN; SELECT * FROM counters FOR UPDATE").await.expect("the turn of every organisation");
    let calls: Vec<Value> = (1..=30).map(|n| creation(&server, n)).collect();
    let waiting = join_all(calls.into_iter().map(|call| server.bulk(call)));
    let asked = async {
        // For as long as the service would take to find a fault.
        for _ in 0..60 {
            assert_eq!(server.readiness().await.0, 200);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        other.execute("ROLLBACK").await.expect("a rollback");
    };
    let (answers, ()) = tokio::join!(waiting, asked);
    assert!(answers.iter().all(|answer| answer.code == "OK"), "{answers:?}");
}

async fn a_lock_that_another_holds_for_long_makes_the_service_unavailable(setup: Setup) {
    let mut server = Server::start(setup).await;
    let mut other = SqliteConnection::connect(&server.database_url()).await.expect("a connection");
    other.execute("BEGIN IMMEDIATE").await.expect("the lock");
    assert_creation_unavailable(&server, 1).await;
    let sentence = server.wait_until_ready(false).await;
    assert_eq!(sentence, "Another program holds the database; try again.");
    assert_readable(&mut server).await;
    other.execute("ROLLBACK").await.expect("a rollback");
    server.wait_until_ready(true).await;
    assert_well(&mut server, [1, 2]).await;
}

const GONE: &str = "The database's file is gone or is another one; the operator has to restart the service.";

/// Does something to the files of a server that is well, and undoes it. In between nothing is acknowledged.
async fn without_its_files(setup: Setup, take_away: impl FnOnce(&Path), bring_back: impl FnOnce(&Path)) {
    let mut server = Server::start(setup).await;
    assert_well(&mut server, [1, 2]).await;
    let release = json!({"token": server.login("acme", "rita").await});
    let file = PathBuf::from(server.database_url().trim_start_matches("sqlite:"));
    take_away(&file);
    // Not one call later.
    assert_creation_unavailable(&server, 3).await;
    assert_unavailable(&server, &method("ReleaseToken"), &release).await;
    assert_eq!(server.wait_until_ready(false).await, GONE);
    assert_unavailable(&server, &method("ListReferralEvents"), &json!({"token": server.token})).await;
    bring_back(&file);
    server.wait_until_ready(true).await;
    assert_well(&mut server, [3, 4]).await;
    assert_eq!(server.release_token(release).await.code, "OK");
}

fn aside(file: &Path) -> PathBuf {
    file.with_extension("aside")
}

fn log_of(file: &Path) -> PathBuf {
    file.with_extension("db-wal")
}

async fn nothing_is_acknowledged_into_a_file_that_is_gone(setup: Setup) {
    let take_away = |file: &Path| fs::rename(file, aside(file)).expect("a file");
    without_its_files(setup, take_away, |file| fs::rename(aside(file), file).expect("a file")).await;
}

async fn nothing_is_acknowledged_into_a_file_that_another_took_the_place_of(setup: Setup) {
    let replace = |file: &Path| {
        fs::rename(file, aside(file)).expect("a file");
        fs::copy(aside(file), file).expect("a file");
    };
    without_its_files(setup, replace, |file| fs::rename(aside(file), file).expect("a file")).await;
}

async fn nothing_is_acknowledged_into_a_log_that_is_gone(setup: Setup) {
    let take_away = |file: &Path| fs::rename(log_of(file), aside(file)).expect("a file");
    without_its_files(setup, take_away, |file| fs::rename(aside(file), log_of(file)).expect("a file")).await;
}

async fn a_row_that_cannot_be_read_is_a_failure_and_the_log_names_it(setup: Setup) {
    let workplace = Workplace::over(setup.engine.create_database());
    workplace.run_well(&["migrate"], "");
    workplace.add_caller("pw");
    workplace.run_well(&["import", "--organisation", "acme", "units", "-"], "name,alternative_code\nAdmin Unit,U\n");
    let accounts = (1..=9).map(|n| format!("A{n}\n")).collect::<String>();
    workplace
        .run_well(&["import", "--organisation", "acme", "accounts_receivable", "-"], &format!("number\n{accounts}"));
    let server = workplace.serve(&[]);
    let token = server.login("pw").await;
    let events = (1..=3).map(|n| {
        json!({
            "request_unique_identifier": n.to_string(),
            "performed_by_unit_identifier": {"name": "Admin Unit"},
            "performed_on": "2016-06-22T15:00:00",
            "referred_accounts_receivable_identifier": {"number": format!("A{n}")},
            "referred_by_accounts_receivable_identifier": {"number": "A9"},
        })
    });
    let call = json!({"token": token, "referral_customer_events_set": events.collect::<Vec<_>>()});
    let created = server.post("customer_events/bulk/referrals/create", &call).await;
    let number = created.processed()[1]["number"].as_str().expect("a number").to_owned();
    spoil(&workplace.database_url(), &number).await;

    let answer = server.post("customer_events/referrals/list", &json!({"token": token})).await;
    answer.assert_refused("Internal");
    server.wait_for_output(&format!("the event of number {number} cannot be read")).await;
    // The others can.
    let filtered = json!({"token": token, "referred_accounts_receivable_identifier": {"number": "A1"}});
    let answer = server.post("customer_events/referrals/list", &filtered).await;
    assert_eq!(answer.data["customer_events_set"].as_array().map(Vec::len), Some(1), "{answer:?}");
    let ready = reqwest::get(format!("http://{}/readyz", server.address)).await.expect("a response");
    assert_eq!(ready.status(), 200);
}

/// Makes the event of this number one that the service has not written.
async fn spoil(url: &str, number: &str) {
    if url.starts_with("sqlite:") {
        let mut connection = SqliteConnection::connect(url).await.expect("a connection");
        let spoil = format!("UPDATE referral_events SET performed_on = 'yesterday' WHERE number = {number}");
        connection.execute(AssertSqlSafe(spoil)).await.expect("a row");
        return;
    }
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    let spoil = format!(
        "ALTER TABLE referral_events ALTER performed_on DROP NOT NULL; \
         UPDATE referral_events SET performed_on = NULL WHERE number = {number}"
    );
    connection.execute(AssertSqlSafe(spoil)).await.expect("a row");
}
