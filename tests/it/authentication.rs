//! Who may call.

use serde_json::json;

use crate::support::{Server, Setup, event, tests};

tests! {
    Both: a_token_lets_its_user_create_events, a_call_without_a_valid_token_is_refused;
}

async fn a_token_lets_its_user_create_events(setup: Setup) {
    let server = Server::start(setup).await;
    let answer = server.send(json!([event("1", "01", "02")])).await;
    answer.assert_outcome(&["1"], &[]);
}

async fn a_call_without_a_valid_token_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    for token in [json!(null), json!(""), json!("nonsense"), json!(format!("{}x", server.token))] {
        let answer =
            server.bulk(json!({"token": token, "referral_customer_events_set": [event("1", "01", "02")]})).await;
        answer.assert_refused("InvalidToken");
    }
    assert!(server.stored_events().await.is_empty());
}
