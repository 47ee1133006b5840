//! Events that are well-formed JSON or messages, and yet not acceptable: each fails alone.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::{Bad, Leaf, Server, Setup, event, leaves, tests, with};

tests! {
    Both:
        no_text_has_control_characters,
        no_text_is_too_long,
        the_longest_texts_are_kept,
        an_event_is_performed_at_most_a_day_ahead,
        a_mandatory_attribute_is_neither_missing_nor_blank,
        an_identifier_has_exactly_one_field,
        a_party_has_one_kind_of_identifier,
        an_identifier_that_is_shared_spoils_good_events_alone,
        an_event_that_says_nothing_is_answered,
        a_call_has_events,
        a_call_has_at_most_a_thousand_events;
}

fn texts() -> impl Iterator<Item = String> {
    leaves().into_iter().filter(|(_, leaf)| *leaf == Leaf::Text).map(|(path, _)| path)
}

async fn no_text_has_control_characters(setup: Setup) {
    let server = Server::start(setup).await;
    let mut bad = Vec::new();
    for path in texts() {
        let event = with(&path, &path, json!("a\0b"));
        bad.push(Bad::new(event, "InvalidAttributeValue", path));
    }
    assert!(bad.len() > 40, "{}", bad.len());
    let characters =
        ["\u{1}", "\u{7}", "\u{8}", "\u{b}", "\u{c}", "\u{1b}[31m", "\u{1f}", "\u{7f}", "\u{80}", "\u{9f}"];
    for (n, character) in characters.into_iter().enumerate() {
        let event = with(&n.to_string(), "description", json!(format!("before{character}after")));
        bad.push(Bad::new(event, "InvalidAttributeValue", "description"));
    }
    server.assert_bad(&bad).await;
    server.assert_serving().await;
}

async fn no_text_is_too_long(setup: Setup) {
    let server = Server::start(setup).await;
    let mut bad = Vec::new();
    for path in texts() {
        let length = if path == "description" { 4001 } else { 256 };
        for (n, character) in ["x", "é", "😀"].into_iter().enumerate() {
            let event = with(&format!("{path} {n}"), &path, json!(character.repeat(length)));
            bad.push(Bad::new(event, "InvalidAttributeValue", &path));
        }
    }
    bad.push(Bad::new(with("a", "description", json!("x".repeat(1_000_000))), "InvalidAttributeValue", "description"));
    let name = with("b", "performed_by_unit_identifier.name", json!("x".repeat(300)));
    bad.push(Bad::new(name, "InvalidAttributeValue", "performed_by_unit_identifier.name"));
    server.assert_bad(&bad).await;
    server.assert_serving().await;
}

async fn the_longest_texts_are_kept(setup: Setup) {
    let server = Server::start(setup).await;
    let longest = "😀".repeat(255);
    let mut event = event(&longest, "01", "02");
    for attribute in ["external_system", "external_system_reference_number", "udf_string_1", "udf_string_8"] {
        event[attribute] = json!(longest);
    }
    event["description"] = json!("😀".repeat(4000));
    server.send(json!([event])).await.assert_outcome(&[&longest], &[]);
    let stored = server.stored_events().await;
    assert_eq!(stored[0].description.as_deref(), Some(&*"😀".repeat(4000)));
    assert_eq!(stored[0].external_system, longest);
    // A name of that length is looked for, and not found.
    let unit = with("1", "performed_by_unit_identifier.name", json!(longest));
    server.assert_bad(&[Bad::new(unit, "UnitNotFound", &longest)]).await;
}

async fn an_event_is_performed_at_most_a_day_ahead(setup: Setup) {
    let server = Server::start(setup).await;
    let ahead = |hours: i64| (Utc::now() + TimeDelta::hours(hours)).format("%Y-%m-%dT%H:%M:%S").to_string();
    let bad: Vec<Bad> = [25, 48, 24 * 365 * 1000]
        .into_iter()
        .map(|hours| {
            let event = with(&hours.to_string(), "performed_on", json!(ahead(hours)));
            Bad::new(event, "InvalidAttributeValue", "performed_on")
        })
        .collect();
    server.assert_bad(&bad).await;
    let mut soon = event("soon", "01", "02");
    soon["performed_on"] = json!(ahead(23));
    // The other dates may lie where they like.
    let mut later = event("later", "03", "02");
    later["udf_date_1"] = json!(ahead(24 * 365 * 1000));
    server.send(json!([soon, later])).await.assert_outcome(&["soon", "later"], &[]);
}

