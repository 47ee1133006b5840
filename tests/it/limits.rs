//! Calls that are too many or take too long, and a database that is gone.

use std::time::Duration;

use referral_events::config::Config;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{Method, Server, Setup, Transport, envelope, event, method, tests};

tests! {
    Both:
        calls_beyond_the_maximum_are_refused,
        a_call_that_takes_too_long_is_ended,
        a_caller_says_how_long_it_waits,
        a_call_whose_body_does_not_come_is_ended,
        a_call_whose_body_is_awaited_takes_no_place,
        without_its_database_the_service_is_unavailable;
}

/// Asserts how a method refuses a request: code, HTTP status, gRPC code, and whether it asks to try again.
async fn assert_refused(
    server: &Server,
    method: &Method,
    request: Value,
    (reason, http, grpc, retry): (&str, u16, Code, bool),
) {
    match server.transport {
        Transport::Rest => {
            let (verb, path) = method.addresses().swap_remove(0);
            let response = server.call_rest(verb, &path, &request.to_string(), &[]).await;
            let retry_after =
                response.headers().get("retry-after").map(|value| value.to_str().expect("a text").to_owned());
            let (status, answer) = envelope(response).await;
            answer.assert_refused(reason);
            assert_eq!(status, http);
            let seconds = retry_after.map(|seconds| seconds.parse().expect("seconds"));
            assert_retry(seconds.map(Duration::from_secs), retry);
        }
        Transport::Grpc => {
            let status = server.call_grpc(method, request, &[]).await.expect_err("a refusal");
            assert_eq!(status.code(), grpc, "{status:?}");
            let details = status.get_error_details();
            assert_eq!(details.error_info().expect("an ErrorInfo").reason, format!("{reason}Exception"));
            let delay = details.retry_info().and_then(|info| info.retry_delay);
            assert_retry(delay, retry);
        }
    }
}

/// Whoever is to come back is told when, and not all the same moment.
#[track_caller]
fn assert_retry(wait: Option<Duration>, retry: bool) {
    assert_eq!(wait.is_some(), retry);
    assert!(wait.is_none_or(|wait| (Duration::from_secs(1)..=Duration::from_secs(2)).contains(&wait)), "{wait:?}");
}

fn good(server: &Server) -> Value {
    json!({"token": server.token, "referral_customer_events_set": [
        {"request_unique_identifier": "1", "performed_by_unit_identifier": {"name": "Admin Unit"},
         "performed_on": "2016-06-22T15:00:00Z", "referred_rewards_participant_identifier": {"number": "RP01"},
         "referred_by_rewards_participant_identifier": {"number": "RP02"}},
    ]})
}

async fn calls_beyond_the_maximum_are_refused(setup: Setup) {
    let mut server = Server::start(setup).await;
    server.restart_with(Config { maximum_calls: 0, ..Config::default() }).await;
    let refusal = ("TooManyRequests", 429, Code::ResourceExhausted, true);
    let token = json!({"token": server.token});
    for (name, request) in [
        ("BulkCreateReferralEvents", good(&server)),
        ("ListReferralEvents", token.clone()),
        ("CancelReferralEvent", token.clone()),
        ("ReleaseToken", token),
    ] {
        assert_refused(&server, &method(name), request, refusal).await;
    }
    // Who calls is found out first, and a login is no call.
    assert_refused(
        &server,
        &method("ListReferralEvents"),
        json!({}),
        ("InvalidToken", 401, Code::Unauthenticated, false),
    )
    .await;
    server.login("acme", "carla").await;
    server.restart_with(Config { maximum_calls: 1, ..Config::default() }).await;
    for n in 1..=3 {
        let digits = format!("{n:02}");
        server.send(json!([event(&digits, &digits, "60")])).await.assert_outcome(&[&digits], &[]);
    }
}

async fn a_call_that_takes_too_long_is_ended(setup: Setup) {
    let mut server = Server::start(setup).await;
    server.restart_with(Config { time_limit: Duration::ZERO, ..Config::default() }).await;
    let refusal = ("DeadlineExceeded", 504, Code::DeadlineExceeded, false);
    assert_refused(&server, &method("BulkCreateReferralEvents"), good(&server), refusal).await;
    let credentials = json!({"organisation": "acme", "username": "carla", "password": "carla"});
    assert_refused(&server, &method("CreateToken"), credentials, refusal).await;
    assert!(server.stored_events().await.is_empty());
    server.restart_with(Config::default()).await;
    server.assert_serving().await;
}

/// The head of a request over HTTP/1.1, its body announced and not sent.
fn head(setup: Setup, method: &Method, length: usize, more: &str) -> String {
    let (path, content_type) = match setup.transport {
        Transport::Rest => (format!("/{}", method.addresses()[0].1), "application/json"),
        Transport::Grpc => (method.grpc_path(), "application/grpc-web"),
    };
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\
         connection: close\r\n{more}\r\n"
    )
}

/// The body of a request as it goes over the wire.
fn body(setup: Setup, request: &Value) -> Vec<u8> {
    match setup.transport {
        Transport::Rest => request.to_string().into_bytes(),
        Transport::Grpc => {
            use prost::Message;
            let request: referral_events::contract::CreateTokenRequest =
                crate::support::message("CreateTokenRequest", request.clone());
            let message = request.encode_to_vec();
            let length = u32::try_from(message.len()).expect("a length").to_be_bytes();
            [&[0], &length[..], &message].concat()
        }
    }
}

