//! Events under an external reference: sent again, they are answered as the first time.

use referral_events::directory::DirectoryKind;
use serde_json::{Value, json};

use crate::support::{Answer, Server, Setup, event, tests};

tests! {
    Both:
        an_event_sent_again_is_answered_with_the_first_id_and_number,
        an_event_sent_again_may_name_the_same_rows_by_other_fields,
        every_attribute_counts_as_content,
        references_are_unique_within_their_system,
        an_event_may_be_repeated_within_a_call,
        a_refused_event_does_not_take_its_reference,
        an_event_is_recognised_after_its_party_was_suspended,
        an_event_is_recognised_whatever_became_of_the_default_tap,
        an_event_is_recognised_after_its_unit_moved,
        a_conflict_comes_before_the_rules;
}

fn referenced(identifier: &str, referred: &str, referrer: &str, system: &str, reference: &str) -> Value {
    let mut event = event(identifier, referred, referrer);
    event["external_system"] = json!(system);
    event["external_system_reference_number"] = json!(reference);
    event
}

/// Each processed event's id and number.
fn created(answer: &Answer) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    answer.processed().iter().map(|event| (text(&event["id"]), text(&event["number"]))).collect()
}

/// An event with every attribute that counts as content.
fn full() -> Value {
    let mut event = referenced("1", "01", "20", "till", "R1");
    event["classification_identifier"] = json!({"name": "Friend"});
    event["performed_by_business_unit_identifier"] = json!({"code": "BU1"});
    event["performed_by_tap_identifier"] = json!({"code": "TAP1"});
    event["performed_by_device_identifier"] = json!({"code": "DEV1"});
    event["description"] = json!("first");
    for n in 1..=8 {
        event[format!("udf_string_{n}")] = json!(format!("text {n}"));
    }
    for n in 1..=4 {
        event[format!("udf_float_{n}")] = json!(f64::from(n) + 0.5);
        event[format!("udf_date_{n}")] = json!(format!("2016-06-22T15:00:0{n}"));
    }
    event
}

async fn an_event_sent_again_is_answered_with_the_first_id_and_number(setup: Setup) {
    let server = Server::start(setup).await;
    let first = server.send(json!([full(), referenced("2", "02", "20", "till", "R2")])).await;
    first.assert_outcome(&["1", "2"], &[]);
    for identifiers in [["1", "2"], ["other", "names"]] {
        let (mut one, mut two) = (full(), referenced("2", "02", "20", "till", "R2"));
        one["request_unique_identifier"] = json!(identifiers[0]);
        two["request_unique_identifier"] = json!(identifiers[1]);
        let again = server.send(json!([one, two])).await;
        again.assert_outcome(&identifiers, &[]);
        assert_eq!(created(&again), created(&first));
    }
    // Beside new events.
    let mixed = server.send(json!([event("new", "03", "20"), full(), event("newer", "04", "20")])).await;
    mixed.assert_outcome(&["new", "1", "newer"], &[]);
    assert_eq!(created(&mixed)[1], created(&first)[0]);
    assert_eq!(server.stored_events().await.len(), 4);
}

