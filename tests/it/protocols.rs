//! What a request may be sent as: gRPC, gRPC-Web and REST, and the content types of each.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Buf, Bytes};
use http_body_util::Full;
use hyper::body::Body;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use referral_events::contract::{BulkCreateReferralEventsRequest, BulkCreateReferralEventsResponse};
use serde_json::json;
use tokio::net::TcpStream;
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::{Server, Setup, Workplace, envelope, event, message, raw, tests};

tests! {
    Grpc:
        a_call_by_grpc_web_is_answered_whole,
        a_refused_call_by_grpc_web_says_why,
        a_call_without_a_message_that_can_be_read_is_the_callers_mistake,
        a_refused_stream_ends_with_its_headers,
        what_calls_itself_grpc_and_is_none_is_refused_before_it_does_anything,
        an_unknown_method_is_named,
        too_much_metadata_is_refused_and_leaves_the_connection;
    Rest:
        json_is_read_under_whatever_type_it_comes,
        what_says_that_it_is_no_json_is_refused,
        no_page_may_call_by_default,
        a_page_of_an_allowed_origin_may_call;
    Once:
        an_origin_that_no_browser_names_is_refused;
}

const RPC: &str = "referral.v1.ReferralEventService/BulkCreateReferralEvents";
const BULK: &str = "customer_events/bulk/referrals/create";

/// A bulk call of one event, as gRPC frames it.
fn framed(server: &Server, digits: &str) -> Vec<u8> {
    let events = json!([event(digits, digits, "60")]);
    let request: BulkCreateReferralEventsRequest =
        message("BulkCreateReferralEventsRequest", json!({"referral_customer_events_set": events}));
    assert!(!server.token.is_empty());
    let message = request.encode_to_vec();
    let length = u32::try_from(message.len()).expect("a length").to_be_bytes();
    [&[0], &length[..], &message].concat()
}

/// The message of an answer by gRPC-Web, and its trailers.
fn parts(mut body: Bytes) -> (Option<Bytes>, String) {
    let mut message = None;
    while body.has_remaining() {
        let flags = body.get_u8();
        let length = body.get_u32() as usize;
        let part = body.split_to(length);
        match flags {
            0 => message = Some(part),
            0x80 => return (message, String::from_utf8(part.into()).expect("a text")),
            _ => panic!("{flags} are no flags of gRPC-Web"),
        }
    }
    panic!("there are no trailers");
}

/// Each piece of an answer is padded by itself.
fn decoded(text: &[u8]) -> Vec<u8> {
    text.chunks(4).flat_map(|four| STANDARD.decode(four).expect("base64")).collect()
}

async fn send_web(server: &Server, content_type: &str, body: Vec<u8>, token: &str) -> reqwest::Response {
    let request = server.http().post(server.url(RPC)).header("content-type", content_type);
    let request = request.header("accept", content_type).header("x-grpc-web", "1").bearer_auth(token);
    request.body(body).send().await.expect("a response")
}

async fn a_call_by_grpc_web_is_answered_whole(setup: Setup) {
    let server = Server::start(setup).await;
    let types = ["application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text"];
    for (n, content_type) in (1..).zip(types) {
        let frame = framed(&server, &format!("{n:02}"));
        let is_text = content_type.contains("text");
        let body = if is_text { STANDARD.encode(frame).into_bytes() } else { frame };
        let response = send_web(&server, content_type, body, &server.token).await;
        assert_eq!(response.status(), 200);
        assert!(response.headers()["content-type"].to_str().expect("a text").starts_with(content_type));
        let body = response.bytes().await.expect("a body");
        let body = if is_text { decoded(&body).into() } else { body };
        let (message, trailers) = parts(body);
        assert!(trailers.contains("grpc-status:0") || trailers.contains("grpc-status: 0"), "{trailers}");
        let answer = BulkCreateReferralEventsResponse::decode(message.expect("a message")).expect("an answer");
        assert_eq!(answer.processed_customer_events_set.len(), 1, "{answer:?}");
    }
    assert_eq!(server.stored_events().await.len(), 3);
}

async fn a_refused_call_by_grpc_web_says_why(setup: Setup) {
    let server = Server::start(setup).await;
    let response = send_web(&server, "application/grpc-web+proto", framed(&server, "01"), "nonsense").await;
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    let body = response.bytes().await.expect("a body");
    // A refusal stands in the headers, or in the trailers within the body.
    let told = match headers.get("grpc-status") {
        Some(status) => format!("grpc-status:{}", status.to_str().expect("a text")),
        None => parts(body).1.replace(": ", ":"),
    };
    assert!(told.contains(&format!("grpc-status:{}", Code::Unauthenticated as i32)), "{told}");
    assert!(server.stored_events().await.is_empty());
}

