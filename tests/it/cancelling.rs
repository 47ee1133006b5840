//! A cancelled event stays to be looked back on, and frees what it held.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Server, Setup, event, numbers, tests};

tests! {
    Both:
        a_cancelled_event_says_when_and_why,
        cancelling_again_changes_nothing,
        the_referred_party_can_be_referred_again,
        the_external_reference_can_be_used_again,
        a_reference_names_the_event_in_force_else_the_one_cancelled_last,
        a_cancelled_referral_is_part_of_no_circle,
        a_one_time_password_stays_used,
        a_reason_that_cannot_be_stored_is_refused,
        callers_who_cancel_at_once_agree,
        callers_who_cancel_and_create_at_once_leave_one_referral_at_most;
}

fn with_reference(mut event: Value, reference: &str) -> Value {
    event["external_system"] = json!("till");
    event["external_system_reference_number"] = json!(reference);
    event
}

async fn cancel_for(server: &Server, number: &str, reason: &str) -> Value {
    let request = json!({"token": server.token, "customer_event_identifier": {"number": number},
        "cancellation_reason": reason});
    let answer = server.cancel_with(request).await;
    assert_eq!(answer.code, "OK", "{answer:?}");
    answer.data
}

async fn a_cancelled_event_says_when_and_why(setup: Setup) {
    let server = Server::start(setup).await;
    let created = server.send(json!([event("1", "01", "60"), event("2", "02", "60")])).await.processed();
    let before = chrono::Utc::now();
    let answer = cancel_for(&server, "1", "a mistake").await;
    assert_eq!(answer, json!({"id": created[0]["id"], "number": "1", "life_cycle_state": "CANCELLED"}));
    let cancelled = server.get(json!({"number": "1"})).await.data;
    assert_eq!(
        (&cancelled["life_cycle_state"], &cancelled["cancellation_reason"]),
        (&json!("CANCELLED"), &json!("a mistake"))
    );
    let on: chrono::DateTime<chrono::Utc> =
        cancelled["cancelled_on"].as_str().and_then(|date| date.parse().ok()).expect("a date");
    assert!(on >= before - chrono::TimeDelta::microseconds(1) && on <= chrono::Utc::now());

    // By id, and without a reason.
    assert_eq!(server.cancel(json!({"id": created[1]["id"]})).await.data["number"], "2");
    let cancelled = server.get(json!({"number": "2"})).await.data;
    assert!(cancelled.get("cancelled_on").is_some() && cancelled.get("cancellation_reason").is_none(), "{cancelled}");
    assert_eq!(numbers(&server.list(json!({"life_cycle_state": "CANCELLED"})).await), [2, 1]);
    assert!(numbers(&server.list(json!({"life_cycle_state": "POSTED"})).await).is_empty());
}

async fn cancelling_again_changes_nothing(setup: Setup) {
    let server = Server::start(setup).await;
    server.send(json!([with_reference(event("1", "01", "60"), "R1")])).await.assert_outcome(&["1"], &[]);
    let first = cancel_for(&server, "1", "the first reason").await;
    let cancelled = server.get(json!({"number": "1"})).await;
    assert_eq!(cancel_for(&server, "1", "another reason").await, first);
    let by_reference = json!({"external_system_reference_number": "R1", "external_system": "till"});
    assert_eq!(server.cancel(by_reference).await.data, first);
    assert_eq!(server.get(json!({"number": "1"})).await, cancelled);
}

async fn the_referred_party_can_be_referred_again(setup: Setup) {
    let server = Server::start(setup).await;
    for round in 1..=3 {
        let answer = server.send(json!([event("same", "01", "02"), event("other", "01", "03")])).await;
        answer.assert_outcome(&["same"], &[("other", "ReferredByAnotherParticipant")]);
        assert_eq!(answer.processed()[0]["number"], round.to_string());
        cancel_for(&server, &round.to_string(), "again").await;
    }
    server.send(json!([event("1", "01", "03")])).await.assert_outcome(&["1"], &[]);
    let of_party = json!({"referred_accounts_receivable_identifier": {"number": "ACR01"}});
    assert_eq!(numbers(&server.list(of_party).await), [4, 3, 2, 1]);
}

async fn the_external_reference_can_be_used_again(setup: Setup) {
    let server = Server::start(setup).await;
    let first = with_reference(event("1", "01", "60"), "R1");
    let other = with_reference(event("1", "02", "60"), "R1");
    let created = server.send(json!([first])).await;
    // In force, the event is repeated, and another is not created.
    assert_eq!(server.send(json!([first])).await, created);
    server.send(json!([other])).await.assert_outcome(&[], &[("1", "ExternalReferenceConflict")]);
    cancel_for(&server, "1", "").await;
    let again = server.send(json!([other])).await;
    again.assert_outcome(&["1"], &[]);
    assert_ne!(again.processed()[0]["id"], created.processed()[0]["id"]);
    server.send(json!([first])).await.assert_outcome(&[], &[("1", "ExternalReferenceConflict")]);
}

async fn a_reference_names_the_event_in_force_else_the_one_cancelled_last(setup: Setup) {
    let server = Server::start(setup).await;
    let reference = || json!({"external_system_reference_number": "R1", "external_system": "till"});
    let number = async || server.get(reference()).await.data["number"].as_str().map(str::to_owned);
    for referred in ["01", "02"] {
        server.send(json!([with_reference(event("1", referred, "60"), "R1")])).await.assert_outcome(&["1"], &[]);
        let newest = number().await.expect("a number");
        assert_eq!(server.cancel(reference()).await.data["number"], newest);
        // Nothing is in force, and the one cancelled last is answered, and found by a second cancelling too.
        assert_eq!(server.cancel(reference()).await.data["number"], newest);
        assert_eq!(number().await, Some(newest));
    }
    let third = server.send(json!([with_reference(event("1", "03", "60"), "R1")])).await.processed().remove(0);
    assert_eq!(number().await.as_deref(), third["number"].as_str());
}

