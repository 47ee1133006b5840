//! Which tokens are accepted, and where they may stand.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::Utc;
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use referral_events::{secret::Key, storage::users};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use sha2::{Sha384, Sha512};
use uuid::Uuid;

use crate::support::{Answer, Server, Setup, event, method, tests};

tests! {
    Both:
        a_call_without_a_valid_token_is_refused,
        a_token_is_valid_until_it_expires,
        a_token_that_is_signed_otherwise_is_refused,
        a_token_that_says_too_little_is_refused,
        a_token_of_a_user_who_is_gone_is_refused,
        a_token_may_stand_in_the_body_or_in_the_header;
}

async fn a_call_without_a_valid_token_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    let parts: Vec<&str> = server.token.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("{parts:?}") };
    let tokens = [
        json!(null),
        json!(""),
        json!(" "),
        json!("nonsense"),
        json!(".."),
        json!("a.b.c"),
        json!("\0"),
        json!("x".repeat(1_000_000)),
        json!(format!("{}x", server.token)),
        json!(format!(" {}", server.token)),
        json!(format!("Bearer {}", server.token)),
        json!(format!("{header}.{payload}")),
        json!(format!("{header}.{payload}.")),
        json!(format!("{header}..{signature}")),
        json!(format!("{header}.{payload}.{signature}.{signature}")),
    ];
    for token in tokens {
        let answer =
            server.bulk(json!({"token": token, "referral_customer_events_set": [event("1", "01", "02")]})).await;
        answer.assert_refused("InvalidToken");
    }
    let answer = server.bulk(json!({"referral_customer_events_set": [event("1", "01", "02")]})).await;
    answer.assert_refused("InvalidToken");
    assert!(server.stored_events().await.is_empty());
}

/// What a token of carla of acme says, with a claim that earlier versions made.
async fn claims(server: &Server) -> Value {
    let acme = users::find_organisation(server.database.reader(), "acme").await.expect("a look-up").expect("acme").id;
    let now = Utc::now().timestamp();
    json!({"jti": Uuid::new_v4(), "usr": "carla-acme", "org": acme, "oun": "U1-ID", "iat": now, "exp": now + 7200})
}

fn sign(claims: &Value, key: &Key) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(key.as_bytes())).expect("a token")
}

/// Signs rightly, by another algorithm, which the header names.
fn sign_otherwise<M: Mac + KeyInit>(algorithm: &str, claims: &Value, key: &Key) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&json!({"typ": "JWT", "alg": algorithm})), part(claims));
    let mac = <M as KeyInit>::new_from_slice(key.as_bytes()).expect("a key").chain_update(&message).finalize();
    format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac.into_bytes()))
}

/// What a call without events is answered: it is accepted where the events are what is missing.
async fn call_with(server: &Server, token: &str) -> Answer {
    server.bulk(json!({"token": token})).await
}

async fn a_token_is_valid_until_it_expires(setup: Setup) {
    let server = Server::start(setup).await;
    let now = Utc::now().timestamp();
    for (expires, code) in [
        (now + 60, "MissingMandatoryAttribute"),
        (now + 7200, "MissingMandatoryAttribute"),
        (now - 1, "InvalidToken"),
        (now - 7200, "InvalidToken"),
        (0, "InvalidToken"),
        (-1, "InvalidToken"),
    ] {
        let mut claims = claims(&server).await;
        claims["exp"] = json!(expires);
        claims["iat"] = json!(expires - 7200);
        let token = sign(&claims, &server.keys.token.first.key);
        call_with(&server, &token).await.assert_refused(code);
    }
    let token = server.login("acme", "carla").await;
    server.advance(Duration::from_secs(7200 - 60));
    call_with(&server, &token).await.assert_refused("MissingMandatoryAttribute");
    server.advance(Duration::from_secs(60));
    call_with(&server, &token).await.assert_refused("InvalidToken");
    server.login("acme", "carla").await;
}

