//! Bytes that are no message, and messages that hold what JSON cannot.

use prost::Message;
use prost_types::Timestamp;
use referral_events::contract::{
    BulkCreateReferralEventsRequest, BulkCreateReferralEventsResponse, CreateReferralEventRequest,
    MAXIMUM_REQUEST_SIZE, ReferralCustomerEvent,
};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{Answer, Server, Setup, answer, event, message, methods, tests};

tests! {
    Grpc:
        bytes_that_are_no_message_are_the_callers_mistake,
        groups_within_groups_are_the_callers_mistake,
        an_event_that_is_no_message_fails_alone,
        what_stands_there_too_often_is_counted_and_not_kept,
        what_the_contract_does_not_have_is_not_read,
        an_event_that_comes_in_pieces_is_put_together,
        a_message_that_is_too_large_leaves_the_connection,
        numbers_that_are_not_finite_are_invalid_values,
        dates_outside_the_years_1_to_9999_are_invalid_values;
}

/// Makes one attribute of an event what it may not be.
type Change = Box<dyn Fn(&mut ReferralCustomerEvent) + Send>;

const BULK: &str = "/referral.v1.ReferralEventService/BulkCreateReferralEvents";
const CREATE: &str = "/referral.v1.ReferralEventService/CreateReferralEvent";

fn bulk(server: &Server, events: Value) -> BulkCreateReferralEventsRequest {
    message("BulkCreateReferralEventsRequest", json!({"token": server.token, "referral_customer_events_set": events}))
}

#[track_caller]
fn assert_malformed(status: &Status) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("MalformedRequestException", "referral.v1"));
}

async fn bytes_that_are_no_message_are_the_callers_mistake(setup: Setup) {
    let server = Server::start(setup).await;
    let good = bulk(&server, json!([event("1", "01", "02")])).encode_to_vec();
    // In the midst of the one event, and of the token.
    let mut cases: Vec<Vec<u8>> = [good.len() - 1, good.len() - 40, 10, 1].map(|end| good[..end].to_vec()).into();
    let text = |bytes: &[u8]| [&[0x0a, u8::try_from(bytes.len()).expect("a length")], bytes].concat();
    cases.extend([
        // The token: not UTF-8, longer than the message, and a number.
        text(b"\xff\xfe"),
        text(b"\xed\xa0\x80"),
        vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
        vec![0x08, 0x01],
        // No field, no wire type, a length that never ends, random bytes.
        vec![0x00],
        vec![0x0f],
        vec![0xff; 100],
        b"{\"token\": \"x\"}".to_vec(),
    ]);
    for bytes in cases {
        let status = server.call_with_bytes(BULK, bytes.clone(), &[]).await.expect_err("a refusal");
        assert_malformed(&status);
    }
    for method in methods() {
        let status = server.call_with_bytes(&method.grpc_path(), vec![0x0f], &[]).await.expect_err("a refusal");
        assert_malformed(&status);
    }
    assert!(server.stored_events().await.is_empty());
    server.call_with_bytes(BULK, good, &[]).await.expect("an answer");
    assert_eq!(server.stored_events().await.len(), 1);
    // No bytes at all are a message that says nothing.
    let status = server.call_with_bytes(BULK, Vec::new(), &[]).await.expect_err("a refusal");
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
}

async fn groups_within_groups_are_the_callers_mistake(setup: Setup) {
    let server = Server::start(setup).await;
    // Field 15 opens a group, and closes it.
    let groups = [vec![0x7b; 100_000], vec![0x7c; 100_000]].concat();
    assert_malformed(&server.call_with_bytes(BULK, groups.clone(), &[]).await.expect_err("a refusal"));
    // Within an event they are that event's affair.
    let answer = send_between(&server, &[groups]).await;
    assert_eq!(answer.failures(), [(String::new(), "MalformedEvent".to_owned())]);
    server.assert_serving().await;
}

/// Sends events, as bytes, between two good ones; these are created.
async fn send_between(server: &Server, events: &[Vec<u8>]) -> Answer {
    let good = |identifier: &str, digits: &str| bulk(server, json!([event(identifier, digits, "60")])).encode_to_vec();
    let mut bytes = good("before", "01");
    for event in events {
        bytes.push(0x12);
        prost::encoding::encode_varint(event.len() as u64, &mut bytes);
        bytes.extend(event);
    }
    // Messages that follow each other are one.
    bytes.extend(good("after", "02"));
    let answered = server.call_with_bytes(BULK, bytes, &[]).await.map(|bytes| {
        let response = BulkCreateReferralEventsResponse::decode(bytes.as_slice()).expect("an answer");
        serde_json::to_value(response).expect("JSON")
    });
    let answer = answer(answered);
    assert_eq!(answer.processed_identifiers(), ["before", "after"]);
    answer
}

