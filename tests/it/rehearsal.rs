//! Rehearsing a call, and creating all of its events or none.

use serde_json::{Value, json};

use crate::support::{Answer, Engine, Server, Setup, event, tests};

tests! {
    Both:
        a_rehearsal_answers_as_the_call_would,
        a_rehearsal_uses_nothing_up,
        a_rehearsal_finds_what_is_there_already,
        one_failing_event_fails_them_all,
        all_events_are_created_where_none_fails,
        a_failing_call_of_all_or_nothing_uses_nothing_up;
    NoCalls: a_rehearsal_leaves_the_database_as_it_was;
}

fn request(server: &Server, option: &str, events: &[Value]) -> Value {
    json!({"token": server.token, "referral_customer_events_set": events, option: true})
}

/// Events that succeed and fail in many ways, also by one another.
fn mixed() -> Vec<Value> {
    let mut no_date = event("no date", "02", "20");
    no_date.as_object_mut().expect("an object").remove("performed_on");
    let mut referenced = event("referenced", "03", "20");
    referenced["external_system_reference_number"] = json!("R1");
    let mut repeated = referenced.clone();
    repeated["request_unique_identifier"] = json!("repeated");
    let mut conflicting = event("conflicting", "04", "20");
    conflicting["external_system_reference_number"] = json!("R1");
    vec![
        event("first", "01", "20"),
        event("again", "01", "20"),
        event("another", "01", "21"),
        event("circle", "20", "01"),
        event("self", "05", "05"),
        event("missing", "99", "20"),
        event("suspended", "51", "20"),
        no_date,
        referenced,
        repeated,
        conflicting,
        event("last", "06", "01"),
    ]
}

/// An answer without what only a creation has.
fn comparable(answer: &Answer) -> Value {
    let strip = |mut event: Value| {
        for field in ["id", "number", "conflicting_event"] {
            event.as_object_mut().expect("an object").remove(field);
        }
        event
    };
    let events = |events: Vec<Value>| events.into_iter().map(strip).collect::<Vec<_>>();
    json!([events(answer.processed()), events(answer.unprocessed())])
}

async fn a_rehearsal_answers_as_the_call_would(setup: Setup) {
    let server = Server::start(setup).await;
    server.send(json!([event("before", "07", "20"), event("chain", "20", "30")])).await;
    let mut events = mixed();
    events.extend([event("stored", "07", "21"), event("long circle", "30", "07")]);
    let rehearsed = server.bulk(request(&server, "validate_only", &events)).await;
    let called = server.bulk(json!({"token": server.token, "referral_customer_events_set": events})).await;
    assert_eq!(comparable(&rehearsed), comparable(&called));
    assert!(rehearsed.processed().iter().all(|event| event.get("id").is_none() && event.get("number").is_none()));
}

async fn a_rehearsal_uses_nothing_up(setup: Setup) {
    let server = Server::start(setup).await;
    for _ in 0..3 {
        let rehearsed = server.bulk(request(&server, "validate_only", &mixed())).await;
        assert_eq!(rehearsed.processed().len(), 4, "{rehearsed:?}");
    }
    assert_eq!(server.stored_events().await.len(), 0);
    let called = server.send(json!(mixed())).await;
    assert_eq!(called.processed()[0]["number"], "1");
}

async fn a_rehearsal_finds_what_is_there_already(setup: Setup) {
    let server = Server::start(setup).await;
    let mut referenced = event("1", "01", "20");
    referenced["external_system_reference_number"] = json!("R1");
    let called = server.send(json!([referenced])).await;
    let rehearsed = server.bulk(request(&server, "validate_only", &[referenced])).await;
    for field in ["id", "number"] {
        assert_eq!(rehearsed.processed()[0][field], called.processed()[0][field]);
    }
}

async fn a_rehearsal_leaves_the_database_as_it_was(setup: Setup) {
    let server = Server::start(setup).await;
    server.send(json!([event("before", "07", "20")])).await;
    let dump = async || {
        let mut tables = Vec::new();
        for table in ["referral_events", "counters", "access_tokens", "idempotency_keys", "rewards_participants"] {
            tables.push(server.dump(table).await);
        }
        tables
    };
    let before = dump().await;
    if setup.engine == Engine::Sqlite {
        // So that the server has nothing more to bring into the file meanwhile.
        server.database.checkpoint().await.expect("a checkpoint");
    }
    let file = (setup.engine == Engine::Sqlite).then(|| server.file_contents());
    for _ in 0..3 {
        server.bulk(request(&server, "validate_only", &mixed())).await;
    }
    assert_eq!(dump().await, before);
    assert_eq!((setup.engine == Engine::Sqlite).then(|| server.file_contents()), file);
}

async fn one_failing_event_fails_them_all(setup: Setup) {
    let server = Server::start(setup).await;
    let mut bad = event("bad", "03", "20");
    bad["performed_on"] = json!("9999-01-01T00:00:00");
    for (failing, code) in [
        (event("bad", "99", "20"), "RewardsParticipantNotFound"),
        (event("bad", "01", "21"), "ReferredByAnotherParticipant"),
        (bad, "InvalidAttributeValue"),
    ] {
        let events = [event("1", "01", "20"), failing, event("2", "02", "20")];
        let answer = server.bulk(request(&server, "all_or_nothing", &events)).await;
        answer.assert_outcome(&[], &[("1", "NotAttempted"), ("bad", code), ("2", "NotAttempted")]);
        assert_eq!(server.stored_events().await.len(), 0);
    }
}

async fn all_events_are_created_where_none_fails(setup: Setup) {
    let server = Server::start(setup).await;
    let events = [event("1", "01", "20"), event("2", "02", "20")];
    server.bulk(request(&server, "all_or_nothing", &events)).await.assert_outcome(&["1", "2"], &[]);
    assert_eq!(server.stored_events().await.len(), 2);
    // A stored referral fails the next call as well.
    let events = [event("1", "03", "20"), event("2", "02", "21")];
    let answer = server.bulk(request(&server, "all_or_nothing", &events)).await;
    answer.assert_outcome(&[], &[("1", "NotAttempted"), ("2", "ReferredByAnotherParticipant")]);
    assert_eq!(server.stored_events().await.len(), 2);
}

async fn a_failing_call_of_all_or_nothing_uses_nothing_up(setup: Setup) {
    let server = Server::start(setup).await;
    let events = [event("1", "01", "20"), event("2", "02", "99")];
    for _ in 0..3 {
        server.bulk(request(&server, "all_or_nothing", &events)).await;
    }
    let answer = server.send(json!([event("1", "01", "20")])).await;
    assert_eq!(answer.processed()[0]["number"], "1");
}
