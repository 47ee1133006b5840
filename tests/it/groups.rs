//! Calls of one organisation that wait are carried out together, and each is answered as if it had come by itself.

use std::{sync::Arc, time::Duration};

use referral_events::{config::Config, guessing::Limits, referral::ReferralSettings};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{Answer, Engine, Server, Setup, event, tests};

tests! {
    Both:
        calls_that_wait_share_one_transaction_and_each_has_its_own_answer,
        a_group_is_no_larger_than_it_may_be,
        a_repeat_in_the_same_group_is_answered_what_the_first_was,
        who_leaves_before_its_group_begins_is_left_out,
        what_the_database_refuses_of_one_call_costs_the_others_nothing,
        who_guesses_at_codes_is_refused_and_others_of_its_group_are_not,
        a_replay_and_a_circle_in_a_group_are_told_to_those_who_sent_them;
}

const FIELDS: [&str; 5] = ["request_unique_identifier", "number", "error_code", "conflicting_event", "replayed"];

/// A call of acme.
fn call(server: &Server, events: &[Value]) -> Value {
    json!({"token": server.token, "referral_customer_events_set": events, "fields_set": FIELDS})
}

type Sent = JoinHandle<(Answer, bool)>;

async fn send(server: &Arc<Server>, key: Option<&'static str>, request: Value) -> Sent {
    let before = authenticated(server);
    let caller = server.clone();
    let sent = tokio::spawn(async move {
        match key {
            Some(key) => caller.bulk_under(key, request).await,
            None => (caller.bulk(request).await, false),
        }
    });
    while authenticated(server) == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // What comes after that needs no database; another call has the time for it, twice.
    for _ in 0..2 {
        let list = crate::support::method("ListReferralEvents");
        assert_eq!(server.call(&list, json!({"token": server.token}), &[]).await.code, "OK");
    }
    sent
}

/// How many calls have asked who calls.
fn authenticated(server: &Server) -> usize {
    server.statements.lock().expect("a lock").iter().filter(|sql| sql.contains("u.role")).count()
}

/// How many transactions have stored events since the calls were sent.
fn transactions(server: &Server) -> usize {
    server.take_statements().iter().filter(|sql| sql.starts_with("INSERT INTO referral_events")).count()
}

