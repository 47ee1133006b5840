//! Who may refer whom: nobody refers itself, and a party is referred once.

use serde_json::{Value, json};

use crate::support::{Server, Setup, event, tests};

tests! {
    Both:
        a_party_cannot_refer_itself_by_whatever_name,
        a_party_is_referred_once,
        an_earlier_event_of_a_call_is_seen_by_a_later_one,
        a_refused_event_stands_in_nobodys_way,
        a_call_sent_again_without_references_creates_nothing,
        events_that_share_their_identifier_are_all_refused,
        numbers_rise_in_request_order;
}

async fn a_party_cannot_refer_itself_by_whatever_name(setup: Setup) {
    let server = Server::start(setup).await;
    let mut events = vec![event("1", "20", "20")];
    for (identifier, attribute, value) in [
        ("2", "referred_by_accounts_receivable_identifier", json!({"number": "ACR20"})),
        ("3", "referred_by_accounts_receivable_identifier", json!({"id": "RP20-ID"})),
        ("4", "referred_by_rewards_participant_identifier", json!({"id": "RP20-ID"})),
        (
            "5",
            "referred_by_accounts_receivable_identifier",
            json!({"access_token_identifier": {"authentication_code": "AUTH20"}}),
        ),
        (
            "6",
            "referred_by_rewards_participant_identifier",
            json!({"access_token_identifier": {"one_time_password": "020020"}}),
        ),
    ] {
        let mut event = event(identifier, "20", "20");
        event.as_object_mut().expect("an object").remove("referred_by_rewards_participant_identifier");
        event[attribute] = value;
        events.push(event);
    }
    let answer = server.send(json!(events)).await;
    let expected: Vec<_> = (1..=6).map(|n| (n.to_string(), "SelfReferral".to_owned())).collect();
    assert_eq!(answer.failures(), expected);
    assert!(server.stored_events().await.is_empty());
}

async fn a_party_is_referred_once(setup: Setup) {
    let server = Server::start(setup).await;
    server.send(json!([event("1", "01", "02")])).await.assert_outcome(&["1"], &[]);
    let answer = server.send(json!([event("same", "01", "02"), event("another", "01", "03")])).await;
    answer.assert_outcome(&[], &[("same", "ReferralAlreadyExists"), ("another", "ReferredByAnotherParticipant")]);
    let descriptions: Vec<Value> =
        answer.unprocessed().iter().map(|event| event["error_description"].clone()).collect();
    assert_eq!(
        descriptions,
        [
            "Error:Participant RP01 Was Already Referred by the Same Participant. - Description:The participant was \
             already referred by the same participant.",
            "Error:Participant RP01 Was Already Referred by Another Participant. - Description:The participant was \
             already referred by another participant.",
        ]
    );
    // A referrer may refer many, and a referred party may refer others.
    server.send(json!([event("4", "04", "02"), event("5", "05", "01")])).await.assert_outcome(&["4", "5"], &[]);
    assert_eq!(server.stored_events().await.len(), 3);
}

async fn an_earlier_event_of_a_call_is_seen_by_a_later_one(setup: Setup) {
    let server = Server::start(setup).await;
    let events =
        json!([event("1", "01", "02"), event("2", "01", "02"), event("3", "01", "03"), event("4", "03", "02")]);
    let answer = server.send(events).await;
    answer.assert_outcome(&["1", "4"], &[("2", "ReferralAlreadyExists"), ("3", "ReferredByAnotherParticipant")]);
    let stored = server.stored_events().await;
    assert_eq!(stored.len(), 2);
    assert_eq!(stored[0].referred_by_account_key, server.account("02").await);
}

