//! The directory as callers are told of it: rows of each kind by their names, and page by page.

use std::fmt::Write;

use referral_events::directory::DirectoryKind;
use serde_json::{Value, json};

use crate::support::{Server, Setup, Transport, directory_calls::rows, tests};

tests! {
    Both:
        a_row_is_shown_by_each_of_its_names,
        a_list_has_every_row_of_its_kind_in_the_order_in_which_they_came,
        a_list_has_the_rows_that_meet_its_filters,
        a_row_of_another_organisation_does_not_exist,
        what_cannot_be_meant_is_refused_by_its_field,
        a_page_token_is_of_its_list_alone,
        no_code_of_an_access_token_is_told,
        the_fields_that_are_wanted_are_answered_alone,
        a_page_reads_a_bounded_number_of_rows,
        a_party_is_shown_by_a_code_too_and_wrong_codes_count;
}

/// Each kind: the calls that show and list it, the attribute of its identifier, one of its rows in full, and by which
/// of its values it can be named.
fn kinds() -> Vec<(&'static str, &'static str, &'static str, Value, Vec<&'static str>)> {
    vec![
        (
            "GetBusinessUnit",
            "ListBusinessUnits",
            "business_unit_identifier",
            json!({"id": "BU1-ID", "code": "BU1", "name": "North"}),
            vec!["id", "code", "name"],
        ),
        (
            "GetUnit",
            "ListUnits",
            "unit_identifier",
            json!({"id": "U1-ID", "name": "Admin Unit", "alternative_code": "U1", "business_unit_code": "BU1"}),
            vec!["id", "name", "alternative_code"],
        ),
        (
            "GetTransactionAcquiringPoint",
            "ListTransactionAcquiringPoints",
            "tap_identifier",
            json!({"id": "TAP1-ID", "code": "TAP1", "name": "Till 1", "business_unit_code": "BU1",
                   "unit_alternative_code": "U1", "is_default": true}),
            vec!["id", "code", "name"],
        ),
        (
            "GetDevice",
            "ListDevices",
            "device_identifier",
            json!({"id": "DEV1-ID", "code": "DEV1", "unit_alternative_code": "U1"}),
            vec!["id", "code"],
        ),
        (
            "GetClassification",
            "ListClassifications",
            "classification_identifier",
            json!({"id": "CL1-ID", "name": "Friend", "alternative_code": "CL1"}),
            vec!["id", "name", "alternative_code"],
        ),
        (
            "GetAccountsReceivable",
            "ListAccountsReceivable",
            "accounts_receivable_identifier",
            json!({"id": "ACR51-ID", "number": "ACR51", "state": "SUSPENDED"}),
            vec!["id", "number"],
        ),
        (
            "GetParticipant",
            "ListParticipants",
            "rewards_participant_identifier",
            json!({"id": "RP53-ID", "number": "RP53", "state": "NOT_EFFECTIVE", "accounts_receivable_number": "ACR53"}),
            vec!["id", "number"],
        ),
        (
            "GetAccessToken",
            "ListAccessTokens",
            "access_token_identifier",
            json!({"id": "T25", "identifier": "t25@example.com", "state": "EFFECTIVE",
                   "effective_from": "2000-01-01T00:00:00Z", "effective_to": "9000-01-01T00:00:00Z",
                   "rewards_participant_number": "RP25", "one_time_password_expires_on": "2001-01-01T00:00:00Z"}),
            vec!["id", "identifier"],
        ),
    ]
}

async fn a_row_is_shown_by_each_of_its_names(setup: Setup) {
    let server = Server::start(setup).await;
    for (show, _, attribute, row, names) in kinds() {
        for name in names {
            let answer = server.show(show, json!({attribute: {name: row[name]}})).await;
            if show == "GetParticipant" {
                assert_eq!(answer.data["number"], "RP53", "{answer:?}");
            } else {
                assert_eq!(answer.data, row, "{show} by {name}: {answer:?}");
            }
        }
        // The fields of the identifier may stand in a query by themselves.
        if setup.transport == Transport::Rest {
            let path = crate::support::method(show).addresses().swap_remove(0).1;
            let id = row["id"].as_str().expect("an id");
            let bearer = format!("Bearer {}", server.token);
            let headers = [("authorization", bearer.as_str())];
            let response = server.call_rest(reqwest::Method::GET, &format!("{path}?id={id}"), "", &headers).await;
            assert_eq!(crate::support::envelope(response).await.1.data["id"], row["id"], "{path}");
        }
    }
}

