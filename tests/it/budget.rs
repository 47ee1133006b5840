//! What bodies and answers may have of the memory, and that those who hold it keep nobody out.

use std::time::Duration;

use referral_events::{config::Config, directory::DirectoryKind};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::support::{Server, Setup, Transport, Workplace, event, method, tests};

tests! {
    Both: bodies_without_a_token_keep_nobody_out, bodies_of_one_organisation_keep_no_other_out;
    Rest: answers_that_nobody_takes_make_room_for_others;
    Once: a_budget_that_is_too_small_is_refused;
}

const MIB: usize = 1024 * 1024;

fn small() -> Config {
    Config { memory_budget: 8 * MIB, ..Config::default() }
}

/// Begins a bulk call whose body does not end, with so much of the body as the server takes.
async fn begin(server: &Server, setup: Setup, header: &str) -> TcpStream {
    let method = method("BulkCreateReferralEvents");
    let (path, content_type, start) = match setup.transport {
        Transport::Rest => (format!("/{}", method.addresses()[0].1), "application/json", b"{\"a\":".to_vec()),
        Transport::Grpc => {
            (method.grpc_path(), "application/grpc-web", [&[0], &(4 * MIB as u32).to_be_bytes()[..]].concat())
        }
    };
    let length = 4 * MIB + 5;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n{header}\r\n"
    );
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    let body = vec![b' '; MIB];
    // One that is refused meanwhile may be closed as well.
    _ = stream.write_all(&[head.as_bytes(), &start, &body].concat()).await;
    stream
}

/// Whether this is a refusal for the want of room, of either transport.
fn is_crowded_out(answer: &str) -> bool {
    answer.contains("TooManyRequestsException") || answer.contains("grpc-status: 8")
}

/// What was answered so far; nothing where the server still waits for the body.
async fn answer_of(mut stream: TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    match tokio::time::timeout(Duration::from_secs(1), stream.read(&mut bytes)).await {
        Ok(Ok(read)) => String::from_utf8_lossy(&bytes[..read]).into_owned(),
        _ => String::new(),
    }
}

async fn bodies_without_a_token_keep_nobody_out(setup: Setup) {
    let mut server = Server::start(setup).await;
    server.restart_with(small()).await;
    let mut held = Vec::new();
    for n in 1..=40 {
        held.push(begin(&server, setup, "").await);
        if n % 10 == 0 {
            let digits = format!("{n:02}");
            // With the token in the message, and in the header.
            server.send(json!([event(&digits, &digits, "60")])).await.assert_outcome(&[&digits], &[]);
            let bearer = format!("Bearer {}", server.token);
            let answer = server.call(&method("ListReferralEvents"), json!({}), &[("authorization", &bearer)]).await;
            assert_eq!(answer.code, "OK", "{answer:?}");
            server.login("acme", "carla").await;
        }
    }
    // All but the youngest had to make room.
    let answers = futures_util::future::join_all(held.into_iter().map(answer_of)).await;
    let refused = answers.iter().filter(|answer| is_crowded_out(answer)).count();
    assert!((30..40).contains(&refused), "{refused}: {answers:?}");
    server.assert_serving().await;
}

async fn bodies_of_one_organisation_keep_no_other_out(setup: Setup) {
    let mut server = Server::start(setup).await;
    server.restart_with(small()).await;
    let other = server.login("other", "oscar").await;
    let header = format!("authorization: Bearer {other}\r\n");
    let mut held = Vec::new();
    for n in 1..=20 {
        held.push(begin(&server, setup, &header).await);
        if n % 5 == 0 {
            let digits = format!("{n:02}");
            server.send(json!([event(&digits, &digits, "60")])).await.assert_outcome(&[&digits], &[]);
        }
    }
    let answers = futures_util::future::join_all(held.into_iter().map(answer_of)).await;
    let refused = answers.iter().filter(|answer| is_crowded_out(answer)).count();
    assert!((10..20).contains(&refused), "{refused}: {answers:?}");
}

/// Asks for a list and does not take it. The less the system takes in its place, the more the server has.
async fn ask(server: &Server, request: &Value) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a size");
    let mut stream = socket.connect(server.address).await.expect("a connection");
    let body = request.to_string();
    let head = format!(
        "POST /customer_events/referrals/list HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.expect("a request");
    // The answer has begun.
    stream.readable().await.expect("an answer");
    stream
}

/// How long an answer is, and how much of it came.
async fn take(mut stream: TcpStream) -> (usize, usize) {
    let mut bytes = Vec::new();
    _ = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut bytes)).await.expect("an end");
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    (length.parse().expect("a number"), body.len())
}

async fn answers_that_nobody_takes_make_room_for_others(setup: Setup) {
    let mut server = Server::start(setup).await;
    let rows: String = (0..1000).map(|n| format!("N{n}\n")).collect();
    server.import("acme", DirectoryKind::AccountsReceivable, format!("number\n{rows}")).await;
    let events: Vec<Value> = (0..1000)
        .map(|n| {
            json!({
                "request_unique_identifier": n.to_string(),
                "performed_by_unit_identifier": {"name": "Admin Unit"},
                "performed_on": "2016-06-22T15:00:00",
                // Twice as long in JSON, which leaves the answer below what it may have as a message.
                "description": "\"".repeat(3600),
                "referred_accounts_receivable_identifier": {"number": format!("N{n}")},
                "referred_by_accounts_receivable_identifier": {"number": "ACR60"},
            })
        })
        .collect();
    assert_eq!(server.send(json!(events)).await.failures(), []);
    // One answer is less than the half that an organisation may have, two are more.
    server.restart_with(Config { memory_budget: 20 * MIB, ..Config::default() }).await;
    // Some 8 MB each, which is more than the system takes in the caller's place.
    let request = json!({"token": server.token, "number_of_results": 1000});
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(ask(&server, &request).await);
        let answer = server.list(request.clone()).await;
        assert_eq!(
            (answer.code.as_str(), answer.data["customer_events_set"].as_array().map(Vec::len)),
            ("OK", Some(1000))
        );
    }
    let taken = futures_util::future::join_all(held.into_iter().map(take)).await;
    let broken = taken.iter().filter(|(length, came)| came < length).count();
    assert!(broken >= 2, "{taken:?}");
    server.assert_serving().await;
}

async fn a_budget_that_is_too_small_is_refused(_: Setup) {
    let workplace = Workplace::new();
    for value in ["0", "127", "-1", "much"] {
        let ended = workplace.run(&["serve", &format!("--memory-budget={value}")]);
        assert_eq!(ended.code, Some(2), "{value}: {ended:?}");
        assert!(ended.stderr.contains(&format!("'{value}' for '--memory-budget")), "{ended:?}");
    }
}
