//! Every answer of the REST surface is the documented envelope, whatever was sent.

use std::collections::HashSet;

use referral_events::{config::Config, contract::MAXIMUM_REQUEST_SIZE};
use reqwest::Method;
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::support::{Answer, Server, Setup, envelope, event, methods, tests};

tests! {
    Rest:
        both_prefixes_serve_the_same_calls,
        an_unknown_path_is_not_found,
        a_wrong_method_is_told_the_right_one,
        a_body_that_is_no_json_is_refused_by_line_and_column,
        a_body_that_is_no_object_is_refused,
        attributes_of_the_call_of_the_wrong_shape_refuse_it,
        a_body_that_is_too_large_is_refused,
        each_code_has_its_http_status,
        a_legacy_caller_is_always_answered_200,
        neither_surface_answers_for_the_other;
}

const BULK: &str = "customer_events/bulk/referrals/create";
const PREFIX: &str = "crmapi/rest/v2/";

async fn both_prefixes_serve_the_same_calls(setup: Setup) {
    let server = Server::start(setup).await;
    for (prefix, digits) in [("", "01"), (PREFIX, "02")] {
        let credentials = json!({"organisation": "acme", "username": "carla", "password": "carla"});
        let login = server.post(&format!("{prefix}authentication/token"), &credentials).await;
        let token = json!({"token": login.data["token"]});
        let mut call = token.clone();
        call["referral_customer_events_set"] = json!([event(digits, digits, "60")]);
        server.post(&format!("{prefix}{BULK}"), &call).await.assert_outcome(&[digits], &[]);
        let release = server.post(&format!("{prefix}authentication/token/release"), &token).await;
        assert_eq!((release.code.as_str(), release.data), ("OK", json!({})));
        server.post(&format!("{prefix}{BULK}"), &call).await.assert_refused("InvalidToken");
    }
    assert_eq!(server.stored_events().await.len(), 2);
}

async fn an_unknown_path_is_not_found(setup: Setup) {
    let server = Server::start(setup).await;
    let paths = [
        "nothing",
        "customer_events",
        "Customer_Events/bulk/referrals/create",
        "crmapi/rest/v2",
        "crmapi/rest/v2/",
        "crmapi/rest/v2/nothing",
        "crmapi/rest/v1/customer_events/bulk/referrals/create",
        "crmapi/rest/v2/crmapi/rest/v2/customer_events/bulk/referrals/create",
        "%00",
        "%ff%fe",
    ];
    for path in paths {
        for verb in [Method::POST, Method::GET, Method::DELETE] {
            let response = server.call_rest(verb.clone(), path, "{}", &[]).await;
            let (status, answer) = envelope(response).await;
            assert_eq!((status, answer.code.as_str()), (404, "NotFoundException"), "{verb} {path}");
        }
    }
}

async fn a_wrong_method_is_told_the_right_one(setup: Setup) {
    let server = Server::start(setup).await;
    let mut paths = HashSet::new();
    for (verb, path) in methods().iter().flat_map(|method| method.addresses()) {
        assert!(paths.insert(path.clone()), "{path} has two methods");
        let others = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
        for other in others.into_iter().filter(|other| *other != verb) {
            let response = server.call_rest(other.clone(), &path, "{}", &[]).await;
            let allow = response.headers().get("allow").and_then(|value| value.to_str().ok()).map(str::to_owned);
            let (status, answer) = envelope(response).await;
            assert_eq!((status, answer.code.as_str()), (405, "MethodNotAllowedException"), "{other} {path}");
            let allow = allow.unwrap_or_else(|| panic!("no Allow for {other} {path}"));
            assert!(allow.split(',').any(|name| name.trim() == verb.as_str()), "{allow} for {verb} {path}");
        }
    }
    assert!(!paths.is_empty());
}

/// A call of one good event.
fn good(server: &Server, digits: &str) -> Value {
    json!({"token": server.token, "referral_customer_events_set": [event(digits, digits, "60")]})
}