async fn a_list_has_every_row_of_its_kind_in_the_order_in_which_they_came(setup: Setup) {
    let server = Server::start(setup).await;
    let expected: [(&str, &str, Vec<String>); 8] = [
        ("ListBusinessUnits", "code", vec!["BU1".into(), "BU2".into()]),
        ("ListUnits", "alternative_code", vec!["U1".into(), "U2".into(), "U3".into()]),
        ("ListTransactionAcquiringPoints", "code", vec!["TAP1".into(), "TAP2".into(), "TAPB".into()]),
        ("ListDevices", "code", vec!["DEV1".into(), "DEV3".into(), "DEV0".into()]),
        ("ListClassifications", "alternative_code", vec!["CL1".into()]),
        (
            "ListAccountsReceivable",
            "number",
            (1..=60).map(|n| format!("ACR{n:02}")).chain(["ACR70".to_owned()]).collect(),
        ),
        ("ListParticipants", "number", (1..=60).map(|n| format!("RP{n:02}")).collect()),
        ("ListAccessTokens", "identifier", (20..=26).map(|n| format!("t{n}@example.com")).collect()),
    ];
    for (list, code, expected) in expected {
        for number_of_results in [1, 2, 7, 60, 1000] {
            let (all, pages) = server.pages(list, &json!({"number_of_results": number_of_results})).await;
            let codes: Vec<&str> = all.iter().map(|row| row[code].as_str().expect("a code")).collect();
            assert_eq!(codes, expected, "{list}");
            assert_eq!(pages, expected.len().div_ceil(number_of_results), "{list} by {number_of_results}");
        }
        let row = kinds().into_iter().find(|(_, of, ..)| *of == list).expect("a kind").3;
        let (all, _) = server.pages(list, &json!({})).await;
        assert!(all.contains(&row), "{list} has no {row}: {all:?}");
    }
}

async fn a_list_has_the_rows_that_meet_its_filters(setup: Setup) {
    let server = Server::start(setup).await;
    server.import("acme", DirectoryKind::AccessTokens, "identifier,rewards_participant_number\nsecond,RP20\n").await;
    for (list, code, filter, expected) in [
        ("ListUnits", "alternative_code", json!({"business_unit_identifier": {"code": "BU1"}}), vec!["U1", "U2"]),
        ("ListUnits", "alternative_code", json!({"business_unit_identifier": {"name": "South"}}), vec!["U3"]),
        ("ListUnits", "alternative_code", json!({"business_unit_identifier": {"id": "BU2-ID"}}), vec!["U3"]),
        (
            "ListTransactionAcquiringPoints",
            "code",
            json!({"unit_identifier": {"name": "Admin Unit"}}),
            vec!["TAP1", "TAP2"],
        ),
        (
            "ListTransactionAcquiringPoints",
            "code",
            json!({"business_unit_identifier": {"code": "BU1"}}),
            vec!["TAP1", "TAPB"],
        ),
        (
            "ListTransactionAcquiringPoints",
            "code",
            json!({"business_unit_identifier": {"code": "BU1"}, "unit_identifier": {"alternative_code": "U1"}}),
            vec!["TAP1"],
        ),
        ("ListDevices", "code", json!({"unit_identifier": {"alternative_code": "U3"}}), vec!["DEV3"]),
        ("ListAccountsReceivable", "number", json!({"state": "SUSPENDED"}), vec!["ACR51"]),
        ("ListAccountsReceivable", "number", json!({"state": "TERMINATED"}), vec!["ACR52"]),
        ("ListParticipants", "number", json!({"state": "NOT_EFFECTIVE"}), vec!["RP53"]),
        ("ListAccessTokens", "identifier", json!({"state": "PENDING_VERIFICATION"}), vec!["t22@example.com"]),
        (
            "ListAccessTokens",
            "identifier",
            json!({"rewards_participant_identifier": {"number": "RP20"}}),
            vec!["t20@example.com", "second"],
        ),
        (
            "ListAccessTokens",
            "identifier",
            json!({"rewards_participant_identifier": {"id": "RP21-ID"}, "state": "EFFECTIVE"}),
            vec![],
        ),
        // What is empty filters nothing.
        ("ListDevices", "code", json!({"unit_identifier": {"name": ""}}), vec!["DEV1", "DEV3", "DEV0"]),
    ] {
        let (all, _) = server.pages(list, &filter).await;
        let codes: Vec<&str> = all.iter().map(|row| row[code].as_str().expect("a code")).collect();
        assert_eq!(codes, expected, "{list} {filter}");
    }
}