async fn a_call_without_a_message_that_can_be_read_is_the_callers_mistake(setup: Setup) {
    let server = Server::start(setup).await;
    let whole = framed(&server, "01");
    let parts = [0, 1, 4, 5, whole.len() - 1].map(|end| whole[..end].to_vec());
    // Packed, which nobody says how, and neither packed nor plain.
    let flagged = [1, 2].map(|flag| [&[flag], &whole[1..]].concat());
    for message in parts.into_iter().chain(flagged) {
        let response = send_web(&server, "application/grpc-web", message.clone(), &server.token).await;
        let status = tonic::Status::from_header_map(response.headers()).expect("a refusal");
        assert_eq!(status.code(), Code::InvalidArgument, "{message:?}: {status:?}");
        assert_eq!(status.get_error_details().error_info().expect("ErrorInfo").reason, "MalformedRequestException");
    }
    assert!(server.stored_events().await.is_empty());
}

/// gRPC's C core takes an empty piece after the headers for a fault of the connection, and tells its caller UNKNOWN.
async fn a_refused_stream_ends_with_its_headers(setup: Setup) {
    let server = Server::start(setup).await;
    let stream = TcpStream::connect(server.address).await.expect("a connection");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    for (rpc, encoding, code) in [
        ("DirectoryService/ImportDirectory", "identity", Code::Unauthenticated),
        ("DirectoryService/ImportDirectory", "deflate", Code::Unimplemented),
        ("ReferralEventService/LoadReferralEvents", "deflate", Code::Unimplemented),
    ] {
        let request = hyper::Request::post(format!("http://localhost/referral.v1.{rpc}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-encoding", encoding)
            .body(Full::new(Bytes::from_static(&[0, 0, 0, 0, 0])))
            .expect("a request");
        let response = sender.send_request(request).await.expect("an answer");
        let status = tonic::Status::from_header_map(response.headers()).expect("a refusal");
        assert_eq!(status.code(), code, "{rpc}, {encoding}: {status:?}");
        assert!(response.body().is_end_stream(), "{rpc}, {encoding}");
    }
}

async fn what_calls_itself_grpc_and_is_none_is_refused_before_it_does_anything(setup: Setup) {
    let server = Server::start(setup).await;
    for content_type in [
        // Over HTTP/1.1, in which there are no trailers to answer in.
        "application/grpc",
        "application/grpc+proto",
        "application/grpc+json",
        "application/grpc-web+json",
        "application/grpcx",
        "application/grpc-",
    ] {
        let response = send_web(&server, content_type, framed(&server, "01"), &server.token).await;
        let (status, answer) = envelope(response).await;
        assert_eq!((status, answer.code.as_str()), (415, "UnsupportedMediaTypeException"), "{content_type}");
    }
    // Over HTTP/2, where only the content type is at fault.
    let mut stream = raw::connect(server.address).await;
    let bearer = format!("Bearer {}", &server.token[..100]);
    let more = [("content-type", "application/grpc+json"), ("te", "trailers"), ("authorization", bearer.as_str())];
    let head = raw::headers("POST", &format!("/{RPC}"), &more);
    let request = [
        raw::greeting(&[]),
        raw::frame(raw::HEADERS, raw::END_HEADERS, 1, &head),
        raw::frame(raw::DATA, raw::END_STREAM, 1, &framed(&server, "01")),
    ];
    tokio::io::AsyncWriteExt::write_all(&mut stream, &request.concat()).await.expect("a server that reads");
    let (_, body) = raw::read_until(&mut stream, raw::DATA).await.expect("a body");
    assert!(String::from_utf8_lossy(&body).contains("UnsupportedMediaTypeException"));
    assert!(server.stored_events().await.is_empty());
    server.assert_serving().await;
}

async fn an_unknown_method_is_named(setup: Setup) {
    let server = Server::start(setup).await;
    for path in ["/referral.v1.ReferralEventService/NoSuchMethod", "/referral.v1.NoSuchService/X", "/X/Y"] {
        let status = server.call_with_bytes(path, Vec::new(), &[]).await.expect_err("a refusal");
        assert_eq!(status.code(), Code::Unimplemented, "{path}: {status:?}");
        assert!(status.message().contains(path), "{status:?}");
        assert_eq!(status.get_error_details().error_info().expect("ErrorInfo").reason, "NotFoundException");
    }
}

async fn too_much_metadata_is_refused_and_leaves_the_connection(setup: Setup) {
    let server = Server::start(setup).await;
    let large = "x".repeat(20 * 1024);
    for path in [format!("/{RPC}"), "/grpc.health.v1.Health/Check".to_owned()] {
        let status = server.call_with_bytes(&path, Vec::new(), &[("x-large", &large)]).await.expect_err("a refusal");
        // HTTP/2 itself refuses it, before it is known to be gRPC.
        assert!(status.code() == Code::Unknown && status.message().contains("431"), "{status:?}");
    }
    server.assert_serving().await;
}

async fn json_is_read_under_whatever_type_it_comes(setup: Setup) {
    let server = Server::start(setup).await;
    let types = [
        "application/json",
        "application/json; charset=utf-8",
        "application/json ;charset=UTF-8",
        "Application/JSON",
        "application/vnd.api+json",
        "application/problem+json; charset=utf-8",
        "text/json",
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/octet-stream",
        // As curl's -d, wget and PHP send it.
        "application/x-www-form-urlencoded",
        "",
    ];
    for (n, content_type) in (1..).zip(types) {
        let digits = format!("{n:02}");
        let body = json!({"token": server.token, "referral_customer_events_set": [event(&digits, &digits, "60")]});
        let request = server.http().post(server.url(BULK)).header("content-type", content_type);
        let (status, answer) = envelope(request.body(body.to_string()).send().await.expect("a response")).await;
        assert_eq!(status, 200, "{content_type}");
        answer.assert_outcome(&[&digits], &[]);
    }
}

async fn what_says_that_it_is_no_json_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    let body = json!({"token": server.token, "referral_customer_events_set": [event("1", "01", "60")]}).to_string();
    let of = [
        ("content-type", "application/xml"),
        ("content-type", "multipart/form-data; boundary=x"),
        ("content-type", "application/jsonx"),
        ("content-type", "text/html"),
        ("content-type", "application"),
        ("content-type", "json"),
        ("content-encoding", "deflate"),
        ("content-encoding", "nonsense"),
        ("content-encoding", "gzip, gzip"),
    ];
    for (name, value) in of {
        let request = server.http().post(server.url(BULK)).header(name, value).body(body.clone());
        let response = request.send().await.expect("a response");
        assert_eq!(response.headers()["accept-encoding"], "br, gzip, zstd");
        let (status, answer) = envelope(response).await;
        assert_eq!((status, answer.code.as_str()), (415, "UnsupportedMediaTypeException"), "{name}: {value}");
    }
    assert!(server.stored_events().await.is_empty());
}