async fn an_event_sent_again_may_name_the_same_rows_by_other_fields(setup: Setup) {
    let server = Server::start(setup).await;
    let first = server.send(json!([full()])).await;
    first.assert_outcome(&["1"], &[]);
    let changes = [
        ("classification_identifier", json!({"id": "CL1-ID"})),
        ("classification_identifier", json!({"alternative_code": "CL1"})),
        ("performed_by_business_unit_identifier", json!({"name": "North"})),
        ("performed_by_unit_identifier", json!({"id": "U1-ID"})),
        ("performed_by_unit_identifier", json!({"alternative_code": "U1"})),
        ("performed_by_tap_identifier", json!({"name": "Till 1"})),
        ("performed_by_device_identifier", json!({"id": "DEV1-ID"})),
        ("referred_rewards_participant_identifier", json!({"id": "RP01-ID"})),
        ("referred_accounts_receivable_identifier", json!({"number": "ACR01"})),
        ("referred_accounts_receivable_identifier", json!({"id": "RP01-ID"})),
        ("referred_by_accounts_receivable_identifier", json!({"id": "ACR20-ID"})),
        (
            "referred_by_rewards_participant_identifier",
            json!({"access_token_identifier": {"authentication_code": "AUTH20"}}),
        ),
        (
            "referred_by_accounts_receivable_identifier",
            json!({"access_token_identifier": {"identifier": "t20@example.com", "pass_code": "2020"}}),
        ),
        (
            "referred_by_rewards_participant_identifier",
            json!({"access_token_identifier": {"one_time_password": "020020"}}),
        ),
        // The same moment and the same numbers in other words.
        ("performed_on", json!("2016-06-22T17:00:00+02:00")),
        ("udf_date_1", json!("2016-06-22T15:00:01.000000Z")),
        ("udf_float_1", json!(15e-1)),
    ];
    let mut events = Vec::new();
    for (n, (attribute, value)) in changes.into_iter().enumerate() {
        let mut event = full();
        event["request_unique_identifier"] = json!(n.to_string());
        if let Some(role) = attribute.strip_suffix("_accounts_receivable_identifier") {
            event.as_object_mut().expect("an object").remove(&format!("{role}_rewards_participant_identifier"));
        }
        event[attribute] = value;
        events.push(event);
    }
    let again = server.send(json!(events)).await;
    assert_eq!(again.failures(), []);
    assert_eq!(created(&again), vec![created(&first)[0].clone(); 17]);
    assert_eq!(server.stored_events().await.len(), 1);
}

async fn every_attribute_counts_as_content(setup: Setup) {
    let server = Server::start(setup).await;
    server.import("acme", DirectoryKind::Classifications, "alternative_code\nCL2\n").await;
    server.import("acme", DirectoryKind::Devices, "code,unit_alternative_code\nDEV2,U1\n").await;
    server.send(json!([full()])).await.assert_outcome(&["1"], &[]);
    let changed = [
        ("classification_identifier", json!({"alternative_code": "CL2"})),
        ("performed_by_tap_identifier", json!({"code": "TAP2"})),
        ("performed_by_device_identifier", json!({"code": "DEV2"})),
        ("performed_on", json!("2016-06-22T15:00:00.000001")),
        ("description", json!("second")),
        ("description", json!("first ")),
        ("referred_rewards_participant_identifier", json!({"number": "RP02"})),
        ("referred_by_rewards_participant_identifier", json!({"number": "RP21"})),
    ];
    let mut changed: Vec<(String, Value)> =
        changed.into_iter().map(|(attribute, value)| (attribute.to_owned(), value)).collect();
    changed.extend((1..=8).map(|n| (format!("udf_string_{n}"), json!(format!("Text {n}")))));
    changed.extend((1..=4).map(|n| (format!("udf_float_{n}"), json!(f64::from(n)))));
    changed.extend((1..=4).map(|n| (format!("udf_date_{n}"), json!("2017-06-22T15:00:00"))));
    // Values that moved to the next attribute.
    changed.push(("udf_string_1".to_owned(), json!("text 2")));
    let optional: Vec<String> = full()
        .as_object()
        .expect("an object")
        .keys()
        .filter(|name| {
            name.starts_with("udf_") || name.starts_with("classification") || name.starts_with("performed_by_")
        })
        .cloned()
        .chain(["description".to_owned()])
        .collect();
    // 16 attributes of one's own, the classification, four places, the description.
    assert_eq!(optional.len(), 22);
    changed.extend(optional.into_iter().map(|name| (name, Value::Null)));
    let mut expected = Vec::new();
    let mut events = Vec::new();
    for (n, (attribute, value)) in changed.into_iter().enumerate() {
        let mut event = full();
        let identifier = format!("{n} {attribute} {value}");
        event["request_unique_identifier"] = json!(identifier);
        if value.is_null() {
            event.as_object_mut().expect("an object").remove(&attribute);
        } else {
            event[attribute] = value;
        }
        events.push(event);
        expected.push((identifier, "ExternalReferenceConflict".to_owned()));
    }
    let answer = server.send(json!(events)).await;
    assert_eq!(answer.failures(), expected);
    let description = answer.unprocessed()[0]["error_description"].as_str().expect("a text").to_owned();
    assert!(description.starts_with("Error:External System Reference Number R1 Already Exists. - "), "{description}");
    assert_eq!(server.stored_events().await.len(), 1);
}