async fn a_row_of_another_organisation_does_not_exist(setup: Setup) {
    let server = Server::start(setup).await;
    let oscar = server.login("other", "oscar").await;
    for (show, list, attribute, row, names) in kinds() {
        for name in names {
            let answer = server.show(show, json!({"token": oscar, attribute: {name: row[name]}})).await;
            assert!(answer.code.ends_with("NotFoundException"), "{show} by {name}: {answer:?}");
        }
        let (all, _) = server.pages(list, &json!({"token": oscar})).await;
        assert!(!all.is_empty());
        assert!(!all.iter().any(|other| other["id"] == row["id"]), "{list}");
    }
    let filter = json!({"token": oscar, "unit_identifier": {"name": "Admin Unit"}});
    let answer = server.page("ListDevices", filter).await;
    answer.assert_refused("UnitNotFound");
}

async fn what_cannot_be_meant_is_refused_by_its_field(setup: Setup) {
    let server = Server::start(setup).await;
    for (show, list, attribute, ..) in kinds() {
        let answer = server.show(show, json!({})).await;
        answer.assert_refused("MissingMandatoryAttribute");
        assert!(answer.message.contains(attribute), "{answer:?}");
        if setup.transport == Transport::Grpc {
            server.show(show, json!({attribute: {}})).await.assert_refused("InvalidIdentifier");
        }
        let answer = server.show(show, json!({attribute: {"id": "x", second_name(show): "y"}})).await;
        answer.assert_refused("InvalidIdentifier");
        let answer = server.show(show, json!({attribute: {"id": "x".repeat(256)}})).await;
        answer.assert_refused("InvalidAttributeValue");
        assert!(answer.message.contains(&format!("{attribute}.id")), "{answer:?}");
        let answer = server.show(show, json!({attribute: {"id": "x"}, "fields_set": ["shoe_size"]})).await;
        answer.assert_refused("InvalidFieldsSet");
        for number_of_results in [0, 1001] {
            let answer = server.page(list, json!({"number_of_results": number_of_results})).await;
            answer.assert_refused("InvalidAttributeValue");
            assert!(answer.message.contains("number_of_results"), "{answer:?}");
        }
        server.page(list, json!({"fields_set": ["shoe_size"]})).await.assert_refused("InvalidFieldsSet");
        server.page(list, json!({"page_token": "x"})).await.assert_refused("InvalidPageToken");
    }
    for (list, states) in [
        ("ListAccountsReceivable", "ACTIVE, SUSPENDED, TERMINATED"),
        ("ListParticipants", "EFFECTIVE, NOT_EFFECTIVE"),
        ("ListAccessTokens", "EFFECTIVE, NOT_EFFECTIVE, PENDING_VERIFICATION"),
    ] {
        let answer = server.page(list, json!({"state": "OPEN"})).await;
        answer.assert_refused("InvalidAttributeValue");
        assert!(answer.message.contains(states), "{answer:?}");
    }
    let answer = server.page("ListUnits", json!({"business_unit_identifier": {"code": "BU9"}})).await;
    answer.assert_refused("BusinessUnitNotFound");
    assert!(answer.message.contains("BU9"), "{answer:?}");
}

fn second_name(show: &str) -> &'static str {
    kinds().into_iter().find(|(of, ..)| *of == show).expect("a kind").4[1]
}

