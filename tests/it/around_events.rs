//! What is around the events: the token, the call's own attributes, queries and paths. Each mistake is answered with what
//! mends it, and what can be meant in one way only is read that way.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Server, Setup, envelope, event, tests};

tests! {
    Both:
        each_way_a_token_is_wrong_has_its_sentence,
        a_token_says_how_long_it_is_valid,
        of_several_attributes_that_would_do_all_are_named,
        values_in_sentences_are_quoted_unless_they_are_words;
    Rest:
        a_header_that_has_no_token_says_so,
        the_answer_to_a_login_is_kept_by_nobody,
        an_attribute_that_cannot_be_read_says_what_is_expected,
        a_name_that_does_not_exist_leads_to_the_right_one,
        an_identifier_that_is_a_number_is_answered_as_it_was_written,
        an_event_without_a_name_is_told_by_its_place,
        numbers_flags_and_empty_objects_are_read_as_they_are_meant,
        a_body_may_be_empty_or_begin_with_a_mark_of_its_encoding,
        what_is_refused_beside_events_is_not_called_an_event,
        an_event_is_shown_by_any_form_of_its_identifier,
        a_query_is_read_or_refused_and_never_passed_over,
        paths_with_slashes_and_escapes_too_many_reach_their_method;
}

const BULK: &str = "customer_events/bulk/referrals/create";
const CREATE: &str = "customer_events/referrals/create";
const LIST: &str = "customer_events/referrals/list";
const SHOW: &str = "customer_events/referrals/show";

async fn each_way_a_token_is_wrong_has_its_sentence(setup: Setup) {
    let server = Server::start(setup).await;
    let call = async |token: Value| server.bulk(json!({"token": token})).await;
    let told = |answer: Answer| {
        answer.assert_refused("InvalidToken");
        answer.message
    };
    let needed = "A token is needed, in the header authorization: Bearer … or in the attribute token.";
    assert_eq!(told(call(json!(null)).await), needed);
    assert_eq!(told(call(json!("")).await), needed);
    let not_ours = "The token is malformed, or was not issued by this service.";
    let forged = format!("{}x", server.token);
    for token in ["nonsense", forged.as_str()] {
        assert_eq!(told(call(json!(token)).await), not_ours);
    }
    let token = server.login("acme", "adam").await;
    assert_eq!(server.release_token(json!({"token": token})).await.code, "OK");
    assert_eq!(
        told(call(json!(token)).await),
        "The token was released, or its user was disabled, changed or removed; log in again."
    );
    let token = server.login("acme", "adam").await;
    server.advance(Duration::from_secs(3 * 3600));
    let message = told(call(json!(token)).await);
    assert!(message.starts_with("The token expired on 20") && message.ends_with("Z; take a new one."), "{message}");
}

async fn a_header_that_has_no_token_says_so(setup: Setup) {
    let server = Server::start(setup).await;
    let other = server.login("acme", "adam").await;
    let call = async |headers: &[(&str, &str)], body: Value| {
        let response = server.call_rest(Method::POST, BULK, &body.to_string(), headers).await;
        let (status, answer) = envelope(response).await;
        assert_eq!((status, answer.code.as_str()), (401, "InvalidTokenException"));
        answer.message
    };
    for value in ["Basic eDp5", "Bearer", server.token.as_str()] {
        let message = call(&[("authorization", value)], json!({})).await;
        assert_eq!(message, "The header authorization is not of the form Bearer ….");
    }
    let bearer = format!("Bearer {}", server.token);
    let twice = [("authorization", bearer.as_str()), ("authorization", bearer.as_str())];
    assert_eq!(call(&twice, json!({})).await, "The header authorization is given more than once.");
    let message = call(&twice[..1], json!({"token": other})).await;
    assert_eq!(message, "The header authorization and the attribute token have two different tokens.");
}