/// Sends the calls in their order while one before them has the turn; answers what became of each.
async fn together(server: &Arc<Server>, calls: Vec<(Option<&'static str>, Value)>) -> Vec<(Answer, bool)> {
    server.take_statements();
    let held = server.hold_at("INSERT INTO referral_events");
    let first = async { server.bulk(call(server, &[event("1", "01", "60")])).await.assert_outcome(&["1"], &[]) };
    let mut sent = Vec::new();
    let others = held.meanwhile(async {
        for (key, request) in calls {
            sent.push(send(server, key, request).await);
        }
    });
    tokio::join!(first, others);
    let mut answers = Vec::new();
    for sent in sent {
        answers.push(sent.await.expect("an answer"));
    }
    answers
}

async fn start(setup: Setup) -> Arc<Server> {
    Arc::new(Server::start(setup).await)
}

/// The numbers of the events that stand in the way, by the identifiers of those that they stand in.
fn conflicts(answer: &Answer) -> Vec<String> {
    let number = |event: &Value| event["conflicting_event"]["number"].as_str().unwrap_or_default().to_owned();
    answer.unprocessed().iter().map(number).collect()
}

async fn calls_that_wait_share_one_transaction_and_each_has_its_own_answer(setup: Setup) {
    let server = start(setup).await;
    let all_or_nothing = |events: &[Value]| {
        let mut call = call(&server, events);
        call["all_or_nothing"] = json!(true);
        call
    };
    let answers = together(
        &server,
        vec![
            (None, call(&server, &[event("a", "02", "60")])),
            (None, all_or_nothing(&[event("b", "03", "60"), event("c", "60", "60")])),
            // What the call before does not create after all stands in nobody's way.
            (None, all_or_nothing(&[event("d", "03", "59")])),
            (None, call(&server, &[event("e", "02", "59"), event("f", "04", "60"), event("g", "99", "60")])),
        ],
    )
    .await;
    assert_eq!(transactions(&server), 2);
    let [a, bc, d, efg] = [0, 1, 2, 3].map(|n| &answers[n].0);
    a.assert_outcome(&["a"], &[]);
    bc.assert_outcome(&[], &[("b", "NotAttempted"), ("c", "SelfReferral")]);
    d.assert_outcome(&["d"], &[]);
    efg.assert_outcome(&["f"], &[("e", "ReferredByAnotherParticipant"), ("g", "RewardsParticipantNotFound")]);
    assert_eq!(conflicts(efg)[0], a.processed()[0]["number"].as_str().expect("a number"));
    // Their numbers rise in the order of the calls.
    let numbers = [a, d, efg].map(|answer| answer.processed()[0]["number"].clone());
    let stored: Vec<Value> =
        server.stored_events().await.iter().skip(1).map(|event| json!(event.number.to_string())).collect();
    assert_eq!(stored, numbers);
}

async fn a_group_is_no_larger_than_it_may_be(setup: Setup) {
    let mut server = Server::start(setup).await;
    let referral = ReferralSettings { maximum_group: 4, ..ReferralSettings::default() };
    server.restart_with(Config { referral, ..Config::default() }).await;
    let server = Arc::new(server);
    let of = |from: usize, to: usize| -> Vec<Value> {
        (from..to).map(|n| event(&n.to_string(), &format!("{n:02}"), "60")).collect()
    };
    let calls = [(2, 4), (4, 6), (6, 8), (8, 20), (20, 21)].map(|(from, to)| (None, call(&server, &of(from, to))));
    for ((answer, _), (from, to)) in together(&server, calls.into()).await.iter().zip([(2, 4), (4, 6), (6, 8), (8, 20)])
    {
        assert_eq!((answer.processed().len(), answer.failures().len()), (to - from, 0));
    }
    // The first; two of two; one of two, which the next one is too large to go with; that one; the last.
    assert_eq!(transactions(&server), 5);
}

async fn a_repeat_in_the_same_group_is_answered_what_the_first_was(setup: Setup) {
    let server = start(setup).await;
    let request = call(&server, &[event("a", "02", "60")]);
    let other = call(&server, &[event("b", "03", "60")]);
    let calls =
        vec![(Some("key"), request.clone()), (Some("key"), request), (Some("key"), other.clone()), (None, other)];
    let answers = together(&server, calls).await;
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|n| &answers[n]);
    first.0.assert_outcome(&["a"], &[]);
    assert_eq!((&second.0.data, first.1, second.1), (&first.0.data, false, true));
    third.0.assert_refused("IdempotencyKeyReused");
    fourth.0.assert_outcome(&["b"], &[]);
    assert_eq!(server.stored_events().await.len(), 3);
}

async fn who_leaves_before_its_group_begins_is_left_out(setup: Setup) {
    let mut server = Server::start(setup).await;
    server.restart_with(Config { maximum_calls: 4, ..Config::default() }).await;
    let server = Arc::new(server);
    let held = server.hold_at("INSERT INTO referral_events");
    let first = async { server.bulk(call(&server, &[event("1", "01", "60")])).await.assert_outcome(&["1"], &[]) };
    let mut stay = Vec::new();
    let others = held.meanwhile(async {
        let leaves = send(&server, None, call(&server, &[event("a", "02", "60")])).await;
        for referred in ["03", "04"] {
            stay.push(send(&server, None, call(&server, &[event("b", referred, "60")])).await);
        }
        let is_full = send(&server, None, call(&server, &[event("c", "05", "60")])).await;
        is_full.await.expect("an answer").0.assert_refused("TooManyRequests");
        leaves.abort();
        // Once the server has heard of it, there is room for another.
        for _ in 0..400 {
            let pending = send(&server, None, call(&server, &[event("b", "05", "60")])).await;
            if !pending.is_finished() {
                stay.push(pending);
                break;
            }
        }
    });
    tokio::join!(first, others);
    assert_eq!(stay.len(), 3);
    for stays in stay {
        stays.await.expect("an answer").0.assert_outcome(&["b"], &[]);
    }
    assert_eq!(server.stored_events().await.len(), 4);
}