async fn a_page_token_is_of_its_list_alone(setup: Setup) {
    let server = Server::start(setup).await;
    let page = |list: &'static str, request: Value| server.page(list, request);
    let first = page("ListUnits", json!({"number_of_results": 1})).await;
    let token = first.data["next_page_token"].clone();
    for (list, request) in [
        ("ListDevices", json!({})),
        ("ListUnits", json!({"business_unit_identifier": {"code": "BU1"}})),
        ("ListUnits", json!({"token": server.login("other", "oscar").await})),
    ] {
        let mut request = request.clone();
        request["page_token"] = token.clone();
        page(list, request).await.assert_refused("InvalidPageToken");
    }
    // How many are asked for is another matter.
    let second = page("ListUnits", json!({"page_token": token, "number_of_results": 2})).await;
    assert_eq!(rows(&second).len(), 2);
    assert!(second.data.get("next_page_token").is_none());
}

async fn no_code_of_an_access_token_is_told(setup: Setup) {
    let server = Server::start(setup).await;
    let (all, _) = server.pages("ListAccessTokens", &json!({})).await;
    let one = server.show("GetAccessToken", json!({"access_token_identifier": {"id": "T26"}})).await;
    let told = format!("{all:?}{one:?}");
    for secret in ["AUTH20", "2020", "020020", "AUTH26", "2626", "123456"] {
        assert!(!told.contains(secret), "{secret} is in {told}");
    }
    let hashes: Vec<String> = server.dump("access_tokens").await;
    for row in hashes {
        let row: Value = serde_json::from_str(&row).expect("JSON");
        for column in ["authentication_code_hash", "pass_code_hash", "one_time_password_hash"] {
            let hash = row[column].as_str().expect("a hash");
            assert!(!told.contains(hash), "{column} is told");
        }
    }
}

async fn the_fields_that_are_wanted_are_answered_alone(setup: Setup) {
    let server = Server::start(setup).await;
    let answer =
        server.show("GetUnit", json!({"unit_identifier": {"id": "U1-ID"}, "fields_set": ["name", "id"]})).await;
    assert_eq!(answer.data, json!({"id": "U1-ID", "name": "Admin Unit"}));
    let (all, _) = server.pages("ListUnits", &json!({"fields_set": ["alternative_code"]})).await;
    assert_eq!(
        all,
        [json!({"alternative_code": "U1"}), json!({"alternative_code": "U2"}), json!({"alternative_code": "U3"})]
    );
}

async fn a_page_reads_a_bounded_number_of_rows(setup: Setup) {
    let server = Server::start(setup).await;
    let mut accounts = String::from("number,state\n");
    for n in 0..45_000 {
        let state = if [10, 24_000, 44_999].contains(&n) { "TERMINATED" } else { "ACTIVE" };
        writeln!(accounts, "B{n:05},{state}").expect("a line");
    }
    server.import("acme", DirectoryKind::AccountsReceivable, accounts).await;
    let (all, pages) = server.pages("ListAccountsReceivable", &json!({"state": "TERMINATED"})).await;
    let numbers: Vec<&str> = all.iter().map(|row| row["number"].as_str().expect("a number")).collect();
    assert_eq!(numbers, ["ACR52", "B00010", "B24000", "B44999"]);
    assert_eq!(pages, 3);
    let (all, pages) = server.pages("ListAccountsReceivable", &json!({"number_of_results": 1000})).await;
    assert_eq!((all.len(), pages), (45_061, 46));
}

async fn a_party_is_shown_by_a_code_too_and_wrong_codes_count(setup: Setup) {
    if setup.transport == Transport::Rest {
        // A query has no room for an object within an object.
        return;
    }
    let server = Server::start_with(setup, crate::support::guessing::strict()).await;
    let by = |code: &str| json!({"rewards_participant_identifier": {"access_token_identifier": {"authentication_code": code}}});
    assert_eq!(server.show("GetParticipant", by("AUTH20")).await.data["number"], "RP20");
    let mut answers = Vec::new();
    for n in 0..20 {
        answers.push(server.show("GetParticipant", by(&format!("wrong {n}"))).await.code);
    }
    assert_eq!(answers[0], "InvalidAccessTokenException");
    assert_eq!(answers[19], "TooManyRequestsException");
}