async fn a_refused_event_stands_in_nobodys_way(setup: Setup) {
    let server = Server::start(setup).await;
    let mut elsewhere = event("1", "01", "02");
    elsewhere["performed_by_unit_identifier"] = json!({"name": "Nowhere"});
    let events = json!([elsewhere, event("2", "01", "53"), event("3", "01", "01"), event("4", "01", "03")]);
    let failures = [("1", "UnitNotFound"), ("2", "RewardsParticipantNotEffective"), ("3", "SelfReferral")];
    server.send(events).await.assert_outcome(&["4"], &failures);
    let stored = server.stored_events().await;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].referred_by_account_key, server.account("03").await);
}

async fn a_call_sent_again_without_references_creates_nothing(setup: Setup) {
    let server = Server::start(setup).await;
    let events: Vec<Value> = (1..=20).map(|n| event(&n.to_string(), &format!("{n:02}"), "60")).collect();
    let first = server.send(json!(events)).await;
    assert_eq!(first.processed().len(), 20);
    let stored = server.stored_events().await;
    let again = server.send(json!(events)).await;
    let expected: Vec<_> = (1..=20).map(|n| (n.to_string(), "ReferralAlreadyExists".to_owned())).collect();
    assert_eq!(again.failures(), expected);
    assert_eq!(again.processed().len(), 0);
    assert_eq!(server.stored_events().await, stored);
}

async fn events_that_share_their_identifier_are_all_refused(setup: Setup) {
    let server = Server::start(setup).await;
    let duplicate = "DuplicateRequestUniqueIdentifier";
    let events = json!([
        event("a", "01", "02"),
        event("b", "03", "04"),
        event("a", "05", "06"),
        event("c", "07", "08"),
        event("a", "09", "10"),
        event("c", "11", "12"),
        // Identifiers are compared as they came.
        event("A", "13", "14"),
        event("a ", "15", "16"),
    ]);
    let answer = server.send(events).await;
    let failures = [("a", duplicate), ("a", duplicate), ("c", duplicate), ("a", duplicate), ("c", duplicate)];
    answer.assert_outcome(&["b", "A", "a "], &failures);

    // Also where one of them fails for a graver reason, which is then what it is told.
    let mut incomplete = event("a", "17", "18");
    incomplete.as_object_mut().expect("an object").remove("performed_on");
    let answer = server.send(json!([incomplete, event("a", "19", "20"), event("b", "21", "22")])).await;
    answer.assert_outcome(&["b"], &[("a", "MissingMandatoryAttribute"), ("a", duplicate)]);

    // Within the call alone: another call may use the same.
    server.send(json!([event("a", "19", "20")])).await.assert_outcome(&["a"], &[]);
    assert_eq!(server.stored_events().await.len(), 5);
}

async fn numbers_rise_in_request_order(setup: Setup) {
    let server = Server::start(setup).await;
    let mut ids = Vec::new();
    let mut numbers = Vec::new();
    for call in 0..3 {
        // Every third is refused.
        let event_of =
            |n: usize| event(&n.to_string(), &format!("{:02}", n + 1), if n.is_multiple_of(3) { "53" } else { "60" });
        let events: Vec<Value> = (call * 15..call * 15 + 15).map(event_of).collect();
        let answer = server.send(json!(events)).await;
        let identifiers: Vec<String> =
            (call * 15..call * 15 + 15).filter(|n| n % 3 != 0).map(|n| n.to_string()).collect();
        assert_eq!(answer.processed_identifiers(), identifiers);
        for event in answer.processed() {
            ids.push(event["id"].as_str().expect("an id").to_owned());
            numbers.push(event["number"].as_str().expect("a number").parse::<i64>().expect("a number"));
        }
    }
    assert_eq!(numbers.len(), 30);
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert!(ids.is_sorted_by(|a, b| a < b), "ids are not in the order of time: {ids:?}");
    let stored = server.stored_events().await;
    let stored_ids: Vec<String> = stored.iter().map(|event| event.id.to_string()).collect();
    let stored_numbers: Vec<i64> = stored.iter().map(|event| event.number.0).collect();
    assert_eq!((stored_ids, stored_numbers), (ids, numbers));
}
