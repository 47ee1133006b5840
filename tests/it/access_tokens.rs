//! Parties that are identified by an access token.

use serde_json::{Value, json};

use crate::support::{Server, Setup, Transport, event, tests};

use referral_events::id::AccountKey;

tests! {
    Both:
        each_way_to_give_an_access_token_names_the_same_account,
        every_access_token_that_does_not_identify_gives_the_same_answer,
        an_access_token_is_given_in_exactly_one_way;
    Rest: a_one_time_password_may_come_as_a_number;
}

const ATTRIBUTES: [&str; 4] = [
    "referred_accounts_receivable_identifier",
    "referred_rewards_participant_identifier",
    "referred_by_accounts_receivable_identifier",
    "referred_by_rewards_participant_identifier",
];

async fn each_way_to_give_an_access_token_names_the_same_account(setup: Setup) {
    let server = Server::start(setup).await;
    let (t20, t26) = (server.account("20").await, server.account("26").await);
    let referrers = [
        by_token("referred_by_accounts_receivable_identifier", json!({"authentication_code": "AUTH20"})),
        by_token("referred_by_rewards_participant_identifier", json!({"authentication_code": "AUTH20"})),
        by_token(
            "referred_by_accounts_receivable_identifier",
            json!({"identifier": "t20@example.com", "pass_code": "2020"}),
        ),
        by_token(
            "referred_by_rewards_participant_identifier",
            json!({"identifier": "t20@example.com", "pass_code": "2020"}),
        ),
        by_token("referred_by_accounts_receivable_identifier", json!({"one_time_password": "020020"})),
        by_token("referred_by_rewards_participant_identifier", json!({"one_time_password": "123456"})),
    ];
    let mut events = Vec::new();
    for (n, mut event) in (1..).zip(referrers) {
        event["request_unique_identifier"] = json!(n.to_string());
        event["referred_rewards_participant_identifier"] = json!({"number": format!("RP{n:02}")});
        events.push(event);
    }
    server.send(json!(events)).await.assert_outcome(&["1", "2", "3", "4", "5", "6"], &[]);
    let stored = server.stored_events().await;
    let keys: Vec<AccountKey> = stored.iter().map(|event| event.referred_by_account_key).collect();
    assert_eq!(keys, [t20, t20, t20, t20, t20, t26]);

    // The referred party, once by each way; the second time it is known to be referred.
    let referred = [
        by_token("referred_accounts_receivable_identifier", json!({"authentication_code": "AUTH20"})),
        by_token("referred_rewards_participant_identifier", json!({"authentication_code": "AUTH20"})),
        by_token(
            "referred_accounts_receivable_identifier",
            json!({"identifier": "t20@example.com", "pass_code": "2020"}),
        ),
        by_token(
            "referred_rewards_participant_identifier",
            json!({"identifier": "t20@example.com", "pass_code": "2020"}),
        ),
    ];
    let mut events = Vec::new();
    for (n, mut event) in (1..).zip(referred) {
        event["request_unique_identifier"] = json!(n.to_string());
        event["referred_by_rewards_participant_identifier"] = json!({"number": "RP30"});
        events.push(event);
    }
    let exists = "ReferralAlreadyExists";
    server.send(json!(events)).await.assert_outcome(&["1"], &[("2", exists), ("3", exists), ("4", exists)]);
    assert_eq!(server.stored_events().await[6].referred_account_key, t20);
}

async fn every_access_token_that_does_not_identify_gives_the_same_answer(setup: Setup) {
    let server = Server::start(setup).await;
    let mut tokens = vec![
        json!({"authentication_code": "AUTH99"}),
        json!({"authentication_code": "auth20"}),
        json!({"authentication_code": "2020"}),
        json!({"authentication_code": "020020"}),
        json!({"authentication_code": "t20@example.com"}),
        json!({"identifier": "t99@example.com", "pass_code": "2020"}),
        json!({"identifier": "t20@example.com", "pass_code": "2021"}),
        json!({"identifier": "t20@example.com", "pass_code": "02020"}),
        json!({"identifier": "t20@example.com", "pass_code": "AUTH20"}),
        json!({"identifier": "t20@example.com", "pass_code": "2525"}),
        json!({"identifier": "T20", "pass_code": "2020"}),
        json!({"one_time_password": "999999"}),
        json!({"one_time_password": "20020"}),
        json!({"one_time_password": "2020"}),
        // The password of token 25 expired, though the token is effective.
        json!({"one_time_password": "025025"}),
        // Another organisation's.
        json!({"authentication_code": "XAUTH20"}),
        json!({"identifier": "Xt20@example.com", "pass_code": "2020"}),
        json!({"one_time_password": "654321"}),
    ];
    // Not effective, pending verification, over, and not yet begun: however right the codes are.
    for digits in ["21", "22", "23", "24"] {
        tokens.push(json!({"authentication_code": format!("AUTH{digits}")}));
        tokens.push(json!({"identifier": format!("t{digits}@example.com"), "pass_code": format!("{digits}{digits}")}));
        tokens.push(json!({"one_time_password": format!("0{digits}0{digits}")}));
    }
    let mut events = Vec::new();
    for attribute in ATTRIBUTES {
        for token in &tokens {
            let mut event = by_token(attribute, token.clone());
            event["request_unique_identifier"] = json!(events.len().to_string());
            let other = if attribute.contains("referred_by") { "referred" } else { "referred_by" };
            event[format!("{other}_rewards_participant_identifier")] = json!({"number": "RP30"});
            events.push(event);
        }
    }
    assert_eq!(events.len(), 4 * 30);
    let answer = server.send(json!(events)).await;
    assert_eq!(answer.processed_identifiers(), [""; 0]);
    for (n, event) in answer.unprocessed().iter().enumerate() {
        let expected = json!({
            "request_unique_identifier": n.to_string(),
            "error_code": "InvalidAccessTokenException",
            "error_description": "Error:Access Token Is Invalid. - Description:The access token does not identify a \
                                  rewards participant.",
        });
        assert_eq!(*event, expected, "{}", events[n]);
    }
    assert_eq!(answer.unprocessed().len(), events.len());
    assert!(server.stored_events().await.is_empty());
}

