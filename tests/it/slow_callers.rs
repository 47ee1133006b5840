//! Callers who are slow or silent; each beside one who is not, whose answers are asserted.

use std::time::Duration;

use futures_util::future::join_all;
use referral_events::config::ConnectionLimits;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    Setup,
    innocent::{Innocent, limits, repeatable, start},
    raw::{self, connect, connect_narrow, frame, greeting, read_to_end, read_until, refused_frame, write_until_ended},
    tests,
};

tests! {
    Sqlite:
        connections_that_say_nothing_are_ended,
        half_heads_and_half_prefaces_are_ended,
        a_head_that_comes_by_the_byte_is_ended,
        a_body_that_stalls_is_answered_and_its_connection_ended,
        a_body_that_crawls_is_answered,
        over_http_2_a_body_that_stalls_ends_its_call_alone,
        answers_that_nobody_reads_end_their_connection,
        over_http_2_answers_without_room_end_their_connection,
        others_on_the_connection_of_an_unread_answer_are_told_to_go,
        an_answer_that_is_taken_slowly_is_taken_whole,
        control_frames_without_end_end_the_connection;
}

/// The head of a login whose body has this length.
fn login_head(length: usize) -> String {
    format!(
        "POST /authentication/token HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    )
}

/// The frames of a login over HTTP/2 whose body does not come.
fn login_frame(stream: u32) -> Vec<u8> {
    let headers = raw::headers("POST", "/authentication/token", &[("content-type", "application/json")]);
    frame(raw::HEADERS, raw::END_HEADERS, stream, &headers)
}

async fn connections_that_say_nothing_are_ended(setup: Setup) {
    let server = start(setup, limits()).await;
    let innocent = Innocent::start(&server);
    let silent = (0..50).map(|_| async { read_to_end(&mut connect(server.address).await).await });
    for said in join_all(silent).await {
        assert!(said.is_empty());
    }
    innocent.was_served().await;
}

async fn half_heads_and_half_prefaces_are_ended(setup: Setup) {
    let server = start(setup, limits()).await;
    let innocent = Innocent::start(&server);
    let head = login_head(2);
    let headers = refused_frame(1);
    let beginnings: [&[u8]; 7] = [
        b"P",
        b"PRI * HTTP/2.0\r\n",
        raw::PREFACE,
        &[raw::PREFACE, &frame(raw::SETTINGS, 0, 0, &[])[..5]].concat(),
        &head.as_bytes()[..20],
        &head.as_bytes()[..head.len() - 2],
        // A head of HTTP/2 that does not end.
        &[greeting(&[]), headers[..headers.len() - 1].to_vec()].concat(),
    ];
    let ended = beginnings.map(|beginning| {
        let address = server.address;
        async move {
            let mut stream = connect(address).await;
            stream.write_all(beginning).await.expect("a beginning");
            read_to_end(&mut stream).await;
        }
    });
    join_all(ended).await;
    // The second head on a connection is the same to it.
    let mut stream = connect(server.address).await;
    stream.write_all(format!("{head}{{}}").as_bytes()).await.expect("a request");
    stream.read_u8().await.expect("an answer");
    stream.write_all(&head.as_bytes()[..20]).await.expect("a beginning");
    read_to_end(&mut stream).await;
    innocent.was_served().await;
}

async fn a_head_that_comes_by_the_byte_is_ended(setup: Setup) {
    let server = start(setup, limits()).await;
    let innocent = Innocent::start(&server);
    let mut stream = connect(server.address).await;
    stream.write_all(b"GET /").await.expect("a beginning");
    write_until_ended(&mut stream, b"a", Duration::from_millis(20)).await;
    innocent.was_served().await;
}

async fn a_body_that_stalls_is_answered_and_its_connection_ended(setup: Setup) {
    let server = start(setup, limits()).await;
    let innocent = Innocent::start(&server);
    for sent in ["", "{", "{\"username\": \"ca"] {
        let mut stream = connect(server.address).await;
        stream.write_all(format!("{}{sent}", login_head(100)).as_bytes()).await.expect("a part");
        let answer = String::from_utf8(read_to_end(&mut stream).await).expect("a text");
        assert!(answer.starts_with("HTTP/1.1 504 ") && answer.contains("DeadlineExceededException"), "{answer}");
    }
    innocent.was_served().await;
}

async fn a_body_that_crawls_is_answered(setup: Setup) {
    let server = start(setup, limits()).await;
    let innocent = Innocent::start(&server);
    let mut stream = connect(server.address).await;
    stream.write_all(login_head(1_000_000).as_bytes()).await.expect("a head");
    // Each byte comes in time, and all of them would take hours.
    write_until_ended(&mut stream, b" ", Duration::from_millis(20)).await;
    innocent.was_served().await;
}

async fn over_http_2_a_body_that_stalls_ends_its_call_alone(setup: Setup) {
    let server = start(setup, limits()).await;
    let mut stream = connect(server.address).await;
    stream.write_all(&[greeting(&[]), login_frame(1)].concat()).await.expect("a request");
    let (answered, _) = read_until(&mut stream, raw::HEADERS).await.expect("an answer");
    assert_eq!(answered, 1);
    let (_, body) = read_until(&mut stream, raw::DATA).await.expect("an answer");
    assert!(String::from_utf8_lossy(&body).contains("DeadlineExceededException"));
    stream.write_all(&refused_frame(3)).await.expect("another request");
    let (answered, _) = read_until(&mut stream, raw::HEADERS).await.expect("an answer");
    assert_eq!(answered, 3);

    // The same over gRPC, beside a good call.
    let headers = raw::headers(
        "POST",
        "/referral.v1.AuthenticationService/CreateToken",
        &[("content-type", "application/grpc"), ("te", "trailers")],
    );
    let request = frame(raw::HEADERS, raw::END_HEADERS, 5, &headers);
    stream.write_all(&request).await.expect("a request");
    let (answered, headers) = read_until(&mut stream, raw::HEADERS).await.expect("an answer");
    assert_eq!(answered, 5);
    assert!(!headers.is_empty());
    server.send(repeatable()).await.assert_outcome(&["1"], &[]);
}

async fn answers_that_nobody_reads_end_their_connection(setup: Setup) {
    let server = start(setup, limits()).await;
    let innocent = Innocent::start(&server);
    let mut stream = connect_narrow(server.address).await;
    // Large answers, of which few fill what the machine keeps for a peer.
    let requests = "GET /openapi.json HTTP/1.1\r\nhost: here\r\n\r\n".repeat(1000);
    write_until_ended(&mut stream, requests.as_bytes(), Duration::ZERO).await;
    innocent.was_served().await;
}

async fn over_http_2_answers_without_room_end_their_connection(setup: Setup) {
    let server = start(setup, limits()).await;
    let innocent = Innocent::start(&server);
    let mut stream = connect(server.address).await;
    // SETTINGS_INITIAL_WINDOW_SIZE: no answer may send a byte.
    stream.write_all(&greeting(&[(4, 0)])).await.expect("a greeting");
    for n in 0..50 {
        stream.write_all(&refused_frame(2 * n + 1)).await.expect("a request");
    }
    read_to_end(&mut stream).await;
    innocent.was_served().await;
}

async fn others_on_the_connection_of_an_unread_answer_are_told_to_go(setup: Setup) {
    let server = start(setup, limits()).await;
    let body = json!({"token": server.login("acme", "carla").await}).to_string();
    // A call of another caller, which cannot end while another holds the write lock.
    let lock = server.database.begin().await.expect("the write lock");
    let release = raw::headers("POST", "/authentication/token/release", &[("content-type", "application/json")]);
    let requests = [
        greeting(&[(4, 0)]),
        frame(raw::HEADERS, raw::END_HEADERS, 1, &release),
        frame(raw::DATA, raw::END_STREAM, 1, body.as_bytes()),
        refused_frame(3),
    ]
    .concat();
    let mut stream = connect(server.address).await;
    stream.write_all(&requests).await.expect("requests");
    read_until(&mut stream, raw::GO_AWAY).await.expect("a word before the end");
    lock.rollback().await.expect("a rollback");
    // Room for the answer of this one alone.
    stream.write_all(&frame(8, 0, 1, &65_535_u32.to_be_bytes())).await.expect("room");
    let answer = loop {
        let (id, part) = read_until(&mut stream, raw::DATA).await.expect("an answer");
        if id == 1 {
            break String::from_utf8(part).expect("a text");
        }
    };
    assert!(answer.contains("\"OK\""), "{answer}");
    read_to_end(&mut stream).await;
    server.send(repeatable()).await.assert_outcome(&["1"], &[]);
}

async fn an_answer_that_is_taken_slowly_is_taken_whole(setup: Setup) {
    let stall_timeout = Duration::from_secs(2);
    let server = start(setup, ConnectionLimits { stall_timeout, ..limits() }).await;
    let mut stream = connect(server.address).await;
    stream.write_all(&[greeting(&[(4, 0)]), refused_frame(1)].concat()).await.expect("a request");
    let mut answer = Vec::new();
    while !answer.ends_with(b"}}") {
        // Room for a part of the answer; each comes in time.
        stream.write_all(&frame(8, 0, 1, &40_u32.to_be_bytes())).await.expect("room");
        let (_, part) = read_until(&mut stream, raw::DATA).await.expect("a part");
        assert!((1..=40).contains(&part.len()), "{part:?}");
        answer.extend(part);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(String::from_utf8(answer).expect("a text").contains("NotFoundException"));
}

async fn control_frames_without_end_end_the_connection(setup: Setup) {
    let server = start(setup, limits()).await;
    let innocent = Innocent::start(&server);
    for (kind, stream_id, payload) in
        [(raw::PING, 0, vec![0; 8]), (raw::SETTINGS, 0, vec![]), (raw::PRIORITY, 1, vec![0; 5])]
    {
        let stream = connect(server.address).await;
        let (mut answers, mut requests) = stream.into_split();
        // What the server says is read, so that nothing but the number of frames is wrong with them.
        let reading = tokio::spawn(async move { tokio::io::copy(&mut answers, &mut tokio::io::sink()).await });
        requests.write_all(&greeting(&[])).await.expect("a greeting");
        let frames = frame(kind, 0, stream_id, &payload).repeat(1000);
        let mut thousands = 0;
        while requests.write_all(&frames).await.is_ok() {
            thousands += 1;
            assert!(thousands < 10_000, "frames of kind {kind} are taken without end");
        }
        _ = reading.await.expect("a task");
    }
    innocent.was_served().await;
}