fn without(identifier: &str, attribute: &str) -> Value {
    let mut event = event(identifier, "01", "02");
    event.as_object_mut().expect("an object").remove(attribute).expect("an attribute");
    event
}

async fn a_mandatory_attribute_is_neither_missing_nor_blank(setup: Setup) {
    let server = Server::start(setup).await;
    let missing = "MissingMandatoryAttribute";
    let mut bad = vec![
        Bad::new(without("", "request_unique_identifier"), missing, "request_unique_identifier"),
        Bad::new(without("place", "performed_by_unit_identifier"), missing, "performed_by_business_unit_identifier"),
        Bad::new(without("date", "performed_on"), missing, "performed_on"),
        Bad::new(
            without("referred", "referred_rewards_participant_identifier"),
            missing,
            "referred_accounts_receivable_identifier",
        ),
        Bad::new(
            without("referrer", "referred_by_rewards_participant_identifier"),
            missing,
            "referred_by_accounts_receivable_identifier",
        ),
    ];
    // Several without a name, too: they share nothing.
    for blank in ["", " ", "\t\r\n", "\u{a0}", ""] {
        bad.push(Bad::new(event(blank, "01", "02"), missing, "request_unique_identifier"));
    }
    server.assert_bad(&bad).await;
}

/// The identifier objects of an event, each with its fields.
fn identifiers() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut identifiers = vec![
        ("classification_identifier", vec!["id", "name", "alternative_code"]),
        ("performed_by_business_unit_identifier", vec!["id", "name", "code"]),
        ("performed_by_unit_identifier", vec!["id", "name", "alternative_code"]),
        ("performed_by_tap_identifier", vec!["id", "name", "code"]),
        ("performed_by_device_identifier", vec!["id", "code"]),
    ];
    for role in PARTIES {
        identifiers.extend(role.map(|attribute| (attribute, vec!["id", "number"])));
    }
    identifiers
}

const PARTIES: [[&str; 2]; 2] = [
    ["referred_rewards_participant_identifier", "referred_accounts_receivable_identifier"],
    ["referred_by_rewards_participant_identifier", "referred_by_accounts_receivable_identifier"],
];

/// A good event but for one identifier object.
fn with_identifier(identifier: &str, attribute: &str, value: Value) -> Value {
    let mut event = with(identifier, attribute, value);
    for [participant, account] in PARTIES {
        if attribute == account {
            event.as_object_mut().expect("an object").remove(participant);
        }
    }
    event
}

async fn an_identifier_has_exactly_one_field(setup: Setup) {
    let server = Server::start(setup).await;
    let mut bad = Vec::new();
    for (attribute, fields) in identifiers() {
        let mut values = vec![json!({})];
        for (n, field) in fields.iter().enumerate() {
            values.push(json!({*field: ""}));
            values.push(json!({*field: " \t"}));
            for other in &fields[n + 1..] {
                values.push(json!({*field: "A", *other: "B"}));
                values.push(json!({*field: "", *other: " "}));
            }
        }
        values.push(fields.iter().map(|field| ((*field).to_owned(), json!("A"))).collect::<Value>());
        if fields.contains(&"number") {
            let token = json!({"authentication_code": "AUTH20"});
            values.push(json!({"number": "RP01", "access_token_identifier": token}));
            values.push(json!({"id": "RP01-ID", "access_token_identifier": {}}));
            values.push(json!({"access_token_identifier": {}}));
            values.push(json!({"access_token_identifier": {"authentication_code": " "}}));
        }
        for (n, value) in values.into_iter().enumerate() {
            let event = with_identifier(&format!("{attribute} {n}"), attribute, value);
            bad.push(Bad::new(event, "InvalidIdentifier", attribute));
        }
    }
    server.assert_bad(&bad).await;
}

