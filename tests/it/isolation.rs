//! Two organisations in one database: what belongs to the one does not exist for the other.

use chrono::Utc;
use referral_events::{
    auth::password,
    directory::DirectoryKind,
    id::OrganisationId,
    secret::Secret,
    storage::{entity::user, users},
};
use serde_json::{Value, json};

use crate::support::{Answer, EVENT_FIELDS, Server, Setup, event, tests};

tests! {
    Both:
        what_belongs_to_another_organisation_does_not_exist,
        an_access_token_of_another_organisation_identifies_nobody,
        equal_codes_lead_each_organisation_to_its_own_rows,
        equal_external_references_of_two_organisations_do_not_meet,
        each_organisation_counts_from_one,
        users_of_the_same_name_log_in_to_their_own_organisation,
        a_token_reaches_its_organisation_alone;
}

/// A good event of organisation `other`.
fn event_of_other(identifier: &str, referred: &str, referrer: &str) -> Value {
    let mut event = event(identifier, referred, referrer);
    event["performed_by_unit_identifier"] = json!({"name": "XAdmin Unit"});
    event["referred_rewards_participant_identifier"] = json!({"number": format!("XRP{referred}")});
    event["referred_by_rewards_participant_identifier"] = json!({"number": format!("XRP{referrer}")});
    event
}

async fn send_as_other(server: &Server, events: Value) -> Answer {
    let token = server.login("other", "oscar").await;
    server.bulk(json!({"token": token, "referral_customer_events_set": events, "fields_set": EVENT_FIELDS})).await
}

/// Puts an identifier into an event, in place of the one that says the same in another way.
fn put(event: &mut Value, attribute: &str, identifier: Value) {
    let replaced = if attribute.starts_with("performed_by_") {
        "performed_by_unit_identifier".to_owned()
    } else {
        attribute.replace("accounts_receivable", "rewards_participant")
    };
    event.as_object_mut().expect("an object").remove(&replaced);
    event[attribute] = identifier;
}

/// Each field by which `other` may name one of its rows: the attribute, the identifier, and what it is for acme.
fn names_of_other() -> Vec<(String, Value, &'static str)> {
    let places = [
        (
            "performed_by_business_unit_identifier",
            [("id", "XBU2-ID"), ("name", "XSouth"), ("code", "XBU2")],
            "BusinessUnit",
        ),
        ("performed_by_unit_identifier", [("id", "XU3-ID"), ("name", "XKiosk"), ("alternative_code", "XU3")], "Unit"),
        (
            "performed_by_tap_identifier",
            [("id", "XTAP2-ID"), ("name", "XTill 2"), ("code", "XTAP2")],
            "TransactionAcquiringPoint",
        ),
        ("performed_by_device_identifier", [("id", "XDEV1-ID"), ("id", "XDEV3-ID"), ("code", "XDEV3")], "Device"),
        (
            "classification_identifier",
            [("id", "XCL1-ID"), ("name", "XFriend"), ("alternative_code", "XCL1")],
            "CustomerEventClassification",
        ),
    ];
    let not_found = |kind: &str| match kind {
        "BusinessUnit" => "BusinessUnitNotFound",
        "Unit" => "UnitNotFound",
        "TransactionAcquiringPoint" => "TransactionAcquiringPointNotFound",
        "Device" => "DeviceNotFound",
        _ => "CustomerEventClassificationNotFound",
    };
    let mut names = Vec::new();
    for (attribute, fields, kind) in places {
        for (field, value) in fields {
            names.push((attribute.to_owned(), json!({field: value}), not_found(kind)));
        }
    }
    for (role, digits) in [("referred", "30"), ("referred_by", "31")] {
        for (field, value) in [("id", "XACR-ID"), ("id", "XRP-ID"), ("number", "XACR"), ("number", "XRP")] {
            let value = value.replace("XACR", &format!("XACR{digits}")).replace("XRP", &format!("XRP{digits}"));
            let is_account = value.contains("ACR");
            let identifier = json!({field: value});
            let account = format!("{role}_accounts_receivable_identifier");
            names.push((account, identifier.clone(), "AccountsReceivableNotFound"));
            if !is_account {
                let participant = format!("{role}_rewards_participant_identifier");
                names.push((participant, identifier, "RewardsParticipantNotFound"));
            }
        }
    }
    names
}