async fn a_body_that_is_no_json_is_refused_by_line_and_column(setup: Setup) {
    let server = Server::start(setup).await;
    let bodies: [(&[u8], &str); 13] = [
        (b"{", "line 1 column 1"),
        (b"{\n  \"token\": }", "line 2 column 12"),
        (b"{\"token\": \"a\",}", "line 1 column 15"),
        (b"{'token': 1}", "line 1 column 2"),
        (b"{\"token\": 1} x", "line 1 column 14"),
        (b"{\"token\": 1}{}", "line 1 column 13"),
        (b"{\"token\": 01}", "line 1 column 12"),
        (b"{\"token\": NaN}", "line 1 column 11"),
        (b"{\"token\": \"a\nb\"}", "line 1 column 12"),
        (b"{\"referral_customer_events_set\": [{]}", "line 1 column 36"),
        (b"// comment\n{}", "line 1 column 1"),
        (b"{\"token\":\n\"\xff\"}", "line 2 column 2"),
        (b"\xff\xfe{\0}\0", "line 1 column 1"),
    ];
    for (body, place) in bodies {
        let (status, answer) = server.post_text(BULK, body).await;
        let shown = String::from_utf8_lossy(body);
        assert_eq!((status, answer.code.as_str()), (400, "MalformedRequestException"), "{shown}");
        assert!(answer.message.contains(place), "{} for {shown}", answer.message);
        // The same for the other methods.
        let (status, of_login) = server.post_text("authentication/token", body).await;
        assert_eq!((status, of_login.code.as_str()), (400, "MalformedRequestException"), "{shown}");
        assert!(of_login.message.contains(place), "{} for {shown}", of_login.message);
    }
    let (status, answer) = server.post_text(BULK, format!("\n\t {} \r\n", good(&server, "01"))).await;
    assert_eq!(status, 200);
    answer.assert_outcome(&["01"], &[]);
}

async fn a_body_that_is_no_object_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    let event = event("1", "01", "02");
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    for body in ["null", "1", "\"token\"", "[1]", "true", &format!("[{event}]"), &deep] {
        let (status, answer) = server.post_text(BULK, body.to_owned()).await;
        let shown = &body[..body.len().min(100)];
        assert_eq!((status, answer.code.as_str()), (400, "MalformedRequestException"), "{shown}");
        // The deep one is more than a login may be.
        let refusal = if body.len() < 1000 { "MalformedRequest" } else { "RequestTooLarge" };
        server.post_text("authentication/token", body.to_owned()).await.1.assert_refused(refusal);
    }
    // Deep, and an object.
    let deep = r#"{"a":"#.repeat(100_000) + "1" + &"}".repeat(100_000);
    let (status, answer) = server.post_text(BULK, deep).await;
    assert_eq!((status, answer.code.as_str()), (400, "UnknownAttributeException"));
    server.assert_serving().await;
}