async fn an_event_that_is_no_message_fails_alone(setup: Setup) {
    let server = Server::start(setup).await;
    let whole = |identifier: &str| {
        bulk(&server, json!([event(identifier, "03", "04")])).referral_customer_events_set[0].encode_to_vec()
    };
    let cut = |identifier: &str| {
        let mut bytes = whole(identifier);
        bytes.pop();
        bytes
    };
    let with = |identifier: &str, more: &[u8]| [&whole(identifier)[..], more].concat();
    let events = [
        cut("cut"),
        // A description that is not UTF-8, that is a number, and one that is longer than the event.
        with("no text", b"\x42\x02\xff\xfe"),
        with("a number", b"\x40\x01"),
        with("long", b"\x42\x7f"),
        // No field, no wire type.
        with("no field", b"\x00"),
        with("no type", b"\x0f"),
        // An identifier that is none.
        with("no identifier", b"\x12\x02\xff\xff"),
        // Its own name is what cannot be read.
        b"\x0a\x01\xff".to_vec(),
        b"{}".to_vec(),
    ];
    let answer = send_between(&server, &events).await;
    let named = ["cut", "no text", "a number", "long", "no field", "no type", "no identifier", "", ""];
    let expected: Vec<_> = named.map(|name| (name.to_owned(), "MalformedEvent".to_owned())).into();
    assert_eq!(answer.failures(), expected);
    assert_eq!(server.stored_events().await.len(), 2);
    // By itself it is refused for the same.
    let mut call = vec![0x0a];
    prost::encoding::encode_varint(server.token.len() as u64, &mut call);
    call.extend(server.token.as_bytes());
    call.extend([0x12, 1, 0xff]);
    let status = server.call_with_bytes(CREATE, call, &[]).await.expect_err("a refusal");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert_eq!(status.get_error_details().error_info().expect("an ErrorInfo").reason, "MalformedEventException");
}

async fn what_stands_there_too_often_is_counted_and_not_kept(setup: Setup) {
    let server = Server::start(setup).await;
    let call = |pieces: &[u8]| [bulk(&server, json!([])).encode_to_vec(), pieces.repeat(1_000_000)].concat();
    let status = server.call_with_bytes(BULK, call(&[0x12, 0]), &[]).await.expect_err("a refusal");
    assert!(status.message().contains("1000000"), "{status:?}");
    let info = status.get_error_details().error_info().expect("an ErrorInfo").reason.clone();
    assert_eq!(info, "MaximumNumberOfEventsExceededException");
    // The names of fields, too.
    assert_malformed(&server.call_with_bytes(BULK, call(&[0x1a, 0]), &[]).await.expect_err("a refusal"));
    server.assert_serving().await;
}

async fn an_event_that_comes_in_pieces_is_put_together(setup: Setup) {
    let server = Server::start(setup).await;
    let piece = |event: Value| -> Vec<u8> {
        let call: CreateReferralEventRequest =
            message("CreateReferralEventRequest", json!({"token": server.token, "referral_customer_event": event}));
        call.encode_to_vec()
    };
    // Of what is in several of them the last counts; what is a message itself is put together too.
    let pieces = [
        piece(json!({"performed_on": "2016-06-22T15:00:00Z", "description": "first", "udf_string_1": "kept",
            "referred_by_rewards_participant_identifier": {"access_token_identifier": {"identifier": "t20@example.com"}}})),
        piece(json!({"performed_by_unit_identifier": {"name": "Admin Unit"}})),
        piece(json!({"description": "last", "referred_rewards_participant_identifier": {"number": "RP01"},
            "referred_by_rewards_participant_identifier": {"access_token_identifier": {"pass_code": "2020"}}})),
    ];
    server.call_with_bytes(CREATE, pieces.concat(), &[]).await.expect("an answer");
    let stored = server.stored_events().await.remove(0);
    assert_eq!((stored.description.as_deref(), stored.udf_string_1.as_deref()), (Some("last"), Some("kept")));
    // The end of one piece is not in the next.
    let mut cut = piece(json!({"description": "first"}));
    cut.extend([0x12, 2, 0x42, 0x7f]);
    cut.extend(piece(json!({"description": "last"})));
    let status = server.call_with_bytes(CREATE, cut, &[]).await.expect_err("a refusal");
    assert_eq!(status.get_error_details().error_info().expect("an ErrorInfo").reason, "MalformedEventException");
}

