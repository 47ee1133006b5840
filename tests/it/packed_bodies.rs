//! Compressed bodies, of requests and of answers.

use async_compression::{
    Level,
    tokio::bufread::{BrotliDecoder, BrotliEncoder, GzipDecoder, GzipEncoder, ZstdDecoder, ZstdEncoder},
};
use prost::Message;
use referral_events::contract::{
    BulkCreateReferralEventsRequest, MAXIMUM_REQUEST_SIZE, referral_event_service_client::ReferralEventServiceClient,
};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};
use tonic::{Code, codec::CompressionEncoding};
use tonic_types::StatusExt;

use crate::support::{Server, Setup, envelope, event, message, tests};

tests! {
    Grpc:
        a_message_that_is_compressed_is_read_and_answered_alike,
        an_answer_is_compressed_only_where_the_request_was,
        a_message_that_is_not_packed_as_it_claims_is_the_callers_mistake,
        a_message_that_unpacks_to_too_much_is_refused;
    Rest:
        a_body_that_is_compressed_is_read,
        an_answer_is_compressed_for_who_asks_for_it,
        a_body_that_is_not_packed_as_it_claims_is_the_callers_mistake,
        a_body_that_unpacks_to_too_much_is_refused;
}

const BULK: &str = "customer_events/bulk/referrals/create";
const RPC: &str = "/referral.v1.ReferralEventService/BulkCreateReferralEvents";
const ENCODINGS: [&str; 3] = ["gzip", "br", "zstd"];

async fn read(mut reader: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await.expect("what can be read");
    bytes
}

async fn pack(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => read(GzipEncoder::new(bytes)).await,
        "br" => read(BrotliEncoder::with_quality(bytes, Level::Fastest)).await,
        _ => read(ZstdEncoder::new(bytes)).await,
    }
}

async fn unpack(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => read(GzipDecoder::new(bytes)).await,
        "br" => read(BrotliDecoder::new(bytes)).await,
        _ => read(ZstdDecoder::new(bytes)).await,
    }
}

fn events(from: usize, to: usize) -> Value {
    (from..to).map(|n| event(&n.to_string(), &format!("{n:02}"), "60")).collect()
}

fn request(server: &Server, from: usize, to: usize) -> BulkCreateReferralEventsRequest {
    let call = json!({"token": server.token, "referral_customer_events_set": events(from, to)});
    message("BulkCreateReferralEventsRequest", call)
}

fn client(server: &Server) -> ReferralEventServiceClient<tonic::transport::Channel> {
    server.events_client().accept_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Zstd)
}

async fn a_message_that_is_compressed_is_read_and_answered_alike(setup: Setup) {
    let server = Server::start(setup).await;
    for (n, encoding, name) in [(1, CompressionEncoding::Gzip, "gzip"), (21, CompressionEncoding::Zstd, "zstd")] {
        let request = request(&server, n, n + 20);
        let response = client(&server).send_compressed(encoding).bulk_create_referral_events(request).await;
        let response = response.expect("an answer");
        assert!(response.metadata().get("grpc-encoding").is_some(), "{name}");
        assert_eq!(response.into_inner().processed_customer_events_set.len(), 20, "{name}");
    }
    assert_eq!(server.stored_events().await.len(), 40);
    // A client that can compress may send a message as it is.
    let bytes = request(&server, 41, 42).encode_to_vec();
    server.call_with_bytes(RPC, bytes, &[("grpc-encoding", "gzip")]).await.expect("an answer");
    assert_eq!(server.stored_events().await.len(), 41);
}

async fn an_answer_is_compressed_only_where_the_request_was(setup: Setup) {
    let server = Server::start(setup).await;
    let response = client(&server).bulk_create_referral_events(request(&server, 1, 20)).await.expect("an answer");
    assert_eq!(response.metadata().get("grpc-encoding"), None);
}

/// Calls with a message that says that it is compressed.
async fn call_packed(server: &Server, encoding: &str, packed: &[u8]) -> tonic::Status {
    let length = u32::try_from(packed.len()).expect("a length").to_be_bytes();
    let frame = [&[1], &length[..], packed].concat();
    let request = server.http().post(server.url(RPC.trim_start_matches('/'))).bearer_auth(&server.token);
    let request = request.header("content-type", "application/grpc-web+proto").header("grpc-encoding", encoding);
    let response = request.body(frame).send().await.expect("a response");
    let headers = response.headers().clone();
    tonic::Status::from_header_map(&headers).unwrap_or_else(|| panic!("no refusal: {headers:?}"))
}