async fn what_belongs_to_another_organisation_does_not_exist(setup: Setup) {
    let server = Server::start(setup).await;
    let names = names_of_other();
    assert_eq!(names.len(), 27);
    let (mut of_acme, mut of_other, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for (n, (attribute, identifier, code)) in names.iter().enumerate() {
        let (name, digits) = (n.to_string(), format!("{:02}", n + 1));
        let mut as_acme = event(&name, &digits, "60");
        put(&mut as_acme, attribute, identifier.clone());
        of_acme.push(as_acme);
        let mut as_other = event_of_other(&name, &digits, "60");
        put(&mut as_other, attribute, identifier.clone());
        of_other.push(as_other);
        expected.push((name, (*code).to_owned()));
    }
    let answer = server.send(json!(of_acme)).await;
    assert_eq!(answer.failures(), expected);
    assert_eq!(answer.processed_identifiers(), Vec::<String>::new());
    for (event, (_, identifier, _)) in answer.unprocessed().iter().zip(&names) {
        // The answer has no more of the row than the caller gave.
        let value = identifier.as_object().and_then(|fields| fields.values().next()).and_then(Value::as_str);
        assert!(event["error_description"].as_str().expect("a text").contains(value.expect("a text")), "{event}");
    }
    assert!(server.stored_events().await.is_empty());
    // They do exist, for their own. The forms of one referred party are one referral.
    let failures = send_as_other(&server, json!(of_other)).await.failures();
    assert!(failures.iter().all(|(_, code)| code == "ReferralAlreadyExists"), "{failures:?}");
    assert_eq!(failures.len(), 5);
}

async fn an_access_token_of_another_organisation_identifies_nobody(setup: Setup) {
    let server = Server::start(setup).await;
    let tokens = [
        json!({"authentication_code": "XAUTH20"}),
        json!({"identifier": "Xt20@example.com", "pass_code": "2020"}),
        json!({"one_time_password": "654321"}),
    ];
    let attributes = ["accounts_receivable", "rewards_participant"]
        .map(|kind| ["referred", "referred_by"].map(|role| format!("{role}_{kind}_identifier")))
        .concat();
    let (mut of_acme, mut expected) = (Vec::new(), Vec::new());
    for (n, attribute) in attributes.iter().enumerate() {
        for (m, token) in tokens.iter().enumerate() {
            let name = format!("{n} {m}");
            let mut event = event(&name, &format!("{:02}", 3 * n + m + 1), "60");
            put(&mut event, attribute, json!({"access_token_identifier": token}));
            of_acme.push(event);
            expected.push((name, "InvalidAccessToken".to_owned()));
        }
    }
    let answer = server.send(json!(of_acme)).await;
    assert_eq!(answer.failures(), expected);
    assert!(server.stored_events().await.is_empty());

    let of_other: Vec<Value> = (1..)
        .zip(tokens)
        .map(|(n, token)| {
            let mut event = event_of_other(&n.to_string(), &format!("{n:02}"), "60");
            put(&mut event, "referred_by_accounts_receivable_identifier", json!({"access_token_identifier": token}));
            event
        })
        .collect();
    send_as_other(&server, json!(of_other)).await.assert_outcome(&["1", "2", "3"], &[]);
}

async fn equal_codes_lead_each_organisation_to_its_own_rows(setup: Setup) {
    let server = Server::start(setup).await;
    // Each organisation counts its rows by itself; one more in front makes the keys of the others differ.
    for (organisation, more) in [("acme", ""), ("other", "MORE\n")] {
        let rows = format!("alternative_code\n{more}SAME\n");
        server.import(organisation, DirectoryKind::Units, rows).await;
        let rows = format!("number\n{more}SAME1\nSAME2\n");
        server.import(organisation, DirectoryKind::AccountsReceivable, rows).await;
    }
    let same = json!([{
        "request_unique_identifier": "1",
        "performed_by_unit_identifier": {"alternative_code": "SAME"},
        "performed_on": "2016-06-22T15:00:00",
        "referred_accounts_receivable_identifier": {"number": "SAME1"},
        "referred_by_accounts_receivable_identifier": {"number": "SAME2"},
    }]);
    server.send(same.clone()).await.assert_outcome(&["1"], &[]);
    send_as_other(&server, same).await.assert_outcome(&["1"], &[]);
    let stored = server.stored_events().await;
    let [first, second] = &stored[..] else { panic!("{stored:?}") };
    let (of_acme, of_other) =
        if first.organisation_id < second.organisation_id { (first, second) } else { (second, first) };
    let unit = server.key(DirectoryKind::Units, "SAME").await;
    let account = server.key(DirectoryKind::AccountsReceivable, "SAME1").await;
    assert_eq!((of_acme.performed_by_unit_key, of_acme.referred_account_key), (Some(unit), account));
    assert!(of_other.performed_by_unit_key.is_some_and(|key| key != unit));
    assert_ne!(of_other.referred_account_key, account);
}

async fn equal_external_references_of_two_organisations_do_not_meet(setup: Setup) {
    let server = Server::start(setup).await;
    let mut of_acme = event("1", "01", "02");
    let mut of_other = event_of_other("1", "03", "04");
    for event in [&mut of_acme, &mut of_other] {
        event["external_system"] = json!("shop");
        event["external_system_reference_number"] = json!("R1");
    }
    let first = server.send(json!([of_acme])).await;
    first.assert_outcome(&["1"], &[]);
    let second = send_as_other(&server, json!([of_other])).await;
    second.assert_outcome(&["1"], &[]);
    assert_ne!(first.processed()[0]["id"], second.processed()[0]["id"]);
    assert_eq!(server.send(json!([of_acme])).await, first);
    assert_eq!(send_as_other(&server, json!([of_other])).await, second);
    assert_eq!(server.stored_events().await.len(), 2);
}

async fn each_organisation_counts_from_one(setup: Setup) {
    let server = Server::start(setup).await;
    let numbers =
        |answer: Answer| -> Vec<Value> { answer.processed().iter().map(|event| event["number"].clone()).collect() };
    let answer = server.send(json!([event("1", "01", "02"), event("2", "03", "02"), event("3", "04", "02")])).await;
    assert_eq!(numbers(answer), ["1", "2", "3"]);
    let answer =
        send_as_other(&server, json!([event_of_other("1", "01", "02"), event_of_other("2", "03", "02")])).await;
    assert_eq!(numbers(answer), ["1", "2"]);
    assert_eq!(numbers(server.send(json!([event("1", "05", "02")])).await), ["4"]);
    assert_eq!(numbers(send_as_other(&server, json!([event_of_other("1", "05", "02")])).await), ["3"]);
}

async fn users_of_the_same_name_log_in_to_their_own_organisation(setup: Setup) {
    let server = Server::start(setup).await;
    for (organisation, password) in [("acme", "one"), ("other", "two")] {
        let found = users::find_organisation(server.database.reader(), organisation).await.expect("a look-up");
        let twin = user::Model {
            organisation_id: found.expect("an organisation").id,
            // Even their ids are the same.
            id: "twin".to_owned(),
            name: "twin".to_owned(),
            password_hash: password::hash(Secret::new(password)).await.expect("a hash"),
            role: if organisation == "acme" { "caller" } else { "reader" }.to_owned(),
            default_unit_id: None,
            created_on: Utc::now(),
            disabled_on: None,
            token_generation: 0,
        };
        users::add_user(server.database.writer(), twin).await.expect("a user");
    }
    let login = async |organisation: &str, password: &str| {
        let request = json!({"organisation": organisation, "username": "twin", "password": password});
        server.create_token(request).await
    };
    login("acme", "two").await.assert_refused("InvalidCredentials");
    login("other", "one").await.assert_refused("InvalidCredentials");
    let of_acme = login("acme", "one").await.data["token"].clone();
    let of_other = login("other", "two").await.data["token"].clone();
    // Each has the role of its own organisation.
    let call = |token: &Value| json!({"token": token, "referral_customer_events_set": [event("1", "01", "02")]});
    server.bulk(call(&of_other)).await.assert_refused("AccessDenied");
    server.bulk(call(&of_acme)).await.assert_outcome(&["1"], &[]);
    // The one's release leaves the other's token alone.
    assert_eq!(server.release_token(json!({"token": of_acme})).await.code, "OK");
    server.bulk(call(&of_acme)).await.assert_refused("InvalidToken");
    server.bulk(call(&of_other)).await.assert_refused("AccessDenied");
}

async fn a_token_reaches_its_organisation_alone(setup: Setup) {
    let server = Server::start(setup).await;
    let token = server.login("other", "carla").await;
    let both = json!([event("of acme", "01", "02"), event_of_other("of other", "01", "02")]);
    let answer = server.bulk(json!({"token": token, "referral_customer_events_set": both.clone()})).await;
    answer.assert_outcome(&["of other"], &[("of acme", "UnitNotFound")]);
    server.send(both).await.assert_outcome(&["of acme"], &[("of other", "UnitNotFound")]);
    let organisations: Vec<OrganisationId> =
        server.stored_events().await.iter().map(|event| event.organisation_id).collect();
    assert_eq!(organisations.len(), 2);
    assert_ne!(organisations[0], organisations[1]);
}
