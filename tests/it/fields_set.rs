//! Which fields of the answer's events a caller wants.

use serde_json::{Value, json};

use crate::support::{Answer, EVENT_FIELDS, Server, Setup, Transport, event, tests};

tests! {
    Both:
        without_names_each_transport_has_its_own,
        only_the_named_fields_are_answered,
        an_unknown_name_refuses_the_call;
    Rest: the_names_come_as_a_text_or_as_an_array;
}

/// Sends a good event and one that fails, asking for these fields.
async fn ask(server: &Server, fields_set: Value) -> Answer {
    let mut failing = event("bad", "01", "02");
    failing["performed_by_unit_identifier"] = json!({"name": "Nowhere"});
    let mut good = event("good", "01", "02");
    // The same event, however often it is sent.
    good["external_system_reference_number"] = json!("R1");
    let request =
        json!({"token": server.token, "referral_customer_events_set": [failing, good], "fields_set": fields_set});
    server.bulk(request).await
}

/// Asserts that the answer's events have these of the fields, and both sets have their event.
#[track_caller]
fn assert_fields(answer: &Answer, fields: &[&str]) {
    assert_eq!(answer.code, "OK", "{answer:?}");
    let kinds = [
        ("processed_customer_events_set", &["id", "index", "number", "replayed", "request_unique_identifier"][..]),
        (
            "unprocessed_customer_events_set",
            &["error_code", "error_description", "index", "request_unique_identifier", "retryable", "violations"],
        ),
    ];
    for (set, all) in kinds {
        let events = answer.data[set].as_array().unwrap_or_else(|| panic!("no {set}: {answer:?}"));
        assert_eq!(events.len(), 1, "{answer:?}");
        let names: Vec<&str> = events[0].as_object().expect("an object").keys().map(String::as_str).collect();
        let expected: Vec<&str> = all.iter().copied().filter(|name| fields.contains(name)).collect();
        assert_eq!(names, expected, "{set}");
    }
}

/// gRPC answers everything, REST what is documented.
fn by_default(transport: Transport) -> Vec<&'static str> {
    match transport {
        Transport::Grpc => [&EVENT_FIELDS[..], &["index", "replayed", "retryable", "violations"]].concat(),
        Transport::Rest => EVENT_FIELDS.to_vec(),
    }
}

async fn without_names_each_transport_has_its_own(setup: Setup) {
    let server = Server::start(setup).await;
    for nothing in [json!([]), json!([""]), json!([" , "])] {
        assert_fields(&ask(&server, nothing).await, &by_default(setup.transport));
    }
    let answer = server.send(json!([event("1", "03", "04")])).await;
    answer.assert_outcome(&["1"], &[]);
    // An empty set is there all the same.
    assert_eq!(answer.data["unprocessed_customer_events_set"], json!([]));
}

async fn only_the_named_fields_are_answered(setup: Setup) {
    let server = Server::start(setup).await;
    let all = ask(&server, json!(EVENT_FIELDS)).await;
    for subset in 1..1 << EVENT_FIELDS.len() {
        let names: Vec<&str> =
            (0..EVENT_FIELDS.len()).filter(|n| subset & (1 << n) != 0).map(|n| EVENT_FIELDS[n]).collect();
        let answer = ask(&server, json!(names)).await;
        assert_fields(&answer, &names);
        for set in ["processed_customer_events_set", "unprocessed_customer_events_set"] {
            for (name, value) in answer.data[set][0].as_object().expect("an object") {
                assert_eq!(*value, all.data[set][0][name], "{name}");
            }
        }
    }
    assert_fields(&ask(&server, json!(["number", "number"])).await, &["number"]);
    assert_fields(&ask(&server, json!(["id,error_code", " number "])).await, &["id", "error_code", "number"]);
    assert_eq!(server.stored_events().await.len(), 1);
}

async fn an_unknown_name_refuses_the_call(setup: Setup) {
    let server = Server::start(setup).await;
    let unknown =
        ["colour", "ID", "Id", "request unique identifier", "performed_on", "token", "*", "id;number", "a\0b"];
    for name in unknown {
        for fields_set in [json!([name]), json!(["id", name]), json!([format!("id,{name},number")])] {
            let answer = ask(&server, fields_set).await;
            answer.assert_refused("InvalidFieldsSet");
            assert!(answer.message.contains(&name.replace('\0', "")), "{answer:?}");
            assert!(!answer.message.contains('\0'), "{answer:?}");
        }
    }
    ask(&server, json!(["x".repeat(1_000_000)])).await.assert_refused("InvalidFieldsSet");
    assert!(server.stored_events().await.is_empty());
}

async fn the_names_come_as_a_text_or_as_an_array(setup: Setup) {
    let server = Server::start(setup).await;
    for form in
        [json!("id,error_code"), json!(" id , error_code ,"), json!(["id", "error_code"]), json!(["id,error_code"])]
    {
        assert_fields(&ask(&server, form).await, &["id", "error_code"]);
    }
    for nothing in [json!(null), json!(""), json!(" "), json!(",,")] {
        assert_fields(&ask(&server, nothing).await, &EVENT_FIELDS);
    }
    ask(&server, json!("id,colour")).await.assert_refused("InvalidFieldsSet");
    for malformed in [json!(1), json!(true), json!({"id": true}), json!([1]), json!(["id", ["number"]]), json!([null])]
    {
        let answer = ask(&server, malformed.clone()).await;
        assert_eq!(answer.code, "MalformedRequestException", "{malformed}");
        assert!(answer.message.contains("fields_set"), "{answer:?}");
    }
}
