//! One event is answered as it was created, with the names of what it refers to.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::{Server, Setup, envelope, event, fields, tests};

tests! {
    Both:
        an_event_is_found_by_each_of_its_names,
        every_attribute_comes_back,
        places_that_follow_from_others_come_back,
        what_an_event_has_not_got_is_absent,
        texts_come_back_as_they_were_given,
        an_event_of_another_organisation_does_not_exist,
        an_identifier_names_an_event_in_exactly_one_way,
        an_identifier_that_is_none_is_refused_by_its_field,
        only_the_wanted_fields_are_answered,
        a_reader_may_look_back;
    Rest:
        the_query_names_the_event,
        a_query_that_cannot_be_read_is_refused;
}

/// An event with every attribute that there is, and what of it is answered as it was sent.
fn full() -> (Value, Value) {
    let mut same = json!({
        "performed_on": "2016-06-22T15:00:00.000001Z",
        "description": "a description",
        "external_system": "till",
        "external_system_reference_number": "R1",
    });
    for n in 1..=8 {
        same[format!("udf_string_{n}")] = json!(format!("text {n}"));
    }
    for (n, float) in (1..).zip([0.1, -1.5e300, 5e-324, 16_777_217.0]) {
        same[format!("udf_float_{n}")] = json!(float);
        same[format!("udf_date_{n}")] = json!(format!("000{n}-02-03T04:05:06Z"));
    }
    let mut sent = same.clone();
    sent["request_unique_identifier"] = json!("1");
    sent["classification_identifier"] = json!({"name": "Friend"});
    sent["performed_by_device_identifier"] = json!({"code": "DEV1"});
    sent["referred_rewards_participant_identifier"] = json!({"number": "RP01"});
    sent["referred_by_accounts_receivable_identifier"] = json!({"number": "ACR02"});
    (sent, same)
}

async fn an_event_is_found_by_each_of_its_names(setup: Setup) {
    let server = Server::start(setup).await;
    let mut with_system = event("1", "01", "60");
    with_system["external_system"] = json!("till");
    with_system["external_system_reference_number"] = json!("R 1/ü&=+");
    let mut without_system = event("2", "02", "60");
    without_system["external_system_reference_number"] = json!("R 1/ü&=+");
    let answer = server.send(json!([with_system, without_system, event("3", "03", "60")])).await;
    for (created, reference) in answer.processed().iter().zip([
        Some(json!({"external_system_reference_number": "R 1/ü&=+", "external_system": "till"})),
        Some(json!({"external_system_reference_number": "R 1/ü&=+"})),
        None,
    ]) {
        let id = created["id"].as_str().expect("an id");
        let names = [json!({"id": id}), json!({"id": id.to_lowercase()}), json!({"number": created["number"]})];
        for name in names.into_iter().chain(reference) {
            let found = server.get(name.clone()).await;
            assert_eq!((&found.data["id"], &found.data["number"]), (&created["id"], &created["number"]), "{name}");
        }
    }
}

async fn every_attribute_comes_back(setup: Setup) {
    let server = Server::start(setup).await;
    let (sent, same) = full();
    let before = Utc::now();
    let created = server.send(json!([sent])).await.processed().remove(0);
    let after = Utc::now();
    let answered = server.get(json!({"number": created["number"]})).await.data;
    for (name, value) in same.as_object().expect("an object") {
        assert_eq!(answered[name], *value, "{name}");
    }
    let others = [
        ("id", created["id"].clone()),
        ("number", created["number"].clone()),
        ("type", json!("REFERRAL")),
        ("life_cycle_state", json!("POSTED")),
        ("classification", json!({"id": "CL1-ID", "name": "Friend", "alternative_code": "CL1"})),
        ("performed_by_business_unit", json!({"id": "BU1-ID", "code": "BU1", "name": "North"})),
        ("performed_by_unit", json!({"id": "U1-ID", "code": "U1", "name": "Admin Unit"})),
        ("performed_by_tap", json!({"id": "TAP1-ID", "code": "TAP1", "name": "Till 1"})),
        ("performed_by_device", json!({"id": "DEV1-ID", "code": "DEV1"})),
        ("referred_accounts_receivable", json!({"id": "ACR01-ID", "number": "ACR01"})),
        ("referred_rewards_participant", json!({"id": "RP01-ID", "number": "RP01"})),
        ("referred_by_accounts_receivable", json!({"id": "ACR02-ID", "number": "ACR02"})),
        ("referred_by_rewards_participant", json!({"id": "RP02-ID", "number": "RP02"})),
    ];
    for (name, value) in others {
        assert_eq!(answered[name], value, "{name}");
    }
    let created_on = |event: &Value| -> DateTime<Utc> {
        event["created_on"].as_str().and_then(|date| date.parse().ok()).expect("a date")
    };
    let before = before - TimeDelta::microseconds(1);
    assert!((before..=after).contains(&created_on(&answered)), "{answered}");

    // Nothing of the contract is left out: what only a cancelled event has comes once it is cancelled.
    let request = json!({"token": server.token, "customer_event_identifier": {"number": created["number"]},
        "cancellation_reason": "a mistake"});
    assert_eq!(server.cancel_with(request).await.code, "OK");
    let cancelled = server.get(json!({"number": created["number"]})).await.data;
    let names: BTreeSet<String> = cancelled.as_object().expect("an object").keys().cloned().collect();
    assert_eq!(names, BTreeSet::from_iter(fields("CustomerEvent")));
    // A list has the same.
    let listed = server.list(json!({})).await.data["customer_events_set"].take();
    assert_eq!(listed, json!([cancelled]));
    for (name, value) in answered.as_object().expect("an object") {
        let expected = if name == "life_cycle_state" { &json!("CANCELLED") } else { value };
        assert_eq!(cancelled[name], *expected, "{name}");
    }
}