/// Reads an answer to its end; answers the error code, and the gRPC code where there is one.
async fn read_answer(mut stream: TcpStream) -> (String, Option<Code>) {
    let mut bytes = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut bytes));
    reading.await.expect("an answer in time").expect("an answer");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text}"));
    let headers = head.lines().skip(1).filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.parse::<reqwest::header::HeaderName>().ok()?, value.parse::<reqwest::header::HeaderValue>().ok()?))
    });
    match Status::from_header_map(&headers.collect()) {
        Some(status) => {
            let info = status.get_error_details();
            let info = info.error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
            (info.reason.clone(), Some(status.code()))
        }
        None => {
            let body: Value = serde_json::from_str(body.trim()).unwrap_or_else(|error| panic!("{error}: {text}"));
            (body["status"]["code"].as_str().expect("a code").to_owned(), None)
        }
    }
}

async fn a_caller_says_how_long_it_waits(setup: Setup) {
    let server = Server::start(setup).await;
    let login = method("CreateToken");
    // A login takes its time, for the hash.
    let request = body(setup, &json!({"organisation": "acme", "username": "carla", "password": "wrong"}));
    let is_grpc = setup.transport == Transport::Grpc;
    let waits = [
        ("1n", "DeadlineExceededException", Code::DeadlineExceeded),
        ("1u", "DeadlineExceededException", Code::DeadlineExceeded),
        ("1m", "DeadlineExceededException", Code::DeadlineExceeded),
        ("30S", "InvalidCredentialsException", Code::Unauthenticated),
        ("99999999H", "InvalidCredentialsException", Code::Unauthenticated),
        ("1", "MalformedRequestException", Code::InvalidArgument),
        ("S", "MalformedRequestException", Code::InvalidArgument),
        ("-1S", "MalformedRequestException", Code::InvalidArgument),
        ("999999999S", "MalformedRequestException", Code::InvalidArgument),
        ("1s", "MalformedRequestException", Code::InvalidArgument),
        ("1 S", "MalformedRequestException", Code::InvalidArgument),
        ("", "MalformedRequestException", Code::InvalidArgument),
    ];
    for (timeout, reason, code) in waits {
        let mut stream = TcpStream::connect(server.address).await.expect("a connection");
        let head = head(setup, &login, request.len(), &format!("grpc-timeout: {timeout}\r\n"));
        stream.write_all(&[head.as_bytes(), &request].concat()).await.expect("a request");
        let answer = read_answer(stream).await;
        assert_eq!(answer, (reason.to_owned(), is_grpc.then_some(code)), "{timeout}");
    }
}

async fn a_call_whose_body_does_not_come_is_ended(setup: Setup) {
    let mut server = Server::start(setup).await;
    server.restart_with(Config { time_limit: Duration::from_millis(300), ..Config::default() }).await;
    let login = method("CreateToken");
    let request = body(setup, &json!({"organisation": "acme", "username": "carla", "password": "wrong"}));
    for sent in [0, 1, 10, request.len() - 1] {
        let mut stream = TcpStream::connect(server.address).await.expect("a connection");
        let head = head(setup, &login, request.len(), "");
        stream.write_all(&[head.as_bytes(), &request[..sent]].concat()).await.expect("a part of a request");
        let (reason, code) = read_answer(stream).await;
        assert_eq!(reason, "DeadlineExceededException", "{sent}");
        assert!(code.is_none_or(|code| code == Code::DeadlineExceeded), "{sent}");
    }
    server.restart_with(Config::default()).await;
    server.assert_serving().await;
}

async fn a_call_whose_body_is_awaited_takes_no_place(setup: Setup) {
    let mut server = Server::start(setup).await;
    server.restart_with(Config { maximum_calls: 1, ..Config::default() }).await;
    let login = method("CreateToken");
    let request = body(setup, &json!({"organisation": "acme", "username": "carla", "password": "wrong"}));
    let mut streams = Vec::new();
    for sent in 0..5 {
        let mut stream = TcpStream::connect(server.address).await.expect("a connection");
        let head = head(setup, &login, request.len(), "");
        stream.write_all(&[head.as_bytes(), &request[..sent]].concat()).await.expect("a part of a request");
        streams.push((stream, sent));
    }
    for n in 1..=3 {
        let digits = format!("{n:02}");
        server.send(json!([event(&digits, &digits, "60")])).await.assert_outcome(&[&digits], &[]);
    }
    for (mut stream, sent) in streams {
        stream.write_all(&request[sent..]).await.expect("a body");
        assert_eq!(read_answer(stream).await.0, "InvalidCredentialsException");
    }
}

async fn without_its_database_the_service_is_unavailable(setup: Setup) {
    let server = Server::start(setup).await;
    server.assert_serving().await;
    server.database.clone().close().await.expect("an end");
    let refusal = ("ServiceUnavailable", 503, Code::Unavailable, true);
    for _ in 0..2 {
        assert_refused(&server, &method("BulkCreateReferralEvents"), good(&server), refusal).await;
        assert_refused(&server, &method("ReleaseToken"), json!({"token": server.token}), refusal).await;
        let credentials = json!({"organisation": "acme", "username": "carla", "password": "carla"});
        assert_refused(&server, &method("CreateToken"), credentials, refusal).await;
    }
}