async fn what_the_contract_does_not_have_is_not_read(setup: Setup) {
    let server = Server::start(setup).await;
    let mut bytes = bulk(&server, json!([event("1", "01", "02")])).encode_to_vec();
    // Field 999, a text.
    prost::encoding::encode_varint((999 << 3) | 2, &mut bytes);
    bytes.extend(b"\x03red");
    let answered = server.call_with_bytes(BULK, bytes, &[]).await.expect("an answer");
    assert!(!answered.is_empty());
    assert_eq!(server.stored_events().await.len(), 1);
}

async fn a_message_that_is_too_large_leaves_the_connection(setup: Setup) {
    let server = Server::start(setup).await;
    for length in [MAXIMUM_REQUEST_SIZE + 1, 64_000_000] {
        let status = server.call_with_bytes(BULK, vec![0; length], &[]).await.expect_err("a refusal");
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        let info = status.get_error_details().error_info().expect("an ErrorInfo").reason.clone();
        assert_eq!(info, "RequestTooLargeException");
        let limit = MAXIMUM_REQUEST_SIZE.to_string();
        assert!(status.message().contains(&limit), "{status:?}");
        // Over the same connection.
        server.assert_serving().await;
    }
    // As large as it may be: the call, and a field that nobody reads.
    let mut bytes = bulk(&server, json!([event("1", "01", "02")])).encode_to_vec();
    prost::encoding::encode_varint((999 << 3) | 2, &mut bytes);
    let rest = MAXIMUM_REQUEST_SIZE - bytes.len() - 4;
    prost::encoding::encode_varint(rest as u64, &mut bytes);
    bytes.resize(bytes.len() + rest, b'x');
    assert_eq!(bytes.len(), MAXIMUM_REQUEST_SIZE);
    server.call_with_bytes(BULK, bytes, &[]).await.expect("an answer");
    assert_eq!(server.stored_events().await.len(), 2);
}

/// Sends events that differ from a good one, each between two good ones, and asserts that each is refused for its
/// value.
async fn assert_invalid(server: &Server, changes: Vec<Change>) {
    let mut events: Vec<Value> = Vec::new();
    let good: Vec<String> = (0..=changes.len()).map(|n| format!("{:02}", n + 1)).collect();
    for (n, digits) in good.iter().enumerate() {
        events.push(event(digits, digits, "60"));
        if n < changes.len() {
            events.push(event(&format!("bad {n}"), "60", "59"));
        }
    }
    let mut request = bulk(server, json!(events));
    for (n, change) in changes.iter().enumerate() {
        change(&mut request.referral_customer_events_set[2 * n + 1]);
    }
    let response = server.events_client().bulk_create_referral_events(request).await;
    let answer = answer(response.map(|response| serde_json::to_value(response.into_inner()).expect("JSON")));
    assert_eq!(answer.processed_identifiers(), good);
    let expected: Vec<(String, String)> =
        (0..changes.len()).map(|n| (format!("bad {n}"), "InvalidAttributeValue".to_owned())).collect();
    assert_eq!(answer.failures(), expected);
    assert_eq!(server.stored_events().await.len(), good.len());
}

async fn numbers_that_are_not_finite_are_invalid_values(setup: Setup) {
    let server = Server::start(setup).await;
    let numbers = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -f64::NAN];
    let changes = numbers.into_iter().flat_map(|number| {
        let changes: [Change; 4] = [
            Box::new(move |event| event.udf_float_1 = Some(number)),
            Box::new(move |event| event.udf_float_2 = Some(number)),
            Box::new(move |event| event.udf_float_3 = Some(number)),
            Box::new(move |event| event.udf_float_4 = Some(number)),
        ];
        changes
    });
    assert_invalid(&server, changes.collect()).await;
}

async fn dates_outside_the_years_1_to_9999_are_invalid_values(setup: Setup) {
    let server = Server::start(setup).await;
    let (first, last) = (-62_135_596_800, 253_402_300_799);
    let outside = [
        (first - 1, 999_999_999),
        (first - 1, 0),
        (last + 1, 0),
        (i64::MIN, 0),
        (i64::MAX, 0),
        (i64::MAX, i32::MAX),
        (0, -1),
        (0, 1_000_000_000),
        (0, i32::MAX),
        (0, i32::MIN),
        (last, 1_000_000_000),
    ];
    let changes = outside.into_iter().flat_map(|(seconds, nanos)| {
        let date = Some(Timestamp { seconds, nanos });
        let changes: [Change; 3] = [
            Box::new(move |event| event.performed_on = date),
            Box::new(move |event| event.udf_date_1 = date),
            Box::new(move |event| event.udf_date_4 = date),
        ];
        changes
    });
    assert_invalid(&server, changes.collect()).await;
}
