//! How a user gets a token, what it says, and how it ends.

use std::collections::HashSet;

use chrono::Utc;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use referral_events::storage::users;
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::support::{Server, Setup, event, method, tests};

tests! {
    Both:
        a_token_lets_its_user_create_events,
        whatever_is_wrong_with_the_credentials_the_answer_is_the_same,
        an_attribute_that_is_missing_is_named,
        a_token_says_who_calls_until_when,
        a_unit_of_the_organisation_is_taken_and_not_told,
        a_released_token_ends_at_once_and_alone;
    Rest: credentials_of_the_wrong_shape_refuse_the_call;
    Grpc: an_error_carries_its_reason_and_the_field_at_fault;
}

async fn a_token_lets_its_user_create_events(setup: Setup) {
    let server = Server::start(setup).await;
    let answer = server.send(json!([event("1", "01", "02")])).await;
    answer.assert_outcome(&["1"], &[]);
}

fn credentials() -> Value {
    json!({"organisation": "acme", "username": "carla", "password": "carla"})
}

fn credentials_with(attribute: &str, value: Value) -> Value {
    let mut credentials = credentials();
    credentials[attribute] = value;
    credentials
}

async fn whatever_is_wrong_with_the_credentials_the_answer_is_the_same(setup: Setup) {
    let server = Server::start(setup).await;
    let wrong = [
        ("organisation", "nobody"),
        ("organisation", "ACME"),
        ("organisation", "acme "),
        ("organisation", "ac\0me"),
        // An organisation that has no such user.
        ("username", "oscar"),
        ("username", "nobody"),
        ("username", "Carla"),
        ("username", "carla\0"),
        ("username", "carla-acme"),
        ("password", "wrong"),
        ("password", "Carla"),
        ("password", "carla "),
        ("password", "carla\0"),
        ("unit", "nowhere"),
        ("unit", "U1"),
        ("unit", "Admin Unit"),
        ("unit", "XU1-ID"),
        ("unit", "U1-ID\0"),
    ];
    let long = "x".repeat(50_000);
    let wrong = wrong.into_iter().chain(["organisation", "username", "password", "unit"].map(|name| (name, &*long)));
    for (attribute, value) in wrong {
        let answer = server.create_token(credentials_with(attribute, json!(value))).await;
        answer.assert_refused("InvalidCredentials");
        assert_eq!(answer.message, "The credentials are not valid.", "{attribute}");
    }
    assert_eq!(server.create_token(credentials()).await.code, "OK");
}

async fn an_attribute_that_is_missing_is_named(setup: Setup) {
    let server = Server::start(setup).await;
    for attribute in ["organisation", "username", "password"] {
        for nothing in [Value::Null, json!(""), json!(" \t\n")] {
            let answer = server.create_token(credentials_with(attribute, nothing.clone())).await;
            answer.assert_refused("MissingMandatoryAttribute");
            assert!(answer.message.contains(attribute), "{answer:?}");
        }
        let mut credentials = credentials();
        credentials.as_object_mut().expect("an object").remove(attribute);
        server.create_token(credentials).await.assert_refused("MissingMandatoryAttribute");
    }
    server.create_token(json!({})).await.assert_refused("MissingMandatoryAttribute");
    for nothing in [Value::Null, json!(""), json!("  ")] {
        let answer = server.create_token(credentials_with("unit", nothing.clone())).await;
        assert_eq!(answer.code, "OK", "{nothing}");
    }
}

async fn credentials_of_the_wrong_shape_refuse_the_call(setup: Setup) {
    let server = Server::start(setup).await;
    for attribute in ["organisation", "username", "password", "unit"] {
        for value in [json!(1), json!(true), json!(["carla"]), json!({"name": "carla"})] {
            let answer = server.create_token(credentials_with(attribute, value)).await;
            answer.assert_refused("MalformedRequest");
            assert!(answer.message.contains(attribute), "{answer:?}");
        }
    }
    let answer = server.create_token(credentials_with("shoe_size", json!(43))).await;
    answer.assert_refused("UnknownAttribute");
    assert!(answer.message.contains("shoe_size"), "{answer:?}");
    let twice = r#"{"organisation": "acme", "username": "carla", "password": "carla", "username": "carla"}"#;
    server.post_text("authentication/token", twice).await.1.assert_refused("MalformedRequest");
}

fn claims(server: &Server, token: &str) -> Value {
    let key = DecodingKey::from_secret(server.keys.token.first.key.as_bytes());
    let token = decode::<Value>(token, &key, &Validation::new(Algorithm::HS256)).expect("a token signed with the key");
    assert_eq!(token.header.typ.as_deref(), Some("JWT"));
    token.claims
}

