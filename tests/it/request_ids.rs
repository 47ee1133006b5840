//! Every answer names its request: as the caller did, or by a new id.

use std::collections::HashSet;

use reqwest::Method;
use serde_json::{Value, json};
use tonic::Request;

use crate::support::{Server, Setup, event, message, tests};

tests! {
    Rest: a_request_is_named_in_its_answer;
    Grpc: a_grpc_call_is_named_in_its_answer;
}

/// A call of one good event.
fn good(server: &Server) -> Value {
    json!({"token": server.token, "referral_customer_events_set": [event("1", "01", "02")]})
}

async fn a_request_is_named_in_its_answer(setup: Setup) {
    let server = Server::start(setup).await;
    let ask = async |path: &str, given: Option<&str>| {
        let headers: Vec<(&str, &str)> = given.iter().map(|id| ("x-request-id", *id)).collect();
        let response = server.call_rest(Method::POST, path, &good(&server).to_string(), &headers).await;
        response.headers()["x-request-id"].to_str().expect("a text").to_owned()
    };
    let longest = "x".repeat(64);
    let mut made = HashSet::new();
    for path in ["customer_events/bulk/referrals/create", "authentication/token", "nowhere"] {
        for given in ["a", "8d1f6c1c-3d3f-4f0c-b4a8-d9e2e1b6a1d7", &longest, "<b>'\"&;"] {
            assert_eq!(ask(path, Some(given)).await, given, "{path}");
        }
        for unfit in [None, Some(""), Some("with a space"), Some("tab\there"), Some(&*format!("{longest}x"))] {
            let id = ask(path, unfit).await;
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id} for {unfit:?}");
            assert!(made.insert(id), "{unfit:?}");
        }
    }
}

async fn a_grpc_call_is_named_in_its_answer(setup: Setup) {
    let server = Server::start(setup).await;
    for (given, request) in [("of a call that succeeds", good(&server)), ("of one that is refused", json!({}))] {
        let given = given.replace(' ', "-");
        let mut request = Request::new(message("BulkCreateReferralEventsRequest", request));
        request.metadata_mut().insert("x-request-id", given.parse().expect("a value"));
        let metadata = match server.events_client().bulk_create_referral_events(request).await {
            Ok(response) => response.metadata().clone(),
            Err(status) => status.metadata().clone(),
        };
        assert_eq!(metadata.get("x-request-id").expect("an id"), &given);
    }
    assert_eq!(server.stored_events().await.len(), 1);
}