async fn places_that_follow_from_others_come_back(setup: Setup) {
    let server = Server::start(setup).await;
    let cases = [
        (
            "performed_by_unit_identifier",
            json!({"alternative_code": "U2"}),
            [Some("BU1"), Some("U2"), Some("TAPB"), None],
        ),
        ("performed_by_unit_identifier", json!({"alternative_code": "U3"}), [Some("BU2"), Some("U3"), None, None]),
        ("performed_by_business_unit_identifier", json!({"code": "BU2"}), [Some("BU2"), None, None, None]),
        ("performed_by_tap_identifier", json!({"code": "TAP2"}), [Some("BU1"), Some("U1"), Some("TAP2"), None]),
        ("performed_by_device_identifier", json!({"code": "DEV0"}), [None, None, None, Some("DEV0")]),
    ];
    for (n, (attribute, identifier, expected)) in (1..).zip(cases) {
        let mut event = event("1", &format!("{n:02}"), "60");
        event.as_object_mut().expect("an object").remove("performed_by_unit_identifier");
        event[attribute] = identifier;
        let created = server.send(json!([event])).await.processed().remove(0);
        let answered = server.get(json!({"id": created["id"]})).await.data;
        let places = ["business_unit", "unit", "tap", "device"].map(|kind| format!("performed_by_{kind}"));
        assert_eq!(
            places.map(|name| answered[name]["code"].as_str().map(str::to_owned)),
            expected.map(|code| code.map(str::to_owned))
        );
    }
}

async fn what_an_event_has_not_got_is_absent(setup: Setup) {
    let server = Server::start(setup).await;
    let mut event = event("1", "01", "02");
    event.as_object_mut().expect("an object").remove("referred_rewards_participant_identifier");
    event["referred_accounts_receivable_identifier"] = json!({"number": "ACR70"});
    event["performed_by_unit_identifier"] = json!({"alternative_code": "U3"});
    server.send(json!([event])).await.assert_outcome(&["1"], &[]);
    let answered = server.get(json!({"number": "1"})).await.data;
    let names: BTreeSet<&str> = answered.as_object().expect("an object").keys().map(String::as_str).collect();
    let expected = [
        "id",
        "number",
        "type",
        "life_cycle_state",
        "performed_on",
        "performed_by_business_unit",
        "performed_by_unit",
        "referred_accounts_receivable",
        "referred_by_accounts_receivable",
        "referred_by_rewards_participant",
        "created_on",
        "created_by",
        "request_id",
    ];
    assert_eq!(names, BTreeSet::from(expected));
}

async fn texts_come_back_as_they_were_given(setup: Setup) {
    let server = Server::start(setup).await;
    let texts = ["", "   ", "\ttab\r\n", "e\u{301} \u{10ffff}", "null", "\"\\u0041 %s $1"];
    for (n, text) in (1..).zip(texts) {
        let mut event = event("1", &format!("{n:02}"), "60");
        event["description"] = json!(text);
        event["udf_string_3"] = json!(text);
        let created = server.send(json!([event])).await.processed().remove(0);
        let request = json!({"token": server.token, "customer_event_identifier": {"number": created["number"]},
            "cancellation_reason": text});
        assert_eq!(server.cancel_with(request).await.code, "OK");
        let answered = server.get(json!({"number": created["number"]})).await.data;
        for name in ["description", "udf_string_3", "cancellation_reason"] {
            assert_eq!(answered[name], text, "{name}");
        }
    }
}