async fn references_are_unique_within_their_system(setup: Setup) {
    let server = Server::start(setup).await;
    let without_system = |identifier: &str, referred: &str| {
        let mut event = referenced(identifier, referred, "20", "", "R1");
        event.as_object_mut().expect("an object").remove("external_system");
        event
    };
    let first = server
        .send(json!([
            referenced("1", "01", "20", "till", "R1"),
            referenced("2", "02", "20", "web", "R1"),
            without_system("3", "03"),
            referenced("4", "04", "20", "till", "R2"),
            // Names are compared as they came.
            referenced("5", "05", "20", "Till", "R1"),
            referenced("6", "06", "20", "till", "r1"),
            referenced("7", "07", "20", "till", "R1 "),
        ]))
        .await;
    first.assert_outcome(&["1", "2", "3", "4", "5", "6", "7"], &[]);
    // Without a system they are unique among themselves; an empty one is none.
    let again = server
        .send(json!([without_system("a", "03"), without_system("b", "08"), referenced("c", "03", "20", "", "R1")]))
        .await;
    again.assert_outcome(&["a", "c"], &[("b", "ExternalReferenceConflict")]);
    assert_eq!(created(&again), [created(&first)[2].clone(), created(&first)[2].clone()]);
    // A system without a reference names no event.
    let mut system_alone = event("1", "10", "20");
    system_alone["external_system"] = json!("till");
    let mut another = event("2", "11", "20");
    another["external_system"] = json!("till");
    server.send(json!([system_alone, another])).await.assert_outcome(&["1", "2"], &[]);
    let stored = server.stored_events().await;
    let names = stored.iter().map(|event| {
        (event.external_system.as_str(), event.external_system_reference_number.as_deref().unwrap_or("none"))
    });
    let expected = [
        ("till", "R1"),
        ("web", "R1"),
        ("", "R1"),
        ("till", "R2"),
        ("Till", "R1"),
        ("till", "r1"),
        ("till", "R1 "),
        ("till", "none"),
        ("till", "none"),
    ];
    assert_eq!(names.collect::<Vec<_>>(), expected);
}

async fn an_event_may_be_repeated_within_a_call(setup: Setup) {
    let server = Server::start(setup).await;
    let mut other_form = referenced("3", "01", "20", "till", "R1");
    other_form["referred_rewards_participant_identifier"] = json!({"id": "RP01-ID"});
    let answer = server
        .send(json!([
            referenced("1", "01", "20", "till", "R1"),
            referenced("2", "01", "20", "till", "R1"),
            other_form,
            referenced("4", "02", "20", "till", "R1"),
            referenced("5", "02", "20", "till", "R2"),
        ]))
        .await;
    answer.assert_outcome(&["1", "2", "3", "5"], &[("4", "ExternalReferenceConflict")]);
    let created = created(&answer);
    assert_eq!((&created[1], &created[2]), (&created[0], &created[0]));
    assert_ne!(created[3], created[0]);
    assert_eq!(server.stored_events().await.len(), 2);
}

async fn a_refused_event_does_not_take_its_reference(setup: Setup) {
    let server = Server::start(setup).await;
    let answer = server
        .send(json!([referenced("1", "01", "53", "till", "R1"), referenced("2", "01", "20", "till", "R1")]))
        .await;
    answer.assert_outcome(&["2"], &[("1", "RewardsParticipantNotEffective")]);
    let answer = server.send(json!([referenced("3", "51", "20", "till", "R2")])).await;
    answer.assert_outcome(&[], &[("3", "AccountsReceivableNotActive")]);
    server.send(json!([referenced("4", "02", "20", "till", "R2")])).await.assert_outcome(&["4"], &[]);
    assert_eq!(server.stored_events().await.len(), 2);
}

