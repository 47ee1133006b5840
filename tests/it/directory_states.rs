//! Changes of the states of parties and access tokens.

use referral_events::storage::people::list_audit;
use serde_json::{Value, json};

use crate::support::{Server, Setup, event, tests};

tests! {
    Both:
        a_changed_state_is_seen_by_the_next_call_on_another_replica,
        an_access_token_that_ended_identifies_nobody,
        a_change_leaves_its_entry_in_the_audit_and_what_changes_nothing_leaves_none,
        what_cannot_be_meant_changes_nothing,
        only_an_administrator_changes_a_state_and_only_of_its_organisation,
        parties_know_of_each_others_states_whichever_changes;
}

const ACCOUNT: &str = "SetAccountsReceivableState";
const PARTICIPANT: &str = "SetParticipantState";
const TOKEN: &str = "SetAccessTokenState";

fn account(number: &str, state: &str) -> Value {
    json!({"accounts_receivable_identifier": {"number": number}, "state": state})
}

fn participant(number: &str, state: &str) -> Value {
    json!({"rewards_participant_identifier": {"number": number}, "state": state})
}

/// The one thing that is answered.
fn answered(data: &Value) -> &Value {
    data.as_object().and_then(|fields| fields.values().next()).expect("a field")
}

async fn a_changed_state_is_seen_by_the_next_call_on_another_replica(setup: Setup) {
    let server = Server::start(setup).await;
    let replica = server.replica().await;
    for (name, refused, granted, code) in [
        (ACCOUNT, account("ACR01", "SUSPENDED"), account("ACR01", "ACTIVE"), "AccountsReceivableNotActive"),
        (ACCOUNT, account("ACR01", "TERMINATED"), account("ACR01", "ACTIVE"), "AccountsReceivableNotActive"),
        (
            PARTICIPANT,
            participant("RP01", "NOT_EFFECTIVE"),
            participant("RP01", "EFFECTIVE"),
            "RewardsParticipantNotEffective",
        ),
    ] {
        let answer = server.administer(name, refused.clone()).await;
        assert_eq!(answered(&answer.data)["state"], refused["state"], "{answer:?}");
        replica.send(json!([event("1", "01", "02")])).await.assert_outcome(&[], &[("1", code)]);
        server.administer(name, granted).await;
        let mut rehearsal = json!({"token": server.token, "referral_customer_events_set": [event("1", "01", "02")]});
        rehearsal["validate_only"] = json!(true);
        replica.bulk(rehearsal).await.assert_outcome(&["1"], &[]);
    }
    replica.send(json!([event("1", "01", "02")])).await.assert_outcome(&["1"], &[]);
}

async fn an_access_token_that_ended_identifies_nobody(setup: Setup) {
    let server = Server::start(setup).await;
    let replica = server.replica().await;
    let mut event = event("1", "20", "02");
    event["referred_rewards_participant_identifier"] =
        json!({"access_token_identifier": {"authentication_code": "AUTH20"}});
    let named = json!({"identifier": "t20@example.com"});
    for (end, again) in [
        (json!({"state": "NOT_EFFECTIVE"}), json!({"state": "EFFECTIVE"})),
        (json!({"effective_to": "2001-01-01T00:00:00Z"}), json!({"effective_to": "9000-01-01T00:00:00Z"})),
        (
            json!({"effective_to": "2001-01-01T00:00:00Z", "state": "PENDING_VERIFICATION"}),
            json!({"effective_to": "9000-01-01T00:00:00Z", "state": "EFFECTIVE"}),
        ),
    ] {
        let change = |mut change: Value| {
            change["access_token_identifier"] = named.clone();
            server.administer(TOKEN, change)
        };
        let answer = change(end.clone()).await;
        for (name, value) in end.as_object().expect("an object") {
            assert_eq!(&answered(&answer.data)[name], value, "{answer:?}");
        }
        replica.send(json!([event])).await.assert_outcome(&[], &[("1", "InvalidAccessToken")]);
        change(again).await;
    }
    replica.send(json!([event])).await.assert_outcome(&["1"], &[]);
}

async fn audit(server: &Server) -> Vec<(String, String, String, String)> {
    let entries = list_audit(server.database.reader(), Some(server.acme().await)).await.expect("a list");
    let entry = |entry: referral_events::storage::people::ListedEntry| {
        let details = entry.details.expect("details");
        let (details, request) = details.rsplit_once("; request ").expect("a request");
        assert!(!request.is_empty());
        (entry.actor, entry.host, entry.action, details.to_owned())
    };
    entries.into_iter().map(entry).collect()
}

