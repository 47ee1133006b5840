//! Who may call what: every method of the contract, whether it was there when this was written or not.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{Answer, Method, Server, Setup, Transport, envelope, event, methods, tests};

tests! {
    Both: every_method_wants_a_valid_token, every_method_is_for_certain_roles, a_reader_creates_nothing;
    Rest: every_method_has_both_its_addresses;
}

/// Who may call a method.
#[derive(Clone, Copy, PartialEq)]
enum For {
    Anybody,
    EveryUser,
    WhoMayCreate,
    Administrators,
}

/// A method that is added needs its row here.
const METHODS: [(&str, For); 30] = [
    ("BulkCreateReferralEvents", For::WhoMayCreate),
    ("LoadReferralEvents", For::WhoMayCreate),
    ("CreateReferralEvent", For::WhoMayCreate),
    ("GetReferralEvent", For::EveryUser),
    ("ListReferralEvents", For::EveryUser),
    ("ListUnprocessedEvents", For::EveryUser),
    ("CancelReferralEvent", For::WhoMayCreate),
    ("CreateToken", For::Anybody),
    ("ReleaseToken", For::EveryUser),
    ("ImportDirectory", For::Administrators),
    ("SetAccountsReceivableState", For::Administrators),
    ("SetParticipantState", For::Administrators),
    ("SetAccessTokenState", For::Administrators),
    ("GetBusinessUnit", For::EveryUser),
    ("ListBusinessUnits", For::EveryUser),
    ("GetUnit", For::EveryUser),
    ("ListUnits", For::EveryUser),
    ("GetTransactionAcquiringPoint", For::EveryUser),
    ("ListTransactionAcquiringPoints", For::EveryUser),
    ("GetDevice", For::EveryUser),
    ("ListDevices", For::EveryUser),
    ("GetClassification", For::EveryUser),
    ("ListClassifications", For::EveryUser),
    ("GetAccountsReceivable", For::EveryUser),
    ("ListAccountsReceivable", For::EveryUser),
    ("GetParticipant", For::EveryUser),
    ("ListParticipants", For::EveryUser),
    ("GetAccessToken", For::EveryUser),
    ("ListAccessTokens", For::EveryUser),
    ("ListReferralTree", For::EveryUser),
];

fn row(method: &Method) -> For {
    let row = METHODS.iter().find(|(name, _)| *name == method.name());
    row.unwrap_or_else(|| panic!("who may call {}?", method.name())).1
}

/// What a method answers to a request that has nothing but a token, in the body or in the header, at each of its
/// addresses.
async fn call(server: &Server, method: &Method, in_body: Option<&str>, in_header: Option<&str>) -> Vec<Answer> {
    let request = in_body.map_or(json!({}), |token| json!({"token": token}));
    let bearer = in_header.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|value| ("authorization", value.as_str())).collect();
    if server.transport == Transport::Grpc {
        return vec![server.call(method, request, &headers).await];
    }
    let mut answers = Vec::new();
    for (verb, mut path) in method.addresses() {
        if let (true, Some(token)) = (verb == reqwest::Method::GET, in_body) {
            path = format!("{path}?token={token}");
        }
        let response = server.call_rest(verb, &path, &request.to_string(), &headers).await;
        answers.push(envelope(response).await.1);
    }
    answers
}

async fn every_method_wants_a_valid_token(setup: Setup) {
    let server = Server::start(setup).await;
    let released = server.login("acme", "adam").await;
    assert_eq!(server.release_token(json!({"token": released})).await.code, "OK");
    let methods = methods();
    let names: BTreeSet<&str> = methods.iter().map(Method::name).collect();
    assert_eq!(names, METHODS.iter().map(|(name, _)| *name).collect());
    for method in methods.iter().filter(|method| row(method) != For::Anybody) {
        let mut refused = call(&server, method, None, None).await;
        for token in ["nonsense", &released] {
            refused.extend(call(&server, method, None, Some(token)).await);
            if method.takes("token") {
                refused.extend(call(&server, method, Some(token), None).await);
            }
        }
        for answer in refused {
            assert_eq!(answer.code, "InvalidTokenException", "{}", method.name());
        }
    }
}

async fn every_method_is_for_certain_roles(setup: Setup) {
    let server = Server::start(setup).await;
    for method in methods() {
        for (user, may_create) in [("rita", false), ("carla", true), ("adam", true)] {
            let may = match row(&method) {
                For::Anybody => continue,
                For::EveryUser => true,
                For::WhoMayCreate => may_create,
                For::Administrators => user == "adam",
            };
            let token = server.login("acme", user).await;
            // The first address alone, if there is one: a released token would not get through at the second.
            let Some(answer) = call(&server, &method, None, Some(&token)).await.into_iter().next() else { continue };
            assert_ne!(answer.code, "InvalidTokenException", "{} for {user}", method.name());
            assert_eq!(answer.code != "AccessDeniedException", may, "{} for {user}: {answer:?}", method.name());
        }
    }
}

async fn a_reader_creates_nothing(setup: Setup) {
    let server = Server::start(setup).await;
    let token = server.login("acme", "rita").await;
    for events in [json!([event("1", "01", "02")]), json!([]), json!([{}]), json!(vec![json!({}); 1001])] {
        let answer = server.bulk(json!({"token": token, "referral_customer_events_set": events})).await;
        answer.assert_refused("AccessDenied");
    }
    assert!(server.stored_events().await.is_empty());
    let token = server.login("acme", "adam").await;
    let answer = server.bulk(json!({"token": token, "referral_customer_events_set": [event("1", "01", "02")]})).await;
    answer.assert_outcome(&["1"], &[]);
}

async fn every_method_has_both_its_addresses(setup: Setup) {
    let server = Server::start(setup).await;
    for method in methods() {
        let addresses: Vec<String> = method.addresses().into_iter().map(|(_, path)| path).collect();
        // REST has no streams.
        assert_eq!(addresses.is_empty(), method.is_stream(), "{}", method.name());
        if method.is_stream() {
            continue;
        }
        let prefixed = format!("crmapi/rest/v2/{}", addresses[0]);
        assert_eq!(addresses[1..], [prefixed], "{}", method.name());
        for answer in call(&server, &method, None, None).await {
            assert_ne!(answer.code, "NotFoundException", "{}", method.name());
            assert_ne!(answer.code, "MethodNotAllowedException", "{}", method.name());
        }
    }
}
