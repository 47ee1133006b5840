//! What a message costs: its bytes, whatever it holds, in memory and in time.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde_json::json;
use tonic::{Code, transport::Channel};

use crate::support::{Process, Server, Setup, Workplace, call_with_bytes, event, method, tests};

tests! {
    Once: a_message_costs_little_more_memory_than_its_bytes;
    Rest: reading_takes_time_by_the_byte, of_all_that_is_wrong_with_an_event_a_hundred_things_are_told;
    Both: a_method_has_messages_of_a_size_of_its_own;
}

const BULK: &str = "customer_events/bulk/referrals/create";
const BULK_RPC: &str = "/referral.v1.ReferralEventService/BulkCreateReferralEvents";

/// Posts a body as it is; answers the code.
async fn post(process: &Process, path: &str, body: String) -> String {
    let request = reqwest::Client::new().post(format!("http://{}/{path}", process.address)).body(body);
    let request = request.header("content-type", "application/json");
    let text = request.send().await.expect("a response").text().await.expect("a body");
    let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    answer["status"]["code"].as_str().expect("a code").to_owned()
}

async fn a_message_costs_little_more_memory_than_its_bytes(_: Setup) {
    if !Path::new("/proc/self/status").exists() {
        return;
    }
    let workplace = Workplace::new();
    workplace.run_well(&["migrate"], "");
    workplace.add_caller("seven green kettles");
    let server = workplace.serve(&[]);
    let token = server.login("seven green kettles").await;
    let channel = Channel::from_shared(format!("http://{}", server.address)).expect("a URI").connect_lazy();
    let before = server.peak_memory();
    let bearer = format!("Bearer {token}");
    for bytes in [[0x12, 0].repeat(1_000_000), [0x1a, 0].repeat(1_000_000), [0x7b, 0x7c].repeat(1_000_000)] {
        for headers in [&[][..], &[("authorization", &*bearer)]] {
            let status =
                call_with_bytes(channel.clone(), BULK_RPC, bytes.clone(), headers).await.expect_err("a refusal");
            assert!([Code::InvalidArgument, Code::Unauthenticated].contains(&status.code()), "{status:?}");
        }
    }
    let set = |events: &str| format!(r#"{{"token":"{token}","referral_customer_events_set":{events}}}"#);
    let names = |count: usize| (0..count).map(|n| format!(r#""a{n}":0"#)).collect::<Vec<_>>().join(",");
    let equal = vec![r#""a":0"#; 350_000].join(",");
    for (body, code) in [
        (set(&format!("[{}0]", "0,".repeat(1_000_000))), "MaximumNumberOfEventsExceededException"),
        (format!("{{{}}}", names(200_000)), "UnknownAttributeException"),
        (format!("{{{equal}}}"), "UnknownAttributeException"),
        (set(&format!("[{{{}}}]", names(200_000))), "OK"),
        (set(&format!("[{{{equal}}}]")), "OK"),
        (format!(r#"{{"fields_set":[{}""]}}"#, "\"\",".repeat(700_000)), "MalformedRequestException"),
    ] {
        assert_eq!(post(&server, BULK, body).await, code);
    }
    for path in ["authentication/token", "customer_events/referrals/list"] {
        let body = format!("{{{equal}}}");
        assert_eq!(post(&server, path, body).await, "RequestTooLargeException");
    }
    let peak = server.peak_memory();
    assert!(peak < before + 60, "{before} MiB before, {peak} MiB after");
    server.login("seven green kettles").await;
}

async fn reading_takes_time_by_the_byte(setup: Setup) {
    let server = Server::start(setup).await;
    let names = (0..200_000).map(|n| format!(r#""a{n}":0"#)).collect::<Vec<_>>().join(",");
    let started = Instant::now();
    let (status, answer) = server.post_text(BULK, format!("{{{names}}}")).await;
    assert_eq!((status, answer.code.as_str()), (400, "UnknownAttributeException"));
    let event = event("many", "01", "02").to_string();
    let event = format!("{},{names}}}", event.strip_suffix('}').expect("an object"));
    let body = format!(r#"{{"token":"{}","referral_customer_events_set":[{event}]}}"#, server.token);
    let (_, answer) = server.post_text(BULK, body).await;
    answer.assert_outcome(&[], &[("many", "UnknownAttribute")]);
    // Where each name is looked for among all before it, this takes many minutes.
    let time = started.elapsed();
    assert!(time < Duration::from_secs(60), "{time:?}");
    server.assert_serving().await;
}

async fn of_all_that_is_wrong_with_an_event_a_hundred_things_are_told(setup: Setup) {
    let server = Server::start(setup).await;
    let mut bad = event("bad", "01", "02");
    for n in 0..500 {
        bad[format!("a{n:03}")] = json!(n);
    }
    // It stands last, and comes first in the catalogue.
    let text = format!(r#"{},"description":1}}"#, bad.to_string().strip_suffix('}').expect("an object"));
    let body = format!(
        r#"{{"token":"{}","fields_set":["request_unique_identifier","error_code","violations"],"referral_customer_events_set":[{text}]}}"#,
        server.token
    );
    let (_, answer) = server.post_text(BULK, body).await;
    let refused = answer.unprocessed().swap_remove(0);
    assert_eq!(refused["error_code"], "MalformedEventException");
    let violations = refused["violations"].as_array().expect("a set").clone();
    assert_eq!(violations.len(), 100);
    assert!(violations.iter().any(|violation| violation["field"] == "description"), "{violations:?}");
    assert!(violations.iter().any(|violation| violation["field"] == "a000"), "{violations:?}");
}

async fn a_method_has_messages_of_a_size_of_its_own(setup: Setup) {
    let server = Server::start(setup).await;
    let long = |length: usize| json!({"token": "x".repeat(length)});
    for (name, limit) in [
        ("CreateToken", 64 * 1024),
        ("ReleaseToken", 64 * 1024),
        ("ListReferralEvents", 64 * 1024),
        ("CancelReferralEvent", 64 * 1024),
        ("CreateReferralEvent", 128 * 1024),
    ] {
        let request = |length: usize| match name {
            "CreateToken" => json!({"username": "carla", "password": "x".repeat(length), "organisation": "acme"}),
            _ => long(length),
        };
        let within = server.call(&method(name), request(limit - 200), &[]).await;
        assert_eq!(
            within.code,
            if name == "CreateToken" { "InvalidCredentialsException" } else { "InvalidTokenException" }
        );
        let beyond = server.call(&method(name), request(limit + 1), &[]).await;
        beyond.assert_refused("RequestTooLarge");
        assert!(beyond.message.contains(&limit.to_string()), "{beyond:?}");
    }
    // The largest event that there may be is no trouble, each of its characters escaped.
    let mut largest = event("largest", "01", "02");
    for attribute in ["external_system", "external_system_reference_number", "udf_string_1", "udf_string_8"] {
        largest[attribute] = json!("\u{1f600}".repeat(255));
    }
    largest["description"] = json!("\u{1f600}".repeat(4000));
    assert_eq!(server.create(json!({}), largest).await.code, "OK");
    server.assert_serving().await;
}
