//! How many connections callers have and for how long: whoever is too much makes room, and nobody notices who behaves.

use std::time::Duration;

use futures_util::future::join_all;
use referral_events::{config::ConnectionLimits, contract::BulkCreateReferralEventsRequest};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tonic::Status;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{
    Server, Setup, Transport,
    innocent::{Innocent, limits, repeatable, start},
    message,
    raw::{self, connect, frame, greeting, read_to_end, read_until, refused_frame, write_until_ended},
    tests,
};

tests! {
    Both:
        callers_do_not_notice_that_connections_are_renewed;
    Sqlite:
        a_new_caller_finds_a_place_among_silent_connections,
        a_new_caller_finds_a_place_among_watchers,
        connections_with_calls_at_work_keep_their_places,
        connections_without_calls_are_closed;
}

async fn a_new_caller_finds_a_place_among_silent_connections(setup: Setup) {
    let connections =
        ConnectionLimits { maximum: 8, head_timeout: Duration::from_secs(600), ..ConnectionLimits::default() };
    let server = start(setup, connections).await;
    // They come again as soon as they lose their place.
    let attack: Vec<_> = (0..20)
        .map(|_| {
            let address = server.address;
            tokio::spawn(async move {
                loop {
                    if let Ok(mut stream) = TcpStream::connect(address).await {
                        _ = stream.write_all(b"GET / HT").await;
                        _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                    }
                }
            })
        })
        .collect();
    for _ in 0..3 {
        let client = reqwest::Client::new();
        let request = json!({"token": server.token, "referral_customer_events_set": repeatable()});
        let request = client.post(server.url("customer_events/bulk/referrals/create")).json(&request);
        let answered = tokio::time::timeout(Duration::from_secs(60), request.send()).await.expect("a place in time");
        assert_eq!(answered.expect("an answer").status(), 200);
    }
    attack.iter().for_each(JoinHandle::abort);
}

async fn a_new_caller_finds_a_place_among_watchers(setup: Setup) {
    let server = start(setup, ConnectionLimits { maximum: 4, ..ConnectionLimits::default() }).await;
    let mut watches = Vec::new();
    for _ in 0..3 {
        let channel = tonic::transport::Channel::from_shared(format!("http://{}", server.address)).expect("a URI");
        let mut client = HealthClient::new(channel.connect().await.expect("a connection"));
        let mut watch = client.watch(HealthCheckRequest::default()).await.expect("an answer").into_inner();
        watch.message().await.expect("a health").expect("a health");
        watches.push((client, watch));
    }
    for _ in 0..3 {
        server.post("authentication/token/release", &json!({})).await.assert_refused("InvalidToken");
        // As another caller would, it comes anew.
        let answer = reqwest::get(server.url("nothing")).await.expect("an answer");
        assert_eq!(answer.status(), 404);
    }
}

async fn connections_with_calls_at_work_keep_their_places(setup: Setup) {
    let server = start(setup, ConnectionLimits { maximum: 3, ..ConnectionLimits::default() }).await;
    // While another holds the write lock, the call cannot come to its end.
    let lock = server.database.begin().await.expect("the write lock");
    let calls: Vec<_> = (0..2)
        .map(|_| {
            let server = server.clone();
            tokio::spawn(async move { server.send(repeatable()).await })
        })
        .collect();
    // Others take turns at the place that is left, for longer than a connection counts as young.
    let started = std::time::Instant::now();
    while started.elapsed() < Duration::from_secs(3) {
        let answer = reqwest::get(server.url("nothing")).await.expect("an answer");
        assert_eq!(answer.status(), 404);
    }
    lock.rollback().await.expect("a rollback");
    for call in calls {
        call.await.expect("a task").assert_outcome(&["1"], &[]);
    }
}

async fn connections_without_calls_are_closed(setup: Setup) {
    let server = start(setup, ConnectionLimits { idle_timeout: Duration::from_millis(500), ..limits() }).await;
    let innocent = Innocent::start(&server);
    let mut http1 = connect(server.address).await;
    http1.write_all(b"GET /nothing HTTP/1.1\r\nhost: here\r\n\r\n").await.expect("a request");
    let answer = read_to_end(&mut http1).await;
    assert!(answer.starts_with(b"HTTP/1.1 404 "));
    // Pings do not keep a connection that is of no use.
    let mut http2 = connect(server.address).await;
    http2
        .write_all(&[greeting(&[]), refused_frame(1), frame(raw::PING, 0, 0, &[0; 8])].concat())
        .await
        .expect("a request");
    read_until(&mut http2, raw::GO_AWAY).await.expect("a word before the end");
    write_until_ended(&mut http2, &frame(raw::PING, 0, 0, &[0; 8]), Duration::from_millis(50)).await;
    innocent.was_served().await;
}

/// Asks for what is not there; answers the answer.
async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET /nothing HTTP/1.1\r\nhost: here\r\n\r\n").await.expect("a request");
    let mut answer = Vec::new();
    while !answer.ends_with(b"}}") {
        assert_ne!(stream.read_buf(&mut answer).await.expect("an answer"), 0, "the connection ended without a word");
    }
    String::from_utf8(answer).expect("a text")
}

/// Sends the repeatable event; over gRPC once more where the connection was told to go before the call was taken. Other
/// clients of gRPC do that by themselves.
async fn send_renewing(server: &Server) {
    if server.transport == Transport::Rest {
        return server.send(repeatable()).await.assert_outcome(&["1"], &[]);
    }
    let request = json!({"token": server.token, "referral_customer_events_set": repeatable()});
    let request: BulkCreateReferralEventsRequest = message("BulkCreateReferralEventsRequest", request);
    let answer = loop {
        match server.events_client().bulk_create_referral_events(request.clone()).await {
            Err(status) if was_not_taken(&status) => {}
            answer => break answer.expect("an answer").into_inner(),
        }
    };
    assert_eq!(answer.processed_customer_events_set.len(), 1, "{answer:?}");
}

/// Whether the client failed a call that the service never began.
fn was_not_taken(status: &Status) -> bool {
    let text = format!("{status:?}");
    text.contains("connection closed") || text.contains("kind: GoAway(b\"\", NO_ERROR, Remote)")
}

async fn callers_do_not_notice_that_connections_are_renewed(setup: Setup) {
    let server = start(setup, ConnectionLimits { maximum_age: Duration::from_millis(100), ..limits() }).await;
    let renewed = async {
        for _ in 0..5 {
            let mut stream = connect(server.address).await;
            if setup.transport == Transport::Grpc {
                stream.write_all(&greeting(&[])).await.expect("a greeting");
                read_until(&mut stream, raw::GO_AWAY).await.expect("a word before the end");
            } else {
                while !ask(&mut stream).await.contains("\r\nconnection: close\r\n") {}
                assert!(read_to_end(&mut stream).await.is_empty());
            }
        }
    };
    let callers = (0..3).map(|_| async {
        for _ in 0..30 {
            send_renewing(&server).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    tokio::join!(renewed, join_all(callers));
    assert_eq!(server.stored_events().await.len(), 1);
}