async fn attributes_of_the_call_of_the_wrong_shape_refuse_it(setup: Setup) {
    let server = Server::start(setup).await;
    let events = json!([event("1", "01", "02")]);
    let token = &server.token;
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let cases = [
        (format!(r#"{{"token":1,"referral_customer_events_set":{events}}}"#), "MalformedRequest", "token"),
        (format!(r#"{{"token":["{token}"],"referral_customer_events_set":{events}}}"#), "MalformedRequest", "token"),
        (format!(r#"{{"token":"\ud800","referral_customer_events_set":{events}}}"#), "MalformedRequest", "token"),
        (format!(r#"{{"token":{deep},"referral_customer_events_set":{events}}}"#), "MalformedRequest", "token"),
        (
            format!(r#"{{"token":"{token}","fields_set":{deep},"referral_customer_events_set":{events}}}"#),
            "MalformedRequest",
            "fields_set",
        ),
        (
            format!(r#"{{"token":"{token}","token":"{token}","referral_customer_events_set":{events}}}"#),
            "MalformedRequest",
            "token",
        ),
        (
            format!(r#"{{"token":"{token}","tok\u0065n":"{token}","referral_customer_events_set":{events}}}"#),
            "MalformedRequest",
            "token",
        ),
        (
            format!(
                r#"{{"token":"{token}","referral_customer_events_set":{events},"referral_customer_events_set":[]}}"#
            ),
            "MalformedRequest",
            "referral_customer_events_set",
        ),
        (
            format!(r#"{{"token":"{token}","referral_customer_events_set":{}}}"#, events[0]),
            "MalformedRequest",
            "referral_customer_events_set",
        ),
        (
            format!(r#"{{"token":"{token}","referral_customer_events_set":"{{}}"}}"#),
            "MalformedRequest",
            "referral_customer_events_set",
        ),
        (
            format!(r#"{{"token":"{token}","referral_customer_events_set":1}}"#),
            "MalformedRequest",
            "referral_customer_events_set",
        ),
        (
            format!(r#"{{"token":"{token}","\ud800":1,"referral_customer_events_set":{events}}}"#),
            "MalformedRequest",
            r"\ud800",
        ),
        (
            format!(r#"{{"token":"{token}","referral_customer_events_set":{events},"colour":"red"}}"#),
            "UnknownAttribute",
            "colour",
        ),
        (
            format!(r#"{{"token":"{token}","Token":"{token}","referral_customer_events_set":{events}}}"#),
            "UnknownAttribute",
            "Token",
        ),
        (
            format!(r#"{{"token":"{token}","referralCustomerEventsSet":{events}}}"#),
            "UnknownAttribute",
            "referralCustomerEventsSet",
        ),
    ];
    for (body, code, names) in cases {
        let shown: String = body.chars().take(400).collect();
        let (status, answer) = server.post_text(BULK, body).await;
        assert_eq!((status, answer.code), (400, format!("{code}Exception")), "{shown}");
        assert!(answer.message.contains(names), "{} for {shown}", answer.message);
    }
    assert!(server.stored_events().await.is_empty());
    server.assert_serving().await;
}

async fn a_body_that_is_too_large_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    let (status, answer) = server.post_text(BULK, vec![b' '; 64_000_000]).await;
    assert_eq!((status, answer.code.as_str()), (413, "RequestTooLargeException"));
    assert!(answer.message.contains(&MAXIMUM_REQUEST_SIZE.to_string()), "{answer:?}");
    // To the byte.
    let mut body = good(&server, "01").to_string();
    body.push_str(&" ".repeat(MAXIMUM_REQUEST_SIZE - body.len()));
    let (status, _) = server.post_text(BULK, format!("{body} ")).await;
    assert_eq!(status, 413);
    assert!(server.stored_events().await.is_empty());
    let (status, answer) = server.post_text(BULK, body).await;
    assert_eq!(status, 200);
    answer.assert_outcome(&["01"], &[]);
}

/// Sends what is refused, each for another reason; answers the code, the HTTP status that it should have, and what
/// came.
async fn refusals(server: &Server) -> Vec<(&'static str, u16, reqwest::Response)> {
    let reader = server.login("acme", "rita").await;
    let token = &server.token;
    let post = Method::POST;
    let login = json!({"organisation": "acme", "username": "carla", "password": "x"});
    let cases = [
        ("InvalidToken", 401, &post, BULK, json!({})),
        ("InvalidCredentials", 401, &post, "authentication/token", login),
        ("AccessDenied", 403, &post, BULK, json!({"token": reader})),
        ("MalformedRequest", 400, &post, BULK, json!([1])),
        ("MissingMandatoryAttribute", 400, &post, BULK, json!({"token": token})),
        (
            "MaximumNumberOfEventsExceeded",
            400,
            &post,
            BULK,
            json!({"token": token, "referral_customer_events_set": vec![json!({}); 1001]}),
        ),
        ("InvalidFieldsSet", 400, &post, BULK, json!({"token": token, "fields_set": "colour"})),
        ("UnknownAttribute", 400, &post, BULK, json!({"token": token, "colour": "red"})),
        ("NotFound", 404, &post, "nowhere", json!({})),
        ("MethodNotAllowed", 405, &Method::PUT, BULK, json!({})),
    ];
    let mut responses = Vec::new();
    for (code, status, verb, path, body) in cases {
        responses.push((code, status, server.call_rest(verb.clone(), path, &body.to_string(), &[]).await));
    }
    let xml = server.http().post(server.url(BULK)).header("content-type", "application/xml").body("<a/>");
    responses.push(("UnsupportedMediaType", 415, xml.send().await.expect("a response")));
    responses
}

async fn each_code_has_its_http_status(setup: Setup) {
    let server = Server::start(setup).await;
    for (code, expected, response) in refusals(&server).await {
        let headers = response.headers().clone();
        let (status, answer) = envelope(response).await;
        answer.assert_refused(code);
        assert_eq!(status, expected, "{code}");
        // HTTP asks for a challenge beside each 401.
        assert_eq!(headers.contains_key("www-authenticate"), expected == 401, "{code}");
        assert!(!headers.contains_key("retry-after"), "{code}");
    }
    let (status, answer) = server.post_text(BULK, good(&server, "01").to_string()).await;
    assert_eq!((status, answer.code.as_str()), (200, "OK"));
    // Events that fail are no refusal of the call.
    let call = json!({"token": server.token, "referral_customer_events_set": [{}]});
    let (status, answer) = server.post_text(BULK, call.to_string()).await;
    assert_eq!((status, answer.code.as_str()), (200, "OK"));
}

async fn a_legacy_caller_is_always_answered_200(setup: Setup) {
    let mut server = Server::start(setup).await;
    server.restart_with(Config { always_ok: true, ..Config::default() }).await;
    for (code, _, response) in refusals(&server).await {
        let (status, answer) = envelope(response).await;
        answer.assert_refused(code);
        assert_eq!(status, 200, "{code}");
    }
    let (status, answer) = server.post_text(BULK, vec![b' '; MAXIMUM_REQUEST_SIZE + 1]).await;
    assert_eq!((status, answer.code.as_str()), (200, "RequestTooLargeException"));
    server.assert_serving().await;
}

async fn neither_surface_answers_for_the_other(setup: Setup) {
    let server = Server::start(setup).await;
    for method in methods() {
        // JSON to the path of an RPC is REST's to answer.
        let response = server.call_rest(Method::POST, method.grpc_path().trim_start_matches('/'), "{}", &[]).await;
        let (status, answer) = envelope(response).await;
        assert_eq!((status, answer.code.as_str()), (404, "NotFoundException"), "{}", method.name());
    }
    // What says that it is gRPC is answered as gRPC, on whatever path.
    let grpc_paths = ["nowhere", BULK, "referral.v1.ReferralEventService/NoSuchMethod", "referral.v1.NoSuchService/X"];
    for path in grpc_paths {
        for content_type in ["application/grpc-web", "application/grpc-web+proto"] {
            let request = server.http().post(server.url(path)).header("content-type", content_type);
            let response = request.body(vec![0; 5]).send().await.expect("a response");
            assert_eq!(response.status(), 200, "{path}");
            assert_eq!(response.headers()["content-type"], "application/grpc-web+proto", "{path}");
            let status = Status::from_header_map(response.headers()).expect("a gRPC status");
            assert_eq!(status.code(), Code::Unimplemented, "{path}");
            assert_eq!(response.bytes().await.expect("a body").len(), 0, "{path}");
        }
    }
    let answer: Answer = server.post(BULK, &good(&server, "01")).await;
    answer.assert_outcome(&["01"], &[]);
}