async fn an_event_is_recognised_after_its_party_was_suspended(setup: Setup) {
    let server = Server::start(setup).await;
    let events = json!([referenced("1", "01", "20", "till", "R1"), referenced("2", "02", "03", "till", "R2")]);
    let first = server.send(events.clone()).await;
    first.assert_outcome(&["1", "2"], &[]);
    server.import("acme", DirectoryKind::AccountsReceivable, "number,state\nACR01,SUSPENDED\n").await;
    let rows = "number,accounts_receivable_number,state\nRP03,ACR03,NOT_EFFECTIVE\n";
    server.import("acme", DirectoryKind::RewardsParticipants, rows).await;
    let again = server.send(events).await;
    again.assert_outcome(&["1", "2"], &[]);
    assert_eq!(created(&again), created(&first));
    // What is new is refused.
    let answer = server.send(json!([referenced("3", "04", "03", "till", "R3"), event("4", "05", "01")])).await;
    answer.assert_outcome(&[], &[("3", "RewardsParticipantNotEffective"), ("4", "AccountsReceivableNotActive")]);
}

async fn an_event_is_recognised_whatever_became_of_the_default_tap(setup: Setup) {
    let server = Server::start(setup).await;
    let first = server.send(json!([referenced("1", "01", "20", "till", "R1")])).await;
    first.assert_outcome(&["1"], &[]);
    let rows = "code,unit_alternative_code,is_default\nTAP2,U1,true\n";
    server.import("acme", DirectoryKind::Taps, rows).await;
    let again = server.send(json!([referenced("1", "01", "20", "till", "R1"), event("2", "02", "20")])).await;
    again.assert_outcome(&["1", "2"], &[]);
    assert_eq!(created(&again)[0], created(&first)[0]);
    let stored = server.stored_events().await;
    let taps = [server.key(DirectoryKind::Taps, "TAP1").await, server.key(DirectoryKind::Taps, "TAP2").await];
    assert_eq!([stored[0].performed_by_tap_key, stored[1].performed_by_tap_key], taps.map(Some));
}

async fn an_event_is_recognised_after_its_unit_moved(setup: Setup) {
    let server = Server::start(setup).await;
    let moved = |identifier: &str, referred: &str, reference: &str| {
        let mut event = referenced(identifier, referred, "20", "till", reference);
        event["performed_by_unit_identifier"] = json!({"alternative_code": "U2"});
        event["performed_by_business_unit_identifier"] = json!({"code": "BU1"});
        event
    };
    let first = server.send(json!([moved("1", "01", "R1")])).await;
    first.assert_outcome(&["1"], &[]);
    server.import("acme", DirectoryKind::Units, "alternative_code,business_unit_code\nU2,BU2\n").await;
    let again = server.send(json!([moved("1", "01", "R1"), moved("2", "02", "R2")])).await;
    again.assert_outcome(&["1"], &[("2", "PerformedByMismatch")]);
    assert_eq!(created(&again), created(&first));
}

async fn a_conflict_comes_before_the_rules(setup: Setup) {
    let server = Server::start(setup).await;
    server.send(json!([referenced("1", "01", "20", "till", "R1")])).await.assert_outcome(&["1"], &[]);
    let conflict = "ExternalReferenceConflict";
    let answer = server
        .send(json!([
            referenced("self", "02", "02", "till", "R1"),
            referenced("another", "01", "21", "till", "R1"),
            referenced("circle", "20", "01", "till", "R1"),
            referenced("new", "03", "20", "till", "R1"),
            // The same pair under a new reference is another event, and a second referral.
            referenced("same", "01", "20", "till", "R2"),
        ]))
        .await;
    let failures = [
        ("self", conflict),
        ("another", conflict),
        ("circle", conflict),
        ("new", conflict),
        ("same", "ReferralAlreadyExists"),
    ];
    answer.assert_outcome(&[], &failures);
}
