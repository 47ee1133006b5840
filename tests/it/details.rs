//! What the answer says beyond the documentation, to those who ask for it.

use serde_json::{Value, json};

use crate::support::{Answer, Server, Setup, event, tests};

tests! {
    Both:
        every_event_has_its_position_in_the_request,
        every_violation_is_named_with_its_field,
        the_event_that_stands_in_the_way_is_named,
        whether_a_retry_can_help_is_said,
        what_existed_before_is_said,
        the_summary_counts_the_events;
    Rest: the_documented_shape_stays;
    Grpc: everything_is_answered_without_asking;
}

const DETAILS: &str = "request_unique_identifier,id,number,error_code,error_description,index,replayed,violations,\
                       retryable,conflicting_event,summary";

async fn ask(server: &Server, events: Value) -> Answer {
    let request = json!({"token": server.token, "referral_customer_events_set": events, "fields_set": [DETAILS]});
    server.bulk(request).await
}

async fn every_event_has_its_position_in_the_request(setup: Setup) {
    let server = Server::start(setup).await;
    let events =
        json!([event("a", "01", "20"), event("b", "99", "20"), event("c", "02", "20"), event("d", "02", "20")]);
    let answer = ask(&server, events).await;
    let indexes = |events: Vec<Value>| events.iter().map(|event| event["index"].clone()).collect::<Vec<_>>();
    assert_eq!(indexes(answer.processed()), [json!(0), json!(2)]);
    assert_eq!(indexes(answer.unprocessed()), [json!(1), json!(3)]);
}

async fn every_violation_is_named_with_its_field(setup: Setup) {
    let server = Server::start(setup).await;
    let mut bad = event("bad", "01", "20");
    bad["description"] = json!("x".repeat(4001));
    bad["udf_string_3"] = json!("a\u{7}b");
    bad["performed_on"] = json!("9000-01-01T00:00:00");
    bad["performed_by_unit_identifier"] = json!({});
    let missing = event("missing", "98", "99");
    let answer = ask(&server, json!([bad, missing])).await;
    let violations = |n: usize| {
        let violations = answer.unprocessed()[n]["violations"].as_array().expect("violations").clone();
        let text = |violation: &Value, name: &str| violation[name].as_str().expect("a text").to_owned();
        assert!(violations.iter().all(|violation| text(violation, "error_description").starts_with("Error:")));
        violations.iter().map(|violation| (text(violation, "field"), text(violation, "error_code"))).collect::<Vec<_>>()
    };
    let expected = |rows: &[(&str, &str)]| -> Vec<(String, String)> {
        rows.iter().map(|(field, code)| ((*field).to_owned(), format!("{code}Exception"))).collect()
    };
    assert_eq!(
        violations(0),
        expected(&[
            ("performed_on", "InvalidAttributeValue"),
            ("description", "InvalidAttributeValue"),
            ("udf_string_3", "InvalidAttributeValue"),
            ("performed_by_unit_identifier", "InvalidIdentifier"),
        ])
    );
    assert_eq!(
        violations(1),
        expected(&[
            ("referred_rewards_participant_identifier.number", "RewardsParticipantNotFound"),
            ("referred_by_rewards_participant_identifier.number", "RewardsParticipantNotFound"),
        ])
    );
    // The first of them is the documented code.
    assert_eq!(answer.unprocessed()[0]["error_code"], "InvalidAttributeValueException");
}

async fn the_event_that_stands_in_the_way_is_named(setup: Setup) {
    let server = Server::start(setup).await;
    let mut referenced = event("1", "01", "20");
    referenced["external_system_reference_number"] = json!("R1");
    let stored = ask(&server, json!([referenced, event("2", "20", "30")])).await.processed();
    let mut conflicting = event("conflicting", "02", "20");
    conflicting["external_system_reference_number"] = json!("R1");
    let answer = ask(
        &server,
        json!([
            conflicting,
            event("same", "01", "20"),
            event("other", "01", "21"),
            event("circle", "30", "01"),
            event("new", "03", "20"),
            event("of the call", "03", "21"),
            event("nobody", "99", "20"),
        ]),
    )
    .await;
    let named = |event: &Value| json!({"id": event["id"], "number": event["number"]});
    let causes: Vec<Value> = answer.unprocessed().iter().map(|event| event["conflicting_event"].clone()).collect();
    let (first, second, new) = (named(&stored[0]), named(&stored[1]), named(&answer.processed()[0]));
    assert_eq!(causes, [first.clone(), first.clone(), first, second, new, Value::Null]);
}

async fn whether_a_retry_can_help_is_said(setup: Setup) {
    let server = Server::start(setup).await;
    let mut bad = event("bad", "03", "20");
    bad["performed_on"] = json!("9999-01-01T00:00:00");
    let answer = ask(
        &server,
        json!([event("missing", "99", "20"), event("suspended", "51", "20"), bad, event("self", "04", "04")]),
    )
    .await;
    let retryable: Vec<Value> = answer.unprocessed().iter().map(|event| event["retryable"].clone()).collect();
    assert_eq!(retryable, [json!(true), json!(true), json!(false), json!(false)]);
}

async fn what_existed_before_is_said(setup: Setup) {
    let server = Server::start(setup).await;
    let mut referenced = event("1", "01", "20");
    referenced["external_system_reference_number"] = json!("R1");
    ask(&server, json!([referenced])).await;
    let mut new = event("2", "02", "20");
    new["external_system_reference_number"] = json!("R2");
    let mut again = new.clone();
    again["request_unique_identifier"] = json!("3");
    let answer = ask(&server, json!([referenced, new, again])).await;
    let replayed: Vec<Value> = answer.processed().iter().map(|event| event["replayed"].clone()).collect();
    assert_eq!(replayed, [json!(true), json!(false), json!(true)]);
}

async fn the_summary_counts_the_events(setup: Setup) {
    let server = Server::start(setup).await;
    let mut referenced = event("1", "01", "20");
    referenced["external_system_reference_number"] = json!("R1");
    let mut again = referenced.clone();
    again["request_unique_identifier"] = json!("2");
    let answer = ask(&server, json!([referenced, again, event("3", "99", "20"), event("4", "02", "20")])).await;
    assert_eq!(answer.data["summary"], json!({"requested": 4, "processed": 3, "replayed": 1, "unprocessed": 1}));
}

async fn the_documented_shape_stays(setup: Setup) {
    let server = Server::start(setup).await;
    let events = json!([event("1", "01", "20"), event("2", "01", "21")]);
    let answer = server.bulk(json!({"token": server.token, "referral_customer_events_set": events})).await;
    let names = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&answer.data), ["processed_customer_events_set", "unprocessed_customer_events_set"]);
    assert_eq!(names(&answer.processed()[0]), ["id", "number", "request_unique_identifier"]);
    assert_eq!(names(&answer.unprocessed()[0]), ["error_code", "error_description", "request_unique_identifier"]);
}

async fn everything_is_answered_without_asking(setup: Setup) {
    let server = Server::start(setup).await;
    let events = json!([event("1", "01", "20"), event("2", "01", "21")]);
    let answer = server.bulk(json!({"token": server.token, "referral_customer_events_set": events})).await;
    assert_eq!(answer.processed()[0]["replayed"], false);
    assert_eq!(answer.unprocessed()[0]["conflicting_event"]["number"], answer.processed()[0]["number"]);
    assert_eq!(answer.data["summary"]["requested"], 2);
}
