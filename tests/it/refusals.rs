//! What is refused before its body was read: the caller sees the refusal, though it is still sending.

use std::process::Command;

use referral_events::config::Config;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{Code, Status};

use crate::support::{Server, Setup, tests};

tests! {
    Rest: who_sends_its_whole_body_first_sees_the_refusal, the_rest_of_a_refused_body_is_read_for_a_while_only;
    Grpc: who_sends_its_whole_message_first_sees_the_refusal;
    Curl: curl_sees_the_refusal_whatever_it_speaks;
}

const BULK: &str = "/customer_events/bulk/referrals/create";
/// More than sockets have room for.
const LENGTH: usize = 16_000_000;

/// Sends a request whole, and only then reads the answer to its end: its head, and its body.
async fn answer_to(server: &Server, line: &str, headers: &str, body: &[u8]) -> (String, String) {
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    let head = format!("{line} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    stream.write_all(head.as_bytes()).await.expect("a head");
    stream.write_all(body).await.expect("a body");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("an answer");
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text}"));
    (head.to_ascii_lowercase(), body.to_owned())
}

async fn who_sends_its_whole_body_first_sees_the_refusal(setup: Setup) {
    let server = Server::start(setup).await;
    let reader = server.login("acme", "rita").await;
    let body = vec![b' '; LENGTH];
    let cases = [
        ("POST /nowhere".to_owned(), String::new(), 404, "NotFoundException"),
        (format!("PUT {BULK}"), String::new(), 405, "MethodNotAllowedException"),
        ("POST /authentication/token".to_owned(), String::new(), 413, "RequestTooLargeException"),
        (format!("POST {BULK}"), "content-type: application/xml\r\n".to_owned(), 415, "UnsupportedMediaTypeException"),
        (format!("POST {BULK}"), "authorization: Bearer nonsense\r\n".to_owned(), 401, "InvalidTokenException"),
        (format!("POST {BULK}"), "authorization: Basic eDp5\r\n".to_owned(), 401, "InvalidTokenException"),
        (format!("POST {BULK}"), format!("authorization: Bearer {reader}\r\n"), 403, "AccessDeniedException"),
        ("POST /customer_events/referrals/create".to_owned(), String::new(), 413, "RequestTooLargeException"),
    ];
    for (line, headers, status, code) in cases {
        let (head, answer) = answer_to(&server, &line, &headers, &body).await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{line}: {head}");
        assert!(head.contains("\r\nconnection: close"), "{line}: {head}");
        let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
        assert_eq!(answer["status"]["code"], code, "{line}");
    }
    server.assert_serving().await;
}

async fn the_rest_of_a_refused_body_is_read_for_a_while_only(setup: Setup) {
    let server = Server::start(setup).await;
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    let head = "POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("a head");
    let piece = vec![b' '; 1_000_000];
    let mut sent = 0;
    // The server closes at some time; what is in the sockets is more than it read.
    while stream.write_all(&piece).await.is_ok() {
        sent += piece.len();
        assert!(sent < 1_000_000_000, "the server reads on and on");
    }
    server.assert_serving().await;
}

async fn who_sends_its_whole_message_first_sees_the_refusal(setup: Setup) {
    let mut server = Server::start(setup).await;
    let message = [&[0], &u32::try_from(LENGTH).expect("a length").to_be_bytes()[..], &vec![0; LENGTH]].concat();
    let bulk = "POST /referral.v1.ReferralEventService/BulkCreateReferralEvents";
    let wrong = "authorization: Bearer nonsense\r\n";
    for (line, headers, code) in [
        (bulk, wrong, Code::Unauthenticated),
        ("POST /referral.v1.ReferralEventService/NoSuchMethod", "", Code::Unimplemented),
        ("POST /referral.v1.AuthenticationService/CreateToken", "", Code::ResourceExhausted),
    ] {
        let headers = format!("content-type: application/grpc-web\r\n{headers}");
        let (head, _) = answer_to(&server, line, &headers, &message).await;
        assert!(head.contains("\r\nconnection: close"), "{line}: {head}");
        let status = head.lines().find_map(|line| line.strip_prefix("grpc-status: ")).expect("a status");
        assert_eq!(status, (code as i32).to_string(), "{line}: {head}");
    }
    // Over HTTP/2, by a caller that goes on with the same connection.
    server.restart_with(Config::default()).await;
    let bulk = bulk.trim_start_matches("POST ");
    let refused = server.call_with_bytes(bulk, vec![0; LENGTH], &[("authorization", "Bearer nonsense")]).await;
    assert_eq!(refused.map_err(|status: Status| status.code()), Err(Code::Unauthenticated));
    server.assert_serving().await;
}

async fn curl_sees_the_refusal_whatever_it_speaks(setup: Setup) {
    let server = Server::start(setup).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("body");
    std::fs::write(&file, vec![b' '; LENGTH]).expect("a file");
    let cases = [
        ("nowhere", "application/json", "404"),
        ("authentication/token", "application/json", "413"),
        (BULK.trim_start_matches('/'), "text/html", "415"),
        (BULK.trim_start_matches('/'), "application/json", "401"),
    ];
    for (path, content_type, status) in cases {
        // Without `Expect` it sends at once.
        for protocol in ["--http1.1", "--http2-prior-knowledge"] {
            let mut curl = Command::new("curl");
            curl.args([
                "--silent",
                "--show-error",
                "--output",
                "-",
                "--write-out",
                " %{http_code}",
                "--header",
                "expect:",
            ]);
            curl.args([protocol, "--header", "authorization: Bearer nonsense", "--header"]);
            curl.args([&format!("content-type: {content_type}"), "--data-binary"]);
            curl.arg(format!("@{}", file.display())).arg(server.url(path));
            let output = tokio::task::spawn_blocking(move || curl.output()).await.expect("a thread").expect("curl");
            let shown = format!("{output:?}");
            assert!(output.status.success(), "{protocol} {path}: {shown}");
            assert!(
                String::from_utf8_lossy(&output.stdout).ends_with(&format!(" {status}")),
                "{protocol} {path}: {shown}"
            );
        }
    }
}
