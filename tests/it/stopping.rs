//! How a server stops: who asks for its health is told first, calls under way end, and nobody who only waits keeps it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use referral_events::storage::Database;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::support::{
    Engine, Process, Setup, Workplace,
    raw::{self, begin_call, connect, frame, greeting, read_to_end, read_until},
    tests, until,
};

tests! {
    Once:
        calls_are_taken_for_a_while_after_the_health_says_no,
        an_open_watch_does_not_keep_the_server,
        requests_that_were_half_sent_do_not_keep_the_server,
        connections_without_calls_do_not_keep_the_server,
        answers_that_nobody_takes_do_not_keep_the_server,
        a_call_that_does_not_end_keeps_the_server_no_longer_than_the_limit,
        a_database_that_does_not_answer_keeps_the_server_no_longer_than_the_limit;
}

/// No more than a fraction of the drain limit that the servers have here.
const SOON: Duration = Duration::from_secs(30);
const ARGUMENTS: [&str; 4] = ["--drain-pause", "0", "--drain-limit", "600"];

fn workplace() -> Workplace {
    let workplace = Workplace::over(Engine::Sqlite.create_database());
    workplace.run_well(&["migrate"], "");
    workplace.add_caller("seven green kettles");
    workplace
}

async fn health(address: SocketAddr) -> HealthClient<Channel> {
    let channel = Channel::from_shared(format!("http://{address}")).expect("a URI");
    HealthClient::new(channel.connect().await.expect("a connection"))
}

fn service() -> HealthCheckRequest {
    HealthCheckRequest { service: "referral.v1.ReferralEventService".to_owned() }
}

/// Stops the server, which must end well and soon.
async fn stop_soon(server: &mut Process) {
    let started = Instant::now();
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.output());
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

async fn calls_are_taken_for_a_while_after_the_health_says_no(_: Setup) {
    let workplace = workplace();
    let server = workplace.serve(&["--drain-pause", "600", "--drain-limit", "1200"]);
    let mut before = health(server.address).await;
    server.terminate();
    let status = |client: HealthClient<Channel>| async move {
        let mut client = client;
        client.check(service()).await.expect("an answer").into_inner().status()
    };
    let started = Instant::now();
    until("the health says no", async || status(before.clone()).await == ServingStatus::NotServing).await;
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    before.check(service()).await.expect("a connection that goes on");
    // A new caller is served; over HTTP/1.1 it is told that this was its last call on the connection.
    assert_eq!(status(health(server.address).await).await, ServingStatus::NotServing);
    server.login("seven green kettles").await;
    let answer = reqwest::get(format!("http://{}/nothing", server.address)).await.expect("an answer");
    assert_eq!((answer.status().as_u16(), &answer.headers()["connection"]), (404, &"close".parse().expect("a value")));
}

async fn an_open_watch_does_not_keep_the_server(_: Setup) {
    let workplace = workplace();
    let mut server = workplace.serve(&ARGUMENTS);
    let mut watch = health(server.address).await.watch(service()).await.expect("an answer").into_inner();
    let first = watch.message().await.expect("a health").expect("a health");
    assert_eq!(first.status(), ServingStatus::Serving);
    stop_soon(&mut server).await;
    let last = watch.message().await.expect("a health").expect("a health");
    assert_eq!(last.status(), ServingStatus::NotServing);
    assert!(!matches!(watch.message().await, Ok(Some(_))));
}

async fn requests_that_were_half_sent_do_not_keep_the_server(_: Setup) {
    let workplace = workplace();
    let mut server = workplace.serve(&[&ARGUMENTS[..], &["--stall-timeout", "600"]].concat());
    let head = "POST /authentication/token HTTP/1.1\r\nhost: here\r\ncontent-length: 100\r\n";
    let headers = raw::headers("POST", "/authentication/token", &[]);
    let beginnings: [Vec<u8>; 5] = [
        vec![],
        raw::PREFACE.to_vec(),
        head.as_bytes().to_vec(),
        format!("{head}\r\n{{").into_bytes(),
        [greeting(&[]), frame(raw::HEADERS, raw::END_HEADERS, 1, &headers)].concat(),
    ];
    let mut streams = Vec::new();
    for beginning in &beginnings {
        let mut stream = connect(server.address).await;
        stream.write_all(beginning).await.expect("a beginning");
        streams.push(stream);
    }
    stop_soon(&mut server).await;
}

async fn connections_without_calls_do_not_keep_the_server(_: Setup) {
    let workplace = workplace();
    let mut server = workplace.serve(&ARGUMENTS);
    let _over_http_2 = {
        let mut client = health(server.address).await;
        client.check(service()).await.expect("an answer");
        client
    };
    let mut over_http_1 = connect(server.address).await;
    over_http_1.write_all(b"GET /nothing HTTP/1.1\r\nhost: here\r\n\r\n").await.expect("a request");
    // One that answers no PING, by which a graceful end is known to have arrived.
    let mut mute = connect(server.address).await;
    mute.write_all(&greeting(&[])).await.expect("a greeting");
    read_until(&mut mute, raw::SETTINGS).await.expect("a greeting");
    stop_soon(&mut server).await;
    assert!(read_to_end(&mut over_http_1).await.starts_with(b"HTTP/1.1 404 "));
}

async fn answers_that_nobody_takes_do_not_keep_the_server(_: Setup) {
    let workplace = workplace();
    let mut server = workplace.serve(&[&ARGUMENTS[..], &["--stall-timeout", "600"]].concat());
    let mut stream = connect(server.address).await;
    let headers = raw::headers("GET", "/nothing", &[]);
    let request = frame(raw::HEADERS, raw::END_HEADERS | raw::END_STREAM, 1, &headers);
    // No room for the body of an answer.
    stream.write_all(&[greeting(&[(4, 0)]), request].concat()).await.expect("a request");
    read_until(&mut stream, raw::HEADERS).await.expect("the head of an answer");
    stop_soon(&mut server).await;
}

/// Stops a server with a call that waits for SQLite's write lock, which is held for longer than SQLite waits. Answers how
/// long the server took, and what the call was answered.
async fn with_a_call_that_waits(arguments: &[&str]) -> (Duration, Vec<u8>) {
    let workplace = workplace();
    let mut server = workplace.serve(arguments);
    let token = server.login("seven green kettles").await;
    let database = Database::connect(&workplace.database_url()).await.expect("a database");
    let lock = database.begin().await.expect("the write lock");
    let body = json!({"token": token}).to_string();
    let mut call = begin_call(server.address, "authentication/token/release", body.len()).await;
    call.write_all(body.as_bytes()).await.expect("a server that reads on");
    let answer = tokio::spawn(async move { read_to_end(&mut call).await });
    let started = Instant::now();
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.output());
    let took = started.elapsed();
    lock.rollback().await.expect("a rollback");
    (took, answer.await.expect("a task"))
}

async fn a_call_that_does_not_end_keeps_the_server_no_longer_than_the_limit(_: Setup) {
    let (took, answer) = with_a_call_that_waits(&["--drain-limit", "1", "--time-limit", "600"]).await;
    assert!(took < Duration::from_secs(5) && answer.is_empty(), "{took:?} {answer:?}");
}

async fn a_database_that_does_not_answer_keeps_the_server_no_longer_than_the_limit(_: Setup) {
    // The call ends, and what it asked of the database goes on.
    let (took, answer) = with_a_call_that_waits(&["--drain-limit", "2", "--time-limit", "1"]).await;
    assert!(took < Duration::from_secs(6) && answer.starts_with(b"HTTP/1.1 504 "), "{took:?} {answer:?}");
}