async fn an_event_of_another_organisation_does_not_exist(setup: Setup) {
    let server = Server::start(setup).await;
    let mut event = event("1", "01", "02");
    event["external_system_reference_number"] = json!("R1");
    let created = server.send(json!([event])).await.processed().remove(0);
    let token = server.login("other", "oscar").await;
    for name in
        [json!({"id": created["id"]}), json!({"number": "1"}), json!({"external_system_reference_number": "R1"})]
    {
        let request = json!({"token": token, "customer_event_identifier": name});
        server.get_with(request.clone()).await.assert_refused("CustomerEventNotFound");
        server.cancel_with(request).await.assert_refused("CustomerEventNotFound");
        assert_eq!(server.get(name).await.data["life_cycle_state"], "POSTED");
    }
    let list = server.list(json!({"token": token})).await;
    assert_eq!(list.data["customer_events_set"], json!([]));
    let named = json!({"token": token, "referred_accounts_receivable_identifier": {"number": "ACR01"}});
    server.list(named).await.assert_refused("AccountsReceivableNotFound");
}

async fn an_identifier_names_an_event_in_exactly_one_way(setup: Setup) {
    let server = Server::start(setup).await;
    let created = server.send(json!([event("1", "01", "02")])).await.processed().remove(0);
    let (id, number) = (&created["id"], &created["number"]);
    let not_one = [
        json!({"id": id, "number": number}),
        json!({"number": number, "external_system_reference_number": "R1"}),
        json!({"external_system": "till"}),
        json!({"id": id, "external_system": "till"}),
        json!({"number": number, "external_system": "till"}),
        json!({"number": " "}),
    ];
    for name in not_one {
        server.get(name.clone()).await.assert_refused("InvalidIdentifier");
        server.cancel(name).await.assert_refused("InvalidIdentifier");
    }
    let nothing = json!({"token": server.token});
    server.get_with(nothing.clone()).await.assert_refused("MissingMandatoryAttribute");
    server.cancel_with(nothing).await.assert_refused("MissingMandatoryAttribute");
    assert_eq!(server.get(json!({"number": number})).await.data["life_cycle_state"], "POSTED");
}

async fn an_identifier_that_is_none_is_refused_by_its_field(setup: Setup) {
    let server = Server::start(setup).await;
    server.send(json!([event("1", "01", "02")])).await.assert_outcome(&["1"], &[]);
    let long = "x".repeat(256);
    let invalid = [
        ("id", "1"),
        ("id", "01A209CF-93AF-710D-8F87-C9AEF7F642CB"),
        ("id", "G1A209CF93AF710D8F87C9AEF7F642CB"),
        ("number", "-1"),
        ("number", "1.0"),
        ("number", "1 "),
        ("number", "१"),
        ("external_system_reference_number", long.as_str()),
        ("external_system_reference_number", "a\0b"),
    ];
    for (field, value) in invalid {
        let answer = server.get(json!({field: value})).await;
        answer.assert_refused("InvalidAttributeValue");
        assert!(answer.message.contains(&format!("customer_event_identifier.{field}")), "{answer:?}");
    }
    let unknown = [
        ("id", "01A209CF93AF710D8F87C9AEF7F642CB"),
        ("number", "2"),
        ("number", "0"),
        ("number", "99999999999999999999999999"),
        ("external_system_reference_number", "R1"),
    ];
    for (field, value) in unknown {
        server.get(json!({field: value})).await.assert_refused("CustomerEventNotFound");
    }
}

async fn only_the_wanted_fields_are_answered(setup: Setup) {
    let server = Server::start(setup).await;
    server.send(json!([full().0])).await.assert_outcome(&["1"], &[]);
    let all = server.get(json!({"number": "1"})).await.data;
    let ask = async |fields_set: Value| {
        let request =
            json!({"token": server.token, "customer_event_identifier": {"number": "1"}, "fields_set": fields_set});
        let of_get = server.get_with(request).await;
        let of_list = server.list(json!({"fields_set": fields_set})).await;
        assert_eq!(of_get.code, of_list.code);
        if of_get.code == "OK" {
            assert_eq!(of_list.data["customer_events_set"], json!([of_get.data]));
        }
        of_get
    };
    for name in fields("CustomerEvent") {
        let expected = all.get(&name).map_or(json!({}), |value| json!({&name: value}));
        assert_eq!(ask(json!([name])).await.data, expected);
    }
    assert_eq!(
        ask(json!(["number, type", "id"])).await.data,
        json!({"id": all["id"], "number": "1", "type": "REFERRAL"})
    );
    assert_eq!(ask(json!([" , "])).await.data, all);
    for unknown in ["colour", "request_unique_identifier", "r#type"] {
        ask(json!(["id", unknown])).await.assert_refused("InvalidFieldsSet");
    }
}

