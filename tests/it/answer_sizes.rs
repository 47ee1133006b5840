//! Answers fit their readers: a client of gRPC reads messages of 4 MiB and heads of a few KiB unless told otherwise, and
//! one that fails at the answer does not know what was created.

use referral_events::contract::{CreateReferralEventRequest, ReferralCustomerEvent};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{Leaf, Server, Setup, event, leaves, message, numbers, tests};

tests! {
    Both:
        a_page_of_large_events_ends_before_it_is_too_large,
        a_bulk_answer_tells_as_many_violations_as_it_has_room_for,
        the_first_violation_of_each_event_is_told_whatever_the_events_hold,
        a_name_that_is_too_long_is_answered_cut;
    Grpc: a_refusal_tells_as_many_violations_as_a_head_has_room_for;
}

/// The fields of the answer that are not documented, too.
const FIELDS: [&str; 5] = ["request_unique_identifier", "error_code", "error_description", "index", "violations"];

async fn a_page_of_large_events_ends_before_it_is_too_large(setup: Setup) {
    let server = Server::start(setup).await;
    server.insert_large(1..=700).await;
    let list = json!({"number_of_results": 1000});
    let (listed, pages) = server.list_all(&list).await;
    assert_eq!(listed, (1..=700).rev().collect::<Vec<_>>());
    assert_eq!(pages, 3);
    // What is not answered takes no room.
    let page = server.list(json!({"number_of_results": 1000, "fields_set": ["number", "udf_string_1"]})).await;
    assert_eq!(numbers(&page).len(), 700);
    assert_eq!(page.data.get("next_page_token"), None);
}

/// An event in which every attribute is wrong.
fn all_wrong(identifier: &str) -> Value {
    let mut event = json!({});
    for (path, leaf) in leaves() {
        let value = match leaf {
            Leaf::Text => json!(format!("\u{7}{}", "x".repeat(255))),
            Leaf::Number => continue,
            Leaf::Date => json!("9999-12-31T00:00:00Z"),
        };
        let place = path.split('.').fold(&mut event, |place, name| &mut place[name]);
        *place = value;
    }
    event["request_unique_identifier"] = json!(identifier);
    event
}

fn violations(event: &Value) -> &Vec<Value> {
    event["violations"].as_array().expect("violations")
}

fn description(violation: &Value) -> &str {
    violation["error_description"].as_str().expect("a sentence")
}

async fn a_bulk_answer_tells_as_many_violations_as_it_has_room_for(setup: Setup) {
    let server = Server::start(setup).await;
    let mut events: Vec<Value> = (0..400).map(|n| all_wrong(&n.to_string())).collect();
    let one = server.bulk(json!({"token": server.token, "referral_customer_events_set": [events[0]],
        "fields_set": FIELDS}));
    let one = one.await.unprocessed().remove(0);
    let all = violations(&one).len();
    assert!(all > 50 && violations(&one).iter().all(|violation| !description(violation).contains("left out")));

    events.push(event("good", "01", "20"));
    let answer =
        server.bulk(json!({"token": server.token, "referral_customer_events_set": events, "fields_set": FIELDS})).await;
    assert_eq!(answer.processed_identifiers(), ["good"]);
    let unprocessed = answer.unprocessed();
    assert_eq!(unprocessed.len(), 400);
    // In the order of the request, so that the first events are told as they would be alone.
    assert_eq!(unprocessed[0], one);
    for event in &unprocessed {
        let violations = violations(event);
        assert_eq!(violations[0]["error_code"], event["error_code"]);
        let (last, others) = violations.split_last().expect("a violation");
        assert!(others.iter().all(|violation| !description(violation).contains("left out")));
        let left_out = all - violations.len();
        let told = description(last).contains(&format!(" {left_out} more violations of the event are left out."));
        assert_eq!(told, left_out > 0, "{last}");
    }
    assert_eq!(violations(&unprocessed[399]).len(), 1);
}

async fn the_first_violation_of_each_event_is_told_whatever_the_events_hold(setup: Setup) {
    let server = Server::start(setup).await;
    let long = "🎈".repeat(255);
    let events: Vec<Value> = (0..1000).map(|_| event(&long, "01", "20")).collect();
    let answer =
        server.bulk(json!({"token": server.token, "referral_customer_events_set": events, "fields_set": FIELDS})).await;
    let unprocessed = answer.unprocessed();
    assert_eq!(unprocessed.len(), 1000);
    for event in &unprocessed {
        assert_eq!(event["request_unique_identifier"], *long);
        assert_eq!(event["error_code"], "DuplicateRequestUniqueIdentifierException");
        assert_eq!(violations(event)[0]["error_description"], event["error_description"]);
    }
}

async fn a_name_that_is_too_long_is_answered_cut(setup: Setup) {
    let server = Server::start(setup).await;
    let beginning = "é".repeat(255);
    let long = format!("{beginning}{}", "x".repeat(30_000));
    let events: Vec<Value> = (0..200).map(|_| event(&long, "01", "20")).collect();
    let answer =
        server.bulk(json!({"token": server.token, "referral_customer_events_set": events, "fields_set": FIELDS})).await;
    let unprocessed = answer.unprocessed();
    assert_eq!(unprocessed.len(), 200);
    for event in &unprocessed {
        assert_eq!(event["request_unique_identifier"], *beginning);
        assert_eq!(event["error_code"], "InvalidAttributeValueException");
        let codes: Vec<&Value> = violations(event).iter().map(|violation| &violation["error_code"]).collect();
        assert_eq!(codes, ["InvalidAttributeValueException", "DuplicateRequestUniqueIdentifierException"]);
    }
}

async fn a_refusal_tells_as_many_violations_as_a_head_has_room_for(setup: Setup) {
    let server = Server::start(setup).await;
    let status = refusal(&server, all_wrong("1")).await;
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    assert_eq!(details.error_info().expect("an ErrorInfo").reason, "InvalidAttributeValueException");
    let violations = &details.bad_request().expect("a BadRequest").field_violations;
    assert!(violations.len() > 5, "{violations:?}");
    assert_eq!(violations[0].description, status.message());
    assert!(violations.last().is_some_and(|last| last.description.contains("are left out.")), "{violations:?}");
    // What is named is named as long as it is.
    let long = "🎈".repeat(255);
    let mut unknown = event("1", "01", "20");
    for party in ["referred_rewards_participant_identifier", "referred_by_rewards_participant_identifier"] {
        unknown[party] = json!({"number": long});
    }
    let status = refusal(&server, unknown).await;
    assert_eq!(status.code(), Code::NotFound, "{status:?}");
    assert!(status.message().contains(&long));
    assert!(status.get_error_details().error_info().is_some());
}

async fn refusal(server: &Server, event: Value) -> Status {
    let event: ReferralCustomerEvent = message("ReferralCustomerEvent", event);
    let request = CreateReferralEventRequest {
        token: Some(server.token.clone()),
        referral_customer_event: Some(event),
        ..CreateReferralEventRequest::default()
    };
    let status = server.events_client().create_referral_event(request).await.expect_err("a refusal");
    // As it comes: in base64, and with each byte that is not ASCII as three.
    let size = status.details().len() * 4 / 3
        + status.message().bytes().map(|b| if b.is_ascii() { 1 } else { 3 }).sum::<usize>();
    assert!(size < 7 * 1024, "{size}");
    status
}
