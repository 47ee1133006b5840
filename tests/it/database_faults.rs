//! Whatever becomes of PostgreSQL: calls are answered with the documented code, the service says that it is not ready,
//! and all is well again by itself once the database is.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use referral_events::config::Config;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use crate::support::{
    Cluster, Server, Setup,
    faults::{
        AT_ONCE, assert_created, assert_creation_unavailable, assert_readable, assert_unavailable, assert_well,
        creation, over,
    },
    method, tests,
};

tests! {
    OwnPostgres:
        a_database_that_is_gone_is_found_again,
        a_database_that_takes_no_writes_answers_those_who_read,
        sessions_of_a_server_that_takes_no_writes_any_more_are_given_up,
        a_database_without_free_connections_makes_the_service_unavailable,
        sessions_that_the_database_ends_are_replaced;
    Postgres:
        calls_that_wait_for_their_turn_do_not_make_the_service_unready;
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
