//! Rehearsing a call, and creating all of its events or none.

use referral_events::directory::DirectoryKind;
use serde_json::{Value, json};

use crate::support::{Answer, Engine, Server, Setup, event, tests};

tests! {
    Both:
        a_rehearsal_answers_as_the_call_would,
        a_rehearsal_uses_nothing_up,
        a_rehearsal_finds_what_is_there_already,
        one_failing_event_fails_them_all,
        all_events_are_created_where_none_fails,
        a_rehearsal_sees_the_directory_and_the_events_as_they_were_at_one_moment,
        a_rehearsal_sees_the_events_as_they_were_at_one_moment,
        what_is_there_already_is_answered_as_processed_where_another_event_fails,
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

fn suspended(digits: &str) -> String {
    format!("number,state\nACR{digits},SUSPENDED\n")
}

async fn a_rehearsal_sees_the_directory_and_the_events_as_they_were_at_one_moment(setup: Setup) {
    let server = Server::start(setup).await;
    let replica = server.replica().await;
    let first = server.send(json!([event("1", "01", "20")])).await;
    // Between the look-ups of the directory and those of the events.
    let held = server.hold_at("AS referrers");
    let change = async {
        replica.import("acme", DirectoryKind::AccountsReceivable, suspended("01")).await;
        let cancelled = replica.cancel(json!({"number": first.processed()[0]["number"]})).await;
        assert_eq!(cancelled.code, "OK", "{cancelled:?}");
    };
    let rehearsal = server.bulk(request(&server, "validate_only", &[event("1", "01", "21"), event("2", "02", "21")]));
    let (rehearsed, ()) = tokio::join!(rehearsal, held.meanwhile(change));
    // There was no moment at which the account was active and not referred.
    rehearsed.assert_outcome(&["2"], &[("1", "ReferredByAnotherParticipant")]);
    let rehearsed = server.bulk(request(&server, "validate_only", &[event("1", "01", "21")])).await;
    rehearsed.assert_outcome(&[], &[("1", "AccountsReceivableNotActive")]);
}

async fn a_rehearsal_sees_the_events_as_they_were_at_one_moment(setup: Setup) {
    let server = Server::start(setup).await;
    let replica = server.replica().await;
    let mut referenced = event("1", "01", "20");
    referenced["external_system_reference_number"] = json!("R1");
    let first = server.send(json!([referenced])).await;
    referenced["description"] = json!("other content");
    // Between the look-up of who is referred and that of the references.
    let held = server.hold_at("e.content_hash\nFROM");
    let change = async {
        let cancelled = replica.cancel(json!({"number": first.processed()[0]["number"]})).await;
        assert_eq!(cancelled.code, "OK", "{cancelled:?}");
    };
    let rehearsal = server.bulk(request(&server, "validate_only", &[referenced.clone(), event("2", "02", "21")]));
    let (rehearsed, ()) = tokio::join!(rehearsal, held.meanwhile(change));
    rehearsed.assert_outcome(&["2"], &[("1", "ExternalReferenceConflict")]);
    server.bulk(request(&server, "validate_only", &[referenced])).await.assert_outcome(&["1"], &[]);
}

async fn what_is_there_already_is_answered_as_processed_where_another_event_fails(setup: Setup) {
    let server = Server::start(setup).await;
    let referenced = |identifier: &str, referred: &str, unit: &str| {
        let mut event = event(identifier, referred, "20");
        event["external_system_reference_number"] = json!(identifier);
        event["performed_by_unit_identifier"] = json!({"name": unit});
        event
    };
    let stored = [referenced("1", "01", "Shop"), referenced("2", "02", "Kiosk"), referenced("3", "03", "Shop")];
    let first = server.send(json!(stored)).await;
    first.assert_outcome(&["1", "2", "3"], &[]);
    // The place of the second is not found any more under the name that the caller knows.
    server.import("acme", DirectoryKind::Units, "id,name,alternative_code\nU3-ID,Stand,U3\n").await;
    let mut events = stored.to_vec();
    events.push(event("new", "04", "20"));
    let failures = [("2", "UnitNotFound"), ("new", "NotAttempted")];
    for also in ["all_or_nothing", "validate_only"] {
        let mut call = request(&server, "all_or_nothing", &events);
        call[also] = json!(true);
        let answer = server.bulk(call).await;
        answer.assert_outcome(&["1", "3"], &failures);
        for (again, stored) in answer.processed().iter().zip([&first.processed()[0], &first.processed()[2]]) {
            assert_eq!((&again["id"], &again["number"]), (&stored["id"], &stored["number"]));
        }
    }
    assert_eq!(server.stored_events().await.len(), 3);
}