async fn a_cancelled_referral_is_part_of_no_circle(setup: Setup) {
    let server = Server::start(setup).await;
    let chain = json!([event("1", "01", "02"), event("2", "02", "03")]);
    server.send(chain).await.assert_outcome(&["1", "2"], &[]);
    let closing = json!([event("3", "03", "01")]);
    server.send(closing.clone()).await.assert_outcome(&[], &[("3", "CircularReferral")]);
    cancel_for(&server, "1", "").await;
    server.send(closing).await.assert_outcome(&["3"], &[]);
    // The circle would now be closed by the cancelled one.
    server.send(json!([event("1", "01", "02")])).await.assert_outcome(&[], &[("1", "CircularReferral")]);
}

async fn a_one_time_password_stays_used(setup: Setup) {
    let server = Server::start(setup).await;
    let mut by_password = event("1", "01", "20");
    by_password["referred_by_rewards_participant_identifier"] =
        json!({"access_token_identifier": {"one_time_password": "020020"}});
    server.send(json!([by_password])).await.assert_outcome(&["1"], &[]);
    cancel_for(&server, "1", "").await;
    server.send(json!([by_password])).await.assert_outcome(&[], &[("1", "InvalidAccessToken")]);
    server.send(json!([event("1", "01", "20")])).await.assert_outcome(&["1"], &[]);
}

async fn a_reason_that_cannot_be_stored_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    server.send(json!([event("1", "01", "60")])).await.assert_outcome(&["1"], &[]);
    for reason in ["x".repeat(256), "a\0b".to_owned(), "\u{85}".to_owned()] {
        let request = json!({"token": server.token, "customer_event_identifier": {"number": "1"},
            "cancellation_reason": reason});
        let answer = server.cancel_with(request).await;
        answer.assert_refused("InvalidAttributeValue");
        assert!(answer.message.contains("cancellation_reason"), "{answer:?}");
    }
    assert_eq!(server.get(json!({"number": "1"})).await.data["life_cycle_state"], "POSTED");
    cancel_for(&server, "1", &"ü".repeat(255)).await;
}

const CALLERS: usize = 16;

async fn callers_who_cancel_at_once_agree(setup: Setup) {
    let server = Server::start(setup).await;
    let replica = server.replica().await;
    for round in 1..=5 {
        server.send(json!([event("1", "01", "02")])).await.assert_outcome(&["1"], &[]);
        let number = round.to_string();
        let calls = (0..CALLERS).map(|caller| {
            let server = if caller % 2 == 0 { &server } else { &replica };
            let request = json!({"token": server.token, "customer_event_identifier": {"number": number},
                "cancellation_reason": caller.to_string()});
            server.cancel_with(request)
        });
        let answers = join_all(calls).await;
        assert!(answers.iter().all(|answer| answer.code == "OK" && *answer == answers[0]), "{answers:?}");
        let seen = server.get(json!({"number": number})).await;
        assert_eq!(seen.data["life_cycle_state"], "CANCELLED");
        // One of the reasons won, and stays.
        assert_eq!(server.cancel(json!({"number": number})).await, answers[0]);
        assert_eq!(server.get(json!({"number": number})).await, seen);
    }
}

async fn callers_who_cancel_and_create_at_once_leave_one_referral_at_most(setup: Setup) {
    let server = Server::start(setup).await;
    let replica = server.replica().await;
    let reference = json!({"external_system_reference_number": "R1", "external_system": "till"});
    server.send(json!([with_reference(event("1", "01", "02"), "R1")])).await.assert_outcome(&["1"], &[]);
    let calls = (0..CALLERS).map(|caller| {
        let (server, reference) = (if caller % 4 < 2 { &server } else { &replica }, reference.clone());
        async move {
            let mut created = Vec::new();
            for round in 0..8 {
                if caller % 2 == 0 {
                    assert_eq!(server.cancel(reference.clone()).await.code, "OK");
                } else {
                    // All callers share the party and the reference, some of them the content.
                    let sent = with_reference(event("1", "01", &format!("{:02}", 2 + (caller + round) % 3)), "R1");
                    let answer = server.send(json!([sent])).await;
                    let codes: Vec<String> = answer.failures().into_iter().map(|(_, code)| code).collect();
                    assert!(codes.is_empty() || codes == ["ExternalReferenceConflict"], "{codes:?}");
                    created.extend(answer.processed());
                }
            }
            created
        }
    });
    let created: Vec<Value> = join_all(calls).await.into_iter().flatten().collect();
    let stored = server.stored_events().await;
    assert!(stored.iter().filter(|event| event.in_force.is_some()).count() <= 1);
    // What was answered as processed is there; whether it is in force still is the cancellers' affair.
    for event in created {
        assert!(stored.iter().any(|stored| event["id"] == stored.id.to_string()));
    }
    for event in &stored {
        assert_eq!(event.in_force.is_none(), event.cancelled_on.is_some());
    }
    // A call right after a cancelling finds the party and the reference free.
    assert_eq!(server.cancel(reference).await.code, "OK");
    let sent = with_reference(event("1", "01", "05"), "R1");
    replica.send(json!([sent])).await.assert_outcome(&["1"], &[]);
}