async fn a_party_has_one_kind_of_identifier(setup: Setup) {
    let server = Server::start(setup).await;
    let mut bad = Vec::new();
    for [_, account] in PARTIES {
        let role = account.trim_end_matches("accounts_receivable_identifier");
        // Though they name the same.
        for (n, value) in [json!({"number": "ACR01"}), json!({}), json!({"number": ""})].into_iter().enumerate() {
            let event = with(&format!("{account} {n}"), account, value);
            bad.push(Bad::new(event, "InvalidIdentifier", role));
        }
        // What is wrong with a text is told first.
        let event = with(&format!("{account} long"), account, json!({"number": "x".repeat(256)}));
        bad.push(Bad::new(event, "InvalidAttributeValue", format!("{account}.number")));
    }
    server.assert_bad(&bad).await;
}

async fn an_identifier_that_is_shared_spoils_good_events_alone(setup: Setup) {
    let server = Server::start(setup).await;
    let shared = "DuplicateRequestUniqueIdentifier";
    let bad = [
        Bad::new(event("a", "01", "02"), shared, "a"),
        Bad::new(event("a", "03", "04"), shared, "a"),
        // One that fails for an earlier reason still has the name.
        Bad::new(without("b", "performed_on"), "MissingMandatoryAttribute", "performed_on"),
        Bad::new(event("b", "05", "06"), shared, "b"),
        Bad::new(event("A", "07", "99"), "RewardsParticipantNotFound", "RP99"),
    ];
    server.assert_bad(&bad).await;
}

async fn an_event_that_says_nothing_is_answered(setup: Setup) {
    let server = Server::start(setup).await;
    let answer = server.send(json!([event("1", "01", "02"), {}, event("2", "03", "02"), {}])).await;
    let missing = ("", "MissingMandatoryAttribute");
    answer.assert_outcome(&["1", "2"], &[missing, missing]);
    for event in answer.unprocessed() {
        let names: Vec<&str> = event.as_object().expect("an object").keys().map(String::as_str).collect();
        // It has no name, so it is told by its place.
        assert_eq!(names, ["error_code", "error_description", "index"]);
    }
}

async fn a_call_has_events(setup: Setup) {
    let server = Server::start(setup).await;
    for request in [
        json!({"token": server.token}),
        json!({"token": server.token, "referral_customer_events_set": null}),
        json!({"token": server.token, "referral_customer_events_set": []}),
    ] {
        let answer = server.bulk(request).await;
        answer.assert_refused("MissingMandatoryAttribute");
        assert!(answer.message.contains("referral_customer_events_set"), "{answer:?}");
    }
}

async fn a_call_has_at_most_a_thousand_events(setup: Setup) {
    let server = Server::start(setup).await;
    let good = |n: usize| {
        json!({
            "request_unique_identifier": n.to_string(),
            "performed_by_unit_identifier": {"name": "Admin Unit"},
            "performed_on": "2016-06-22T15:00:00",
            "referred_accounts_receivable_identifier": {"number": format!("N{n}")},
            "referred_by_accounts_receivable_identifier": {"number": "ACR60"},
        })
    };
    let rows: String = (0..=1000).map(|n| format!("N{n}\n")).collect();
    let kind = referral_events::directory::DirectoryKind::AccountsReceivable;
    server.import("acme", kind, format!("number\n{rows}")).await;
    let too_many: Vec<Value> = (0..=1000).map(good).collect();
    let answer = server.send(json!(too_many)).await;
    answer.assert_refused("MaximumNumberOfEventsExceeded");
    assert!(answer.message.contains("1000") && answer.message.contains("1001"), "{answer:?}");
    assert!(server.stored_events().await.is_empty());
    let answer = server.send(json!(too_many[..1000])).await;
    let expected: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    assert_eq!(answer.processed_identifiers(), expected);
    assert_eq!(answer.failures(), []);
    assert_eq!(server.stored_events().await.len(), 1000);
}