async fn a_token_says_how_long_it_is_valid(setup: Setup) {
    let server = Server::start(setup).await;
    let credentials = json!({"organisation": "acme", "username": "carla", "password": "carla"});
    let answer = server.call(&crate::support::method("CreateToken"), credentials, &[]).await;
    assert_eq!(answer.data["expires_in"], json!(7200), "{answer:?}");
}

async fn the_answer_to_a_login_is_kept_by_nobody(setup: Setup) {
    let server = Server::start(setup).await;
    for password in ["carla", "wrong"] {
        let credentials = json!({"organisation": "acme", "username": "carla", "password": password});
        let response = server.call_rest(Method::POST, "authentication/token", &credentials.to_string(), &[]).await;
        assert_eq!(response.headers()["cache-control"], "no-store");
    }
}

async fn of_several_attributes_that_would_do_all_are_named(setup: Setup) {
    let server = Server::start(setup).await;
    let mut nowhere = event("1", "01", "02");
    nowhere.as_object_mut().expect("an object").retain(|name, _| !name.starts_with("performed_by"));
    let mut nobody = event("2", "03", "04");
    nobody.as_object_mut().expect("an object").retain(|name, _| !name.starts_with("referred_by"));
    let answer = server.send(json!([nowhere, nobody])).await;
    answer.assert_outcome(&[], &[("1", "MissingMandatoryAttribute"), ("2", "MissingMandatoryAttribute")]);
    let described = |n: usize| answer.unprocessed()[n]["error_description"].as_str().expect("a text").to_owned();
    assert!(
        described(0).ends_with(
            "Description:One of the attributes performed_by_business_unit_identifier, performed_by_unit_identifier, \
             performed_by_tap_identifier and performed_by_device_identifier is mandatory."
        ),
        "{}",
        described(0)
    );
    assert!(
        described(1).ends_with(
            "Description:One of the attributes referred_by_accounts_receivable_identifier and \
             referred_by_rewards_participant_identifier is mandatory."
        ),
        "{}",
        described(1)
    );
}

async fn values_in_sentences_are_quoted_unless_they_are_words(setup: Setup) {
    let server = Server::start(setup).await;
    let events: Vec<Value> = (1..)
        .zip(["Admin Unit ", "Nowhere", "a\tb", "Ωμέγα-7"])
        .map(|(n, unit)| {
            let mut event = event(&n.to_string(), &format!("{n:02}"), "60");
            event["performed_by_unit_identifier"] = json!({"name": unit});
            event
        })
        .collect();
    let answer = server.send(json!(events)).await;
    let told: Vec<String> = answer
        .unprocessed()
        .iter()
        .map(|event| {
            event["error_description"].as_str().and_then(|text| text.split(" - ").next()).expect("a text").to_owned()
        })
        .collect();
    let expected = [
        "Error:Unit \"Admin Unit \" Was Not Found.",
        "Error:Unit Nowhere Was Not Found.",
        "Error:Unit \"a\\tb\" Was Not Found.",
        "Error:Unit Ωμέγα-7 Was Not Found.",
    ];
    assert_eq!(told, expected);
}

async fn post(server: &Server, path: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {}", server.token);
    let headers = [("authorization", bearer.as_str())];
    envelope(server.call_rest(Method::POST, path, body, &headers).await).await.1
}