async fn a_token_says_who_calls_until_when(setup: Setup) {
    let server = Server::start(setup).await;
    let acme = users::find_organisation(server.database.reader(), "acme").await.expect("a look-up").expect("acme").id;
    let mut ids = HashSet::new();
    for _ in 0..3 {
        let earliest = Utc::now().timestamp();
        let token = server.login("acme", "carla").await;
        let latest = Utc::now().timestamp();
        let claims = claims(&server, &token);
        let names: Vec<&str> = claims.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(names, ["exp", "gen", "iat", "jti", "org", "usr"]);
        assert_eq!(claims["usr"], "carla-acme");
        assert_eq!(claims["org"], acme.0);
        let issued = claims["iat"].as_i64().expect("a time");
        assert!((earliest..=latest).contains(&issued), "{claims}");
        assert_eq!(claims["exp"], issued + 7200);
        let id = claims["jti"].as_str().expect("an id");
        assert!(ids.insert(Uuid::parse_str(id).expect("a UUID")), "{id} again");
    }
}

async fn a_unit_of_the_organisation_is_taken_and_not_told(setup: Setup) {
    let server = Server::start(setup).await;
    for unit in [Value::Null, json!(""), json!("U1-ID"), json!("U3-ID")] {
        let request = json!({"organisation": "acme", "username": "carla", "password": "carla", "unit": unit});
        let answer = server.create_token(request).await;
        let token = answer.data["token"].as_str().unwrap_or_else(|| panic!("{answer:?}"));
        assert!(claims(&server, token).get("oun").is_none(), "{unit}");
    }
}

async fn a_released_token_ends_at_once_and_alone(setup: Setup) {
    let server = Server::start(setup).await;
    let token = server.login("acme", "carla").await;
    let answer = server.release_token(json!({"token": token})).await;
    assert_eq!((answer.code.as_str(), answer.data), ("OK", json!({})));
    let call = json!({"token": token, "referral_customer_events_set": [event("1", "01", "02")]});
    server.bulk(call).await.assert_refused("InvalidToken");
    server.release_token(json!({"token": token})).await.assert_refused("InvalidToken");
    assert!(server.stored_events().await.is_empty());
    // The same user's other token goes on.
    server.send(json!([event("1", "01", "02")])).await.assert_outcome(&["1"], &[]);

    let bearer = format!("Bearer {}", server.token);
    let answer = server.call(&method("ReleaseToken"), json!({}), &[("authorization", &bearer)]).await;
    assert_eq!(answer.code, "OK");
    server.send(json!([event("2", "03", "02")])).await.assert_refused("InvalidToken");
}

async fn an_error_carries_its_reason_and_the_field_at_fault(setup: Setup) {
    let server = Server::start(setup).await;
    let too_many = vec![json!({}); 1001];
    let refused = [
        ("CreateToken", json!({"username": "carla"}), "MissingMandatoryAttribute", Code::InvalidArgument, "password"),
        ("CreateToken", credentials_with("password", json!("x")), "InvalidCredentials", Code::Unauthenticated, ""),
        ("ReleaseToken", json!({}), "InvalidToken", Code::Unauthenticated, ""),
        (
            "BulkCreateReferralEvents",
            json!({"token": server.token}),
            "MissingMandatoryAttribute",
            Code::InvalidArgument,
            "referral_customer_events_set",
        ),
        (
            "BulkCreateReferralEvents",
            json!({"token": server.token, "referral_customer_events_set": too_many}),
            "MaximumNumberOfEventsExceeded",
            Code::InvalidArgument,
            "referral_customer_events_set",
        ),
        (
            "BulkCreateReferralEvents",
            json!({"token": server.token, "fields_set": ["colour"], "referral_customer_events_set": [{}]}),
            "InvalidFieldsSet",
            Code::InvalidArgument,
            "fields_set",
        ),
        (
            "BulkCreateReferralEvents",
            json!({"token": server.login("acme", "rita").await, "referral_customer_events_set": [{}]}),
            "AccessDenied",
            Code::PermissionDenied,
            "",
        ),
    ];
    for (name, request, reason, code, field) in refused {
        let status = server.call_grpc(&method(name), request, &[]).await.expect_err("a refusal");
        assert_eq!(status.code(), code, "{reason}");
        let details = status.get_error_details();
        let info = details.error_info().expect("an ErrorInfo");
        assert_eq!((info.reason.clone(), info.domain.as_str()), (format!("{reason}Exception"), "referral.v1"));
        let fields: Vec<&str> = details
            .bad_request()
            .map(|bad| bad.field_violations.iter().map(|violation| violation.field.as_str()).collect())
            .unwrap_or_default();
        let expected: Vec<&str> = Some(field).filter(|field| !field.is_empty()).into_iter().collect();
        assert_eq!(fields, expected, "{reason}");
        assert!(details.retry_info().is_none(), "{reason}");
        assert!(status.message().ends_with('.'), "{status:?}");
    }
}