const ORIGIN: &str = "https://shop.example.com";

/// What a browser asks before a page may call, and the answer's headers.
async fn preflight(server: &Server, origin: &str) -> reqwest::header::HeaderMap {
    let request = server.http().request(reqwest::Method::OPTIONS, server.url(BULK)).header("origin", origin);
    let request = request.header("access-control-request-method", "POST");
    let request = request.header("access-control-request-headers", "authorization,content-type,x-grpc-web");
    request.send().await.expect("a response").headers().clone()
}

async fn no_page_may_call_by_default(setup: Setup) {
    let server = Server::start(setup).await;
    assert_eq!(preflight(&server, ORIGIN).await.get("access-control-allow-origin"), None);
    let request = server.http().post(server.url(BULK)).header("origin", ORIGIN).bearer_auth(&server.token);
    let response = request.body("{}").send().await.expect("a response");
    assert_eq!(response.headers().get("access-control-allow-origin"), None);
}

async fn a_page_of_an_allowed_origin_may_call(setup: Setup) {
    for (allowed, answered) in [(ORIGIN, ORIGIN), ("*", "*")] {
        let cors_origins = vec![allowed.parse().expect("an origin")];
        let config = referral_events::config::Config { cors_origins, ..Default::default() };
        let server = Server::start_with(setup, config).await;
        let headers = preflight(&server, ORIGIN).await;
        assert_eq!(headers["access-control-allow-origin"], answered);
        assert_eq!(headers["access-control-allow-headers"], "authorization,content-type,x-grpc-web");
        let events = json!({"token": server.token, "referral_customer_events_set": [event("1", "01", "60")]});
        let request = server.http().post(server.url(BULK)).header("origin", ORIGIN).body(events.to_string());
        let response = request.send().await.expect("a response");
        assert_eq!(response.headers()["access-control-allow-origin"], answered);
        let exposed = response.headers()["access-control-expose-headers"].to_str().expect("a text").to_owned();
        for name in ["grpc-status", "retry-after", "x-request-id", "idempotency-replayed"] {
            assert!(exposed.split(',').any(|exposed| exposed == name), "{exposed}");
        }
        envelope(response).await.1.assert_outcome(&["1"], &[]);
        if allowed != "*" {
            let headers = preflight(&server, "https://elsewhere.example.com").await;
            assert_eq!(headers.get("access-control-allow-origin"), None);
        }
    }
}

async fn an_origin_that_no_browser_names_is_refused(_: Setup) {
    let workplace = Workplace::new();
    for origin in ["shop.example.com", "https://shop.example.com/", "https://*.example.com", "https://", "*,x"] {
        let ended = workplace.run(&["serve", "--listen", "127.0.0.1:0", "--cors-origin", origin]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("an origin is https://shop.example.com"), "{ended:?}");
    }
}