async fn an_attribute_that_cannot_be_read_says_what_is_expected(setup: Setup) {
    let server = Server::start(setup).await;
    for (path, body, expected) in [
        (
            BULK,
            r#"{"referral_customer_events_set": 1}"#,
            "referral_customer_events_set cannot be read: a set of events is expected.",
        ),
        (
            BULK,
            r#"{"referral_customer_events_set": {}}"#,
            "referral_customer_events_set cannot be read: a set of events is expected.",
        ),
        (BULK, r#"{"validate_only": "yes"}"#, "validate_only cannot be read: true or false is expected."),
        (
            BULK,
            r#"{"validate_only": true, "validate_only": true}"#,
            "validate_only cannot be read: the attribute is given more than once.",
        ),
        (BULK, r#"{"fields_set": 1}"#, "fields_set cannot be read: a text or an array of texts is expected."),
        (BULK, r#"{"token": 1}"#, "token cannot be read: a text is expected."),
        (LIST, r#"{"number_of_results": "many"}"#, "number_of_results cannot be read: a whole number is expected."),
        (LIST, r#"{"number_of_results": 10.5}"#, "number_of_results cannot be read: a whole number is expected."),
        (LIST, r#"{"number_of_results": -1}"#, "number_of_results cannot be read: a whole number is expected."),
        (
            LIST,
            r#"{"performed_on_from": "yesterday"}"#,
            "performed_on_from cannot be read: a date and time is expected, such as 2016-06-22T15:00:00",
        ),
        (
            LIST,
            r#"{"performed_by_unit_identifier": "x"}"#,
            "performed_by_unit_identifier cannot be read: an object is expected.",
        ),
    ] {
        let answer = post(&server, path, body).await;
        answer.assert_refused("MalformedRequest");
        assert!(answer.message.starts_with(&format!("The attribute {expected}")), "{body}: {}", answer.message);
    }
}

async fn a_name_that_does_not_exist_leads_to_the_right_one(setup: Setup) {
    let server = Server::start(setup).await;
    for (path, body, expected) in [
        (
            BULK,
            r#"{"referral_customer_event_set": []}"#,
            "does not exist; perhaps referral_customer_events_set is meant",
        ),
        (BULK, r#"{"validateOnly": true}"#, "does not exist; perhaps validate_only is meant"),
        (
            BULK,
            r#"{"performed_on": "2016-06-22T15:00:00"}"#,
            "does not exist; it belongs one level down, as in referral_customer_events_set.",
        ),
        (BULK, r#"{"colour": "red"}"#, "The attribute colour does not exist; what there is here is token, "),
        (LIST, r#"{"performedOnFrom": 1}"#, "does not exist; perhaps performed_on_from is meant"),
    ] {
        let answer = post(&server, path, body).await;
        answer.assert_refused("UnknownAttribute");
        assert!(answer.message.contains(expected), "{body}: {}", answer.message);
    }
    let answer = post(&server, BULK, r#"{"referral_customer_events_set": [{}], "fields_set": "errorcode"}"#).await;
    answer.assert_refused("InvalidFieldsSet");
    assert!(answer.message.ends_with("; perhaps error_code is meant."), "{}", answer.message);

    for (name, value, expected) in [
        (
            "referred_account_receivable_identifier",
            json!({}),
            "perhaps referred_accounts_receivable_identifier is meant",
        ),
        ("performedOn", json!("x"), "perhaps performed_on is meant"),
        ("all_or_nothing", json!(true), "it belongs one level up"),
        (
            "access_token_identifier",
            json!({}),
            "it belongs one level down, as in referred_accounts_receivable_identifier",
        ),
        ("colour", json!("red"), "The attribute does not exist."),
    ] {
        let mut event = event("1", "01", "02");
        event[name] = value;
        let answer = server.send(json!([event])).await;
        answer.assert_outcome(&[], &[("1", "UnknownAttribute")]);
        let described = answer.unprocessed()[0]["error_description"].as_str().expect("a text").to_owned();
        assert!(described.contains(expected), "{described}");
    }
    let mut event = event("1", "01", "02");
    event["performed_by_unit_identifier"] = json!({"name": "Admin Unit", "performed_on": "2016-06-22T15:00:00"});
    let answer = server.send(json!([event])).await;
    let described = answer.unprocessed()[0]["error_description"].as_str().expect("a text").to_owned();
    assert!(described.contains("performed_by_unit_identifier.performed_on Does Not Exist"), "{described}");
    assert!(described.contains("it belongs one level up"), "{described}");
}

async fn an_identifier_that_is_a_number_is_answered_as_it_was_written(setup: Setup) {
    let server = Server::start(setup).await;
    let good = event("1", "01", "02").to_string();
    for written in ["125", "1e3", "-0.10", "12345678901234567890", "true"] {
        let body =
            good.replace(r#""request_unique_identifier":"1""#, &format!(r#""request_unique_identifier":{written}"#));
        let answer = post(&server, BULK, &format!(r#"{{"referral_customer_events_set": [{body}]}}"#)).await;
        answer.assert_outcome(&[], &[(written, "MalformedEvent")]);
    }
}

async fn an_event_without_a_name_is_told_by_its_place(setup: Setup) {
    let server = Server::start(setup).await;
    let mut unnamed = event("1", "01", "02");
    unnamed.as_object_mut().expect("an object").remove("request_unique_identifier");
    let body = json!({"referral_customer_events_set": [event("1", "03", "04"), unnamed, "no event"]});
    let answer = post(&server, BULK, &body.to_string()).await;
    let places: Vec<&Value> =
        answer.data["unprocessed_customer_events_set"].as_array().expect("a set").iter().collect();
    assert_eq!([&places[0]["index"], &places[1]["index"]], [&json!(1), &json!(2)]);
    assert_eq!(answer.processed()[0].get("index"), None, "{answer:?}");
}

async fn numbers_flags_and_empty_objects_are_read_as_they_are_meant(setup: Setup) {
    let server = Server::start(setup).await;
    server.send(json!([event("1", "01", "02"), event("2", "03", "04")])).await.assert_outcome(&["1", "2"], &[]);
    for body in [
        r#"{"number_of_results": "1"}"#,
        r#"{"number_of_results": 1.0}"#,
        r#"{"number_of_results": 1, "performed_by_unit_identifier": {}, "external_system": ""}"#,
        r#"{"number_of_results": 1, "performed_by_unit_identifier": [], "referred_rewards_participant_identifier": []}"#,
        r#"{"number_of_results": 1, "performed_by_unit_identifier": {"name": ""}}"#,
        r#"{"number_of_results": 1, "referred_by_accounts_receivable_identifier": {"number": " "}}"#,
    ] {
        let answer = post(&server, LIST, body).await;
        assert_eq!(answer.code, "OK", "{body}: {answer:?}");
        assert_eq!(answer.data["customer_events_set"].as_array().map(Vec::len), Some(1), "{body}");
    }
    let list = post(&server, LIST, "[]").await;
    assert_eq!(list.data["customer_events_set"].as_array().map(Vec::len), Some(2));
    let body = json!({"validate_only": "true", "referral_customer_events_set": [event("3", "05", "06")]});
    post(&server, BULK, &body.to_string()).await.assert_outcome(&["3"], &[]);
    assert_eq!(server.stored_events().await.len(), 2);
    // In an event an identifier that names nothing is a mistake.
    let mut nobody = event("4", "07", "08");
    nobody["performed_by_unit_identifier"] = json!([]);
    server.send(json!([nobody])).await.assert_outcome(&[], &[("4", "InvalidIdentifier")]);
}

async fn a_body_may_be_empty_or_begin_with_a_mark_of_its_encoding(setup: Setup) {
    let server = Server::start(setup).await;
    let list = post(&server, LIST, "").await;
    assert_eq!(list.code, "OK", "{list:?}");
    post(&server, BULK, " \n").await.assert_refused("MissingMandatoryAttribute");
    let body = json!({"referral_customer_events_set": [event("1", "01", "02")]});
    post(&server, BULK, &format!("\u{feff}{body}")).await.assert_outcome(&["1"], &[]);
    let answer = post(&server, "authentication/token/release", "").await;
    assert_eq!(answer.code, "OK", "{answer:?}");
}

async fn what_is_refused_beside_events_is_not_called_an_event(setup: Setup) {
    let server = Server::start(setup).await;
    let bearer = format!("Bearer {}", server.token);
    let headers = [("authorization", bearer.as_str())];
    for (body, description) in [
        (r#"{"life_cycle_state": "x"}"#, "Invalid attribute value"),
        (r#"{"performed_by_unit_identifier": {"name": "Nowhere"}}"#, "Unit not found"),
        (r#"{"performed_by_unit_identifier": {"name": "a", "id": "b"}}"#, "Invalid identifier"),
    ] {
        let response = server.call_rest(Method::POST, LIST, body, &headers).await;
        let answer: Value = response.json().await.expect("JSON");
        assert_eq!(answer["status"]["description"], description, "{answer}");
    }
}

async fn an_event_is_shown_by_any_form_of_its_identifier(setup: Setup) {
    let server = Server::start(setup).await;
    server.send(json!([event("1", "01", "02")])).await.assert_outcome(&["1"], &[]);
    let bearer = format!("Bearer {}", server.token);
    let headers = [("authorization", bearer.as_str())];
    for query in [
        "customer_event_identifier=number=1",
        "customer_event_identifier.number=1",
        "customer_event_identifier%2Enumber=1",
        "number=1",
        "number=1&fields_set=number",
    ] {
        let answer = envelope(server.call_rest(Method::GET, &format!("{SHOW}?{query}"), "", &headers).await).await.1;
        assert_eq!(answer.data["number"], "1", "{query}: {answer:?}");
    }
    let twice = "number=1&customer_event_identifier.number=1";
    let answer = envelope(server.call_rest(Method::GET, &format!("{SHOW}?{twice}"), "", &headers).await).await.1;
    answer.assert_refused("MalformedRequest");
}

async fn a_query_is_read_or_refused_and_never_passed_over(setup: Setup) {
    let server = Server::start(setup).await;
    let event_of = |digits: &str| event("1", digits, "60").to_string();
    let answer = post(&server, &format!("{CREATE}?validate_only=true"), &event_of("01")).await;
    assert_eq!(answer.code, "OK", "{answer:?}");
    assert!(server.stored_events().await.is_empty(), "a rehearsal creates nothing");
    let answer = post(&server, &format!("{CREATE}?fields_set=number&validate_only=false"), &event_of("01")).await;
    assert_eq!(answer.data, json!({"number": "1"}));
    let both = event_of("03").replacen('{', r#"{"validate_only": true, "#, 1);
    post(&server, &format!("{CREATE}?validate_only=true"), &both).await.assert_refused("MalformedRequest");
    post(&server, &format!("{CREATE}?colour=red"), &event_of("03")).await.assert_refused("UnknownAttribute");
    for path in [BULK, LIST, "authentication/token", "customer_events/referrals/cancel"] {
        let answer = post(&server, &format!("{path}?validate_only=true"), "{}").await;
        answer.assert_refused("MalformedRequest");
        assert_eq!(answer.message, "The method reads no query; its attributes belong in the body.");
    }
    assert_eq!(server.stored_events().await.len(), 1);
}

async fn paths_with_slashes_and_escapes_too_many_reach_their_method(setup: Setup) {
    let server = Server::start(setup).await;
    let paths = [
        "customer_events/bulk/referrals/create/",
        "/customer_events//bulk/referrals/create",
        "customer%5Fevents/bulk/referrals/create",
        "crmapi/rest/v2/customer_events/bulk/referrals/create/",
        "crmapi/rest/v2//customer%5fevents/bulk/referrals/create//",
    ];
    for (n, path) in (1..).zip(paths) {
        let digits = format!("{n:02}");
        let body = json!({"referral_customer_events_set": [event(&digits, &digits, "60")]});
        post(&server, path, &body.to_string()).await.assert_outcome(&[&digits], &[]);
    }
    for path in ["customer_events/bulk/referrals/create/x", "customer_events/referrals/create%3Fvalidate_only=true"] {
        post(&server, path, "{}").await.assert_refused("NotFound");
    }
    let bearer = format!("Bearer {}", server.token);
    let shown = server.call_rest(Method::GET, &format!("{SHOW}/?number=1"), "", &[("authorization", &bearer)]).await;
    assert_eq!(envelope(shown).await.1.data["number"], "1");
}