async fn a_change_leaves_its_entry_in_the_audit_and_what_changes_nothing_leaves_none(setup: Setup) {
    let server = Server::start(setup).await;
    let tables = ["accounts_receivable", "rewards_participants", "access_tokens"];
    for _ in 0..2 {
        server.administer(ACCOUNT, account("ACR01", "SUSPENDED")).await;
        server.administer(PARTICIPANT, participant("RP02", "NOT_EFFECTIVE")).await;
        let end = json!({"access_token_identifier": {"id": "T20"}, "effective_to": "2001-01-01T00:00:00Z"});
        let answer = server.administer(TOKEN, end).await;
        assert_eq!(answered(&answer.data)["state"], "EFFECTIVE");
    }
    let entry =
        |action: &str, details: &str| ("adam".to_owned(), "service".to_owned(), action.to_owned(), details.to_owned());
    let expected = [
        entry("accounts_receivable state", "ACR01: ACTIVE to SUSPENDED"),
        entry("rewards_participants state", "RP02: EFFECTIVE to NOT_EFFECTIVE"),
        entry("access_tokens state", "t20@example.com: EFFECTIVE to EFFECTIVE, ends 2001-01-01T00:00:00+00:00"),
    ];
    assert_eq!(audit(&server).await, expected);
    let mut before = Vec::new();
    for table in tables {
        before.push(server.dump(table).await);
    }
    server.administer(ACCOUNT, account("ACR01", "SUSPENDED")).await;
    for (table, before) in tables.into_iter().zip(before) {
        assert_eq!(server.dump(table).await, before, "{table}");
    }
}

async fn what_cannot_be_meant_changes_nothing(setup: Setup) {
    let server = Server::start(setup).await;
    let token = |fields: Value| {
        let mut request = json!({"access_token_identifier": {"identifier": "t23@example.com"}});
        request.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        request
    };
    let accounts = json!({"accounts_receivable_identifier": {"number": "ACR01"}});
    for (name, request, code, field) in [
        (ACCOUNT, account("ACR01", "EFFECTIVE"), "InvalidAttributeValue", "state"),
        (ACCOUNT, account("ACR01", "active"), "InvalidAttributeValue", "state"),
        (ACCOUNT, accounts, "MissingMandatoryAttribute", "state"),
        (ACCOUNT, account("ACR99", "ACTIVE"), "AccountsReceivableNotFound", "ACR99"),
        (ACCOUNT, json!({"state": "ACTIVE"}), "MissingMandatoryAttribute", "accounts_receivable_identifier"),
        (PARTICIPANT, participant("RP01", "ACTIVE"), "InvalidAttributeValue", "state"),
        (PARTICIPANT, participant("RP99", "EFFECTIVE"), "RewardsParticipantNotFound", "RP99"),
        (PARTICIPANT, json!({"state": "EFFECTIVE"}), "MissingMandatoryAttribute", "rewards_participant_identifier"),
        (TOKEN, token(json!({})), "MissingMandatoryAttribute", "state"),
        (TOKEN, token(json!({"state": "ACTIVE"})), "InvalidAttributeValue", "state"),
        (TOKEN, token(json!({"effective_to": "1999-01-01T00:00:00Z"})), "InvalidAttributeValue", "effective_to"),
        (TOKEN, json!({"state": "EFFECTIVE"}), "MissingMandatoryAttribute", "access_token_identifier"),
        (
            TOKEN,
            json!({"state": "EFFECTIVE", "access_token_identifier": {"identifier": "nobody"}}),
            "AccessTokenNotFound",
            "nobody",
        ),
    ] {
        let answer = server.administer(name, request.clone()).await;
        answer.assert_refused(code);
        assert!(answer.message.contains(field), "{request}: {answer:?}");
    }
    assert!(audit(&server).await.is_empty());
}

async fn only_an_administrator_changes_a_state_and_only_of_its_organisation(setup: Setup) {
    let server = Server::start(setup).await;
    for user in ["carla", "rita"] {
        let token = server.login("acme", user).await;
        for (name, mut request) in [
            (ACCOUNT, account("ACR01", "SUSPENDED")),
            (PARTICIPANT, participant("RP01", "NOT_EFFECTIVE")),
            (TOKEN, json!({"access_token_identifier": {"id": "T20"}, "state": "NOT_EFFECTIVE"})),
        ] {
            request["token"] = json!(token);
            server.call(&crate::support::method(name), request, &[]).await.assert_refused("AccessDenied");
        }
    }
    server.administer(ACCOUNT, account("XACR01", "SUSPENDED")).await.assert_refused("AccountsReceivableNotFound");
    server
        .administer(TOKEN, json!({"access_token_identifier": {"id": "XT20"}, "state": "EFFECTIVE"}))
        .await
        .assert_refused("AccessTokenNotFound");
    assert!(audit(&server).await.is_empty());
}

async fn parties_know_of_each_others_states_whichever_changes(setup: Setup) {
    let server = Server::start(setup).await;
    let by_account = json!({"number": "ACR01"});
    let by_participant = json!({"number": "RP01"});
    for (name, bad, good, code) in [
        (ACCOUNT, account("ACR01", "SUSPENDED"), account("ACR01", "ACTIVE"), "AccountsReceivableNotActive"),
        (
            PARTICIPANT,
            participant("RP01", "NOT_EFFECTIVE"),
            participant("RP01", "EFFECTIVE"),
            "RewardsParticipantNotEffective",
        ),
    ] {
        server.administer(name, bad).await;
        for (attribute, identifier) in [("accounts_receivable", &by_account), ("rewards_participant", &by_participant)]
        {
            let mut event = event("1", "01", "02");
            event.as_object_mut().expect("an object").remove("referred_rewards_participant_identifier");
            event[format!("referred_{attribute}_identifier")] = identifier.clone();
            server.send(json!([event])).await.assert_outcome(&[], &[("1", code)]);
        }
        server.administer(name, good).await;
    }
    server.send(json!([event("1", "01", "02")])).await.assert_outcome(&["1"], &[]);
}