async fn a_token_that_is_signed_otherwise_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    let claims = claims(&server).await;
    let good = sign(&claims, &server.keys.token.first.key);
    call_with(&server, &good).await.assert_refused("MissingMandatoryAttribute");

    let rita = server.login("acme", "rita").await;
    let part = |token: &str, n: usize| token.split('.').nth(n).expect("a part").to_owned();
    // The header says {"alg":"none","typ":"JWT"}.
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let forged = [
        sign(&claims, &Key::generate().expect("a key")),
        sign(&claims, &server.keys.hash.first.key),
        sign_otherwise::<Hmac<Sha384>>("HS384", &claims, &server.keys.token.first.key),
        sign_otherwise::<Hmac<Sha512>>("HS512", &claims, &server.keys.token.first.key),
        format!("{none}.{}.", part(&good, 1)),
        format!("{none}.{}.{}", part(&good, 1), part(&good, 2)),
        // What one token says under another's signature.
        format!("{}.{}.{}", part(&good, 0), part(&good, 1), part(&rita, 2)),
        format!("{}.{}.{}", part(&good, 0), part(&rita, 1), part(&good, 2)),
    ];
    for token in forged {
        call_with(&server, &token).await.assert_refused("InvalidToken");
    }
}

async fn a_token_that_says_too_little_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    let claims = claims(&server).await;
    for name in ["jti", "usr", "org", "iat", "exp"] {
        for value in [None, Some(Value::Null), Some(json!("")), Some(json!([])), Some(json!({"a": 1}))] {
            let mut claims = claims.clone();
            match value.clone() {
                Some(value) => claims[name] = value,
                None => _ = claims.as_object_mut().expect("an object").remove(name),
            }
            let token = sign(&claims, &server.keys.token.first.key);
            let answer = call_with(&server, &token).await;
            assert_eq!(answer.code, "InvalidTokenException", "{name}: {value:?}");
        }
    }
    // Nor does one that was signed for a user of another organisation, or of none, get through.
    let other =
        users::find_organisation(server.database.reader(), "other").await.expect("a look-up").expect("other").id;
    for organisation in [other.0, 0, -1, i64::MAX] {
        let mut claims = claims.clone();
        claims["org"] = json!(organisation);
        let token = sign(&claims, &server.keys.token.first.key);
        call_with(&server, &token).await.assert_refused("InvalidToken");
    }
}

async fn a_token_of_a_user_who_is_gone_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    call_with(&server, &server.token).await.assert_refused("MissingMandatoryAttribute");
    let database = server.database.writer();
    let sql = "DELETE FROM users WHERE id = 'carla-acme'";
    let deleted = database.execute_raw(Statement::from_string(database.get_database_backend(), sql)).await;
    assert_eq!(deleted.expect("a deletion").rows_affected(), 1);
    call_with(&server, &server.token).await.assert_refused("InvalidToken");
}

async fn a_token_may_stand_in_the_body_or_in_the_header(setup: Setup) {
    let server = Server::start(setup).await;
    let token = server.token.as_str();
    let another = server.login("acme", "carla").await;
    let call = method("BulkCreateReferralEvents");
    let accepted = "MissingMandatoryAttribute";
    let refused = "InvalidToken";
    let cases = [
        (Some(token), None, accepted),
        (None, Some(format!("Bearer {token}")), accepted),
        (None, Some(format!("bearer {token}")), accepted),
        (Some(""), Some(format!("Bearer {token}")), accepted),
        (Some(token), Some(format!("Bearer {token}")), accepted),
        // Each is valid by itself.
        (Some(token), Some(format!("Bearer {another}")), refused),
        (Some(&another), Some(format!("Bearer {token}")), refused),
        (Some(token), Some("Bearer nonsense".to_owned()), refused),
        (Some("nonsense"), Some(format!("Bearer {token}")), refused),
        (Some(token), Some("Bearer".to_owned()), refused),
        (Some(token), Some(String::new()), refused),
        (Some(token), Some(format!("Basic {token}")), refused),
        (None, Some(token.to_owned()), refused),
        (None, Some("Bearer ".to_owned()), refused),
        (None, None, refused),
    ];
    for (in_body, in_header, code) in cases {
        let request = in_body.map_or(json!({}), |token| json!({"token": token}));
        let headers: Vec<(&str, &str)> = in_header.iter().map(|value| ("authorization", value.as_str())).collect();
        let answer = server.call(&call, request, &headers).await;
        assert_eq!(answer.code, format!("{code}Exception"), "{in_body:?}, {in_header:?}");
    }
    // Two headers, of which one would be taken and the other not.
    let (first, second) = (format!("Bearer {token}"), format!("Bearer {another}"));
    let headers = [("authorization", first.as_str()), ("authorization", second.as_str())];
    server.call(&call, json!({}), &headers).await.assert_refused(refused);
}