async fn a_reader_may_look_back(setup: Setup) {
    let server = Server::start(setup).await;
    server.send(json!([event("1", "01", "02")])).await.assert_outcome(&["1"], &[]);
    let token = server.login("acme", "rita").await;
    let request = json!({"token": token, "customer_event_identifier": {"number": "1"}});
    assert_eq!(server.get_with(request.clone()).await.data["number"], "1");
    assert_eq!(server.list(json!({"token": token})).await.data["customer_events_set"][0]["number"], "1");
    server.cancel_with(request).await.assert_refused("AccessDenied");
    assert_eq!(server.get(json!({"number": "1"})).await.data["life_cycle_state"], "POSTED");
}

async fn the_query_names_the_event(setup: Setup) {
    let server = Server::start(setup).await;
    let mut event = event("1", "01", "02");
    event["external_system"] = json!("the till");
    event["external_system_reference_number"] = json!("A=1&b");
    server.send(json!([event])).await.assert_outcome(&["1"], &[]);
    let bearer = format!("Bearer {}", server.token);
    let queries = [
        "customer_event_identifier=number=1",
        "customer_event_identifier=number%3D1&fields_set=id,number",
        "&customer_event_identifier=number=1&&fields_set=id&fields_set=number",
        "customer_event_identifier=external_system_reference_number=A=1%26b&customer_event_identifier=external_system=the+till",
        "customer%5Fevent%5Fidentifier=external_system=the%20till&customer_event_identifier=external_system_reference_number=A%3D1%26b",
    ];
    for prefix in ["", "crmapi/rest/v2/"] {
        for query in queries {
            let path = format!("{prefix}customer_events/referrals/show?{query}");
            let by_header = server.call_rest(reqwest::Method::GET, &path, "", &[("authorization", &bearer)]).await;
            let (status, by_header) = envelope(by_header).await;
            assert_eq!((status, &by_header.data["number"]), (200, &json!("1")), "{query}");
            let path = format!("{path}&token={}", server.token);
            let by_query = envelope(server.call_rest(reqwest::Method::GET, &path, "", &[]).await).await.1;
            assert_eq!(by_query, by_header);
        }
    }
}

async fn a_query_that_cannot_be_read_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    server.send(json!([event("1", "01", "02")])).await.assert_outcome(&["1"], &[]);
    let bearer = format!("Bearer {}", server.token);
    let cases = [
        ("", "MissingMandatoryAttribute"),
        ("colour=red&customer_event_identifier=number=1", "UnknownAttribute"),
        ("customer_event_identifier=colour=red", "UnknownAttribute"),
        ("place_identifier=id=1", "UnknownAttribute"),
        ("customer_event_identifier=1", "MalformedRequest"),
        ("customer_event_identifier", "MalformedRequest"),
        ("customer_event_identifier=number=1&customer_event_identifier=number=1", "MalformedRequest"),
        ("customer_event_identifier=number=1&token=a&token=a", "MalformedRequest"),
        ("customer_event_identifier=number=%ff", "MalformedRequest"),
        ("%ff=1", "MalformedRequest"),
        ("customer_event_identifier=number=x", "InvalidAttributeValue"),
        ("customer_event_identifier=number=1&fields_set=colour", "InvalidFieldsSet"),
        ("customer_event_identifier=number=2", "CustomerEventNotFound"),
        ("customer_event_identifier=number=1&token=wrong", "InvalidToken"),
    ];
    for (query, code) in cases {
        let path = format!("customer_events/referrals/show?{query}");
        let response = server.call_rest(reqwest::Method::GET, &path, "", &[("authorization", &bearer)]).await;
        let (status, answer) = envelope(response).await;
        assert_eq!(answer.code, format!("{code}Exception"), "{query}");
        let expected = match code {
            "CustomerEventNotFound" => 404,
            "InvalidToken" => 401,
            _ => 400,
        };
        assert_eq!(status, expected, "{query}");
    }
}