async fn a_message_that_is_not_packed_as_it_claims_is_the_callers_mistake(setup: Setup) {
    let server = Server::start(setup).await;
    let bytes = request(&server, 1, 2).encode_to_vec();
    for encoding in ["gzip", "zstd"] {
        let whole = pack(encoding, &bytes).await;
        for packed in [&bytes[..], &whole[..whole.len() / 2], b"", b"\x1f\x8b", &[0xff; 100]] {
            let status = call_packed(&server, encoding, packed).await;
            assert_eq!(status.code(), Code::InvalidArgument, "{encoding}: {status:?}");
        }
    }
    let status = call_packed(&server, "br", &bytes).await;
    assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
    assert!(server.stored_events().await.is_empty());
    server.assert_serving().await;
}

async fn a_message_that_unpacks_to_too_much_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    for encoding in ["gzip", "zstd"] {
        let bomb = pack(encoding, &vec![0; MAXIMUM_REQUEST_SIZE + 1_000_000]).await;
        assert!(bomb.len() < MAXIMUM_REQUEST_SIZE / 100);
        let status = call_packed(&server, encoding, &bomb).await;
        assert_eq!(status.code(), Code::ResourceExhausted, "{encoding}: {status:?}");
        let reason = status.get_error_details().error_info().expect("ErrorInfo").reason.clone();
        assert_eq!(reason, "RequestTooLargeException");
    }
    server.assert_serving().await;
}

async fn post(server: &Server, encoding: &str, body: Vec<u8>) -> reqwest::Response {
    let request = server.http().post(server.url(BULK)).header("content-encoding", encoding);
    request.body(body).send().await.expect("a response")
}

async fn a_body_that_is_compressed_is_read(setup: Setup) {
    let server = Server::start(setup).await;
    for (n, encoding) in (0..).zip(ENCODINGS) {
        let events = events(10 * n + 1, 10 * n + 11);
        let call = json!({"token": server.token, "referral_customer_events_set": events});
        let (status, answer) =
            envelope(post(&server, encoding, pack(encoding, call.to_string().as_bytes()).await).await).await;
        assert_eq!((status, answer.processed().len()), (200, 10), "{encoding}: {answer:?}");
    }
    for (n, identity) in (31..).zip(["identity", "Identity", ""]) {
        let call = json!({"token": server.token, "referral_customer_events_set": events(n, n + 1)});
        let (status, _) = envelope(post(&server, identity, call.to_string().into_bytes()).await).await;
        assert_eq!(status, 200, "{identity}");
    }
    assert_eq!(server.stored_events().await.len(), 33);
}

async fn an_answer_is_compressed_for_who_asks_for_it(setup: Setup) {
    let server = Server::start(setup).await;
    for (n, encoding) in (0..).zip(ENCODINGS) {
        let call = json!({"token": server.token, "referral_customer_events_set": events(10 * n + 1, 10 * n + 11)});
        let request = server.http().post(server.url(BULK)).header("accept-encoding", encoding);
        let response = request.body(call.to_string()).send().await.expect("a response");
        assert_eq!(response.headers()["content-encoding"], encoding);
        assert_eq!(response.headers()["vary"], "accept-encoding");
        let packed = response.bytes().await.expect("a body");
        let answer: Value = serde_json::from_slice(&unpack(encoding, &packed).await).expect("JSON");
        assert_eq!(answer["data"]["processed_customer_events_set"].as_array().map(Vec::len), Some(10));
    }
}

async fn a_body_that_is_not_packed_as_it_claims_is_the_callers_mistake(setup: Setup) {
    let server = Server::start(setup).await;
    let call = json!({"token": server.token, "referral_customer_events_set": events(1, 2)}).to_string();
    for encoding in ENCODINGS {
        let whole = pack(encoding, call.as_bytes()).await;
        for packed in [call.as_bytes(), &whole[..whole.len() / 2], &[0xff; 100]] {
            let (status, answer) = envelope(post(&server, encoding, packed.to_vec()).await).await;
            assert_eq!(status, 400, "{encoding}: {answer:?}");
            answer.assert_refused("MalformedRequest");
        }
    }
    // Brotli with a window of a gigabyte.
    let large_window = [&[0x11, 0x1e][..], &[0; 100]].concat();
    let (_, answer) = envelope(post(&server, "br", large_window).await).await;
    answer.assert_refused("MalformedRequest");
    assert!(server.stored_events().await.is_empty());
}

async fn a_body_that_unpacks_to_too_much_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    for encoding in ENCODINGS {
        let bomb = pack(encoding, &vec![b' '; MAXIMUM_REQUEST_SIZE + 1_000_000]).await;
        assert!(bomb.len() < MAXIMUM_REQUEST_SIZE / 100);
        let (status, answer) = envelope(post(&server, encoding, bomb).await).await;
        assert_eq!(status, 413, "{encoding}: {answer:?}");
        answer.assert_refused("RequestTooLarge");
    }
    server.assert_serving().await;
}