async fn an_access_token_is_given_in_exactly_one_way(setup: Setup) {
    let server = Server::start(setup).await;
    let tokens = [
        json!({}),
        json!({"identifier": "t20@example.com"}),
        json!({"pass_code": "2020"}),
        json!({"identifier": "t20@example.com", "pass_code": ""}),
        json!({"identifier": " ", "pass_code": "2020"}),
        json!({"authentication_code": "AUTH20", "one_time_password": "020020"}),
        json!({"authentication_code": "AUTH20", "identifier": "t20@example.com"}),
        json!({"authentication_code": "AUTH20", "identifier": "t20@example.com", "pass_code": "2020"}),
        json!({"authentication_code": "AUTH20", "pass_code": "2020"}),
        json!({"identifier": "t20@example.com", "pass_code": "2020", "one_time_password": "020020"}),
    ];
    let mut events = Vec::new();
    for attribute in ATTRIBUTES {
        for token in &tokens {
            let mut event = by_token(attribute, token.clone());
            event["request_unique_identifier"] = json!(events.len().to_string());
            let other = if attribute.contains("referred_by") { "referred" } else { "referred_by" };
            event[format!("{other}_rewards_participant_identifier")] = json!({"number": "RP30"});
            events.push(event);
        }
        // Beside another field of the identifier there is no room for a token.
        let mut event = event(&events.len().to_string(), "01", "02");
        let role = attribute.trim_end_matches("_accounts_receivable_identifier");
        if role != attribute {
            event.as_object_mut().expect("an object").remove(&format!("{role}_rewards_participant_identifier"));
        }
        event[attribute] = json!({"number": "RP20", "access_token_identifier": {"authentication_code": "AUTH20"}});
        events.push(event);
    }
    let expected: Vec<_> = (0..events.len()).map(|n| (n.to_string(), "InvalidIdentifier".to_owned())).collect();
    assert_eq!(server.send(json!(events)).await.failures(), expected);
}

async fn a_one_time_password_may_come_as_a_number(setup: Setup) {
    assert_eq!(setup.transport, Transport::Rest);
    let server = Server::start(setup).await;
    let mut good = by_token("referred_by_rewards_participant_identifier", json!({"one_time_password": 123456}));
    good["referred_rewards_participant_identifier"] = json!({"number": "RP01"});
    // As a number it has lost the leading zero that it is told from others by.
    let mut cut = by_token("referred_by_rewards_participant_identifier", json!({"one_time_password": 20020}));
    cut["request_unique_identifier"] = json!("2");
    cut["referred_rewards_participant_identifier"] = json!({"number": "RP02"});
    let mut fraction = by_token("referred_by_rewards_participant_identifier", json!({"one_time_password": 123456.0}));
    fraction["request_unique_identifier"] = json!("3");
    fraction["referred_rewards_participant_identifier"] = json!({"number": "RP02"});
    let answer = server.send(json!([good, cut, fraction])).await;
    answer.assert_outcome(&["1"], &[("2", "InvalidAccessToken"), ("3", "MalformedEvent")]);
    assert_eq!(server.stored_events().await[0].referred_by_account_key, server.account("26").await);
}

/// An event one of whose parties is identified by an access token; the other is missing.
fn by_token(attribute: &str, token: Value) -> Value {
    json!({
        "request_unique_identifier": "1",
        "performed_by_unit_identifier": {"name": "Admin Unit"},
        "performed_on": "2016-06-22T15:00:00",
        attribute: {"access_token_identifier": token},
    })
}