async fn what_the_database_refuses_of_one_call_costs_the_others_nothing(setup: Setup) {
    let server = start(setup).await;
    let trap = match setup.engine {
        Engine::Sqlite => vec![
            "CREATE TRIGGER trap BEFORE INSERT ON referral_events WHEN NEW.description = 'trap' \
             BEGIN SELECT RAISE(ABORT, 'a trap'); END",
        ],
        _ => vec![
            "CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN IF NEW.description = 'trap' THEN RAISE 'a trap'; END IF; RETURN NEW; END $$",
            "CREATE TRIGGER trap BEFORE INSERT ON referral_events FOR EACH ROW EXECUTE FUNCTION trap()",
        ],
    };
    for statement in trap {
        server.database.writer().execute_unprepared(statement).await.expect("a trap");
    }
    let mut trapped = event("b", "03", "60");
    trapped["description"] = json!("trap");
    let calls = [event("a", "02", "60"), trapped, event("c", "04", "60")];
    let answers = together(&server, calls.map(|event| (None, call(&server, &[event]))).into()).await;
    answers[0].0.assert_outcome(&["a"], &[]);
    assert_eq!(answers[1].0.code, "InternalException");
    answers[2].0.assert_outcome(&["c"], &[]);
    assert_eq!(server.stored_events().await.len(), 3);
}

async fn a_replay_and_a_circle_in_a_group_are_told_to_those_who_sent_them(setup: Setup) {
    let server = start(setup).await;
    let mut known = event("k", "05", "06");
    known["external_system_reference_number"] = json!("R1");
    let before = server.bulk(call(&server, &[known.clone()])).await;
    before.assert_outcome(&["k"], &[]);
    let calls = [event("a", "02", "60"), known, event("b", "06", "05"), event("c", "06", "59")];
    let answers = together(&server, calls.map(|event| (None, call(&server, &[event]))).into()).await;
    let [a, known, b, c] = [0, 1, 2, 3].map(|n| &answers[n].0);
    a.assert_outcome(&["a"], &[]);
    known.assert_outcome(&["k"], &[]);
    assert_eq!(known.processed()[0]["replayed"], true);
    assert_eq!(known.processed()[0]["number"], before.processed()[0]["number"]);
    b.assert_outcome(&[], &[("b", "CircularReferral")]);
    assert_eq!(json!(conflicts(b)[0]), before.processed()[0]["number"]);
    c.assert_outcome(&["c"], &[]);
    assert_eq!(server.stored_events().await.len(), 4);
}

async fn who_guesses_at_codes_is_refused_and_others_of_its_group_are_not(setup: Setup) {
    let mut server = Server::start(setup).await;
    let guessing = Limits { wrong_codes: 1, ..Limits::default() };
    server.restart_with(Config { guessing, ..Config::default() }).await;
    let server = Arc::new(server);
    let guess = |identifier: &str, code: &str| {
        let mut event = event(identifier, "02", "60");
        event["referred_by_rewards_participant_identifier"] =
            json!({"access_token_identifier": {"authentication_code": code}});
        (None, call(&server, &[event]))
    };
    let good = |identifier: &str, referred: &str| (None, call(&server, &[event(identifier, referred, "60")]));
    let calls = vec![guess("a", "wrong 1"), good("b", "03"), guess("c", "wrong 2"), good("d", "04")];
    let answers = together(&server, calls).await;
    answers[0].0.assert_outcome(&[], &[("a", "InvalidAccessToken")]);
    answers[1].0.assert_outcome(&["b"], &[]);
    answers[2].0.assert_refused("TooManyRequests");
    answers[3].0.assert_outcome(&["d"], &[]);
    assert_eq!(transactions(&server), 2);
}
