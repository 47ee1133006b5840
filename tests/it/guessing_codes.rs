//! Who guesses at the codes of access tokens waits longer and longer, and nobody else does for long.

use std::time::Duration;

use futures_util::future::join_all;
use referral_events::{config::Config, guessing::Limits};
use serde_json::{Value, json};

use crate::support::{Answer, Server, Setup, Transport, event, guessing::strict, method, tests, until};

tests! {
    Both:
        in_one_call_no_more_than_a_few_wrong_codes_are_told,
        a_rehearsal_tells_no_more_than_a_call,
        who_has_to_wait_is_told_of_no_code_by_any_call,
        callers_beside_a_guesser_are_served_as_ever,
        after_the_wait_that_was_told_a_right_code_is_accepted,
        replicas_and_restarts_count_together,
        guesses_at_once_do_not_run_ahead_of_the_count,
        the_pass_codes_of_one_access_token_are_counted_over_all_callers,
        an_access_token_that_does_not_exist_is_guarded_like_one_that_does,
        honest_mistakes_get_through_in_several_calls,
        the_repeat_of_an_answered_call_is_no_guess;
    NoCalls: old_failures_are_removed;
}

/// An event without codes.
fn plain(identifier: &str, referred: &str, referrer: &str) -> Value {
    let mut event = event(identifier, referred, referrer);
    event["performed_on"] = json!("2016-06-22T15:00:00Z");
    event
}

/// An event whose referrer is identified by a code.
fn by_code(identifier: &str, referred: &str, access_token: Value) -> Value {
    let mut event = plain(identifier, referred, "50");
    event["referred_by_rewards_participant_identifier"] = json!({"access_token_identifier": access_token});
    event
}

fn wrong(n: usize) -> Value {
    let code = format!("{n:06}");
    // All three kinds of codes are of one count.
    match n % 3 {
        0 => json!({"authentication_code": code}),
        1 => json!({"one_time_password": code}),
        _ => json!({"identifier": format!("card {n}"), "pass_code": code}),
    }
}

fn right() -> Value {
    json!({"authentication_code": "AUTH20"})
}

/// A call of carla's, or of whoever has the token.
fn call(token: &str, events: Value) -> Value {
    json!({"token": token, "referral_customer_events_set": events,
           "fields_set": ["request_unique_identifier", "error_code"]})
}

async fn send(server: &Server, token: &str, events: Value) -> (Answer, Option<Duration>) {
    server.call_for_wait(&method("BulkCreateReferralEvents"), call(token, events), &[]).await
}

async fn refuse(server: &Server, token: &str, events: Value) -> Duration {
    let (answer, wait) = send(server, token, events).await;
    answer.assert_refused("TooManyRequests");
    wait.expect("a time to wait")
}

/// Gives wrong codes until that makes one wait; answers how many were told to be wrong, and the wait.
async fn guess_until_told_to_wait(server: &Server, token: &str) -> (usize, Duration) {
    for guesses in 0..1000 {
        let (answer, wait) = send(server, token, json!([by_code("1", "01", wrong(guesses))])).await;
        match answer.code.as_str() {
            "OK" => answer.assert_outcome(&[], &[("1", "InvalidAccessToken")]),
            _ => {
                answer.assert_refused("TooManyRequests");
                return (guesses, wait.expect("a time to wait"));
            }
        }
    }
    panic!("a thousand guesses");
}

/// Six wrong codes, a right one, and an event without one, of which a few are told.
fn mixed() -> Value {
    let mut events: Vec<Value> = (1..=6).map(|n| by_code(&n.to_string(), "01", wrong(n))).collect();
    events.insert(1, by_code("early", "02", right()));
    events.insert(2, by_code("again", "01", wrong(1)));
    events.extend([by_code("late", "03", right()), plain("none", "04", "05")]);
    json!(events)
}

const INVALID: &str = "InvalidAccessToken";
const NOT_ATTEMPTED: &str = "NotAttempted";

const MIXED: [(&str, &str); 8] = [
    ("1", INVALID),
    // The same wrong code again is not one more.
    ("again", INVALID),
    ("2", INVALID),
    ("3", INVALID),
    ("4", INVALID),
    ("5", NOT_ATTEMPTED),
    ("6", NOT_ATTEMPTED),
    ("late", NOT_ATTEMPTED),
];

async fn in_one_call_no_more_than_a_few_wrong_codes_are_told(setup: Setup) {
    let server = Server::start_with(setup, strict()).await;
    let (answer, _) = send(&server, &server.token, mixed()).await;
    answer.assert_outcome(&["early", "none"], &MIXED);
    assert_eq!(server.stored_events().await.len(), 2);
    // From now on, what has codes waits, and what has none does not.
    let (answer, _) = send(&server, &server.token, json!([by_code("1", "03", right()), plain("2", "06", "05")])).await;
    answer.assert_outcome(&["2"], &[("1", NOT_ATTEMPTED)]);
    let wait = refuse(&server, &server.token, json!([by_code("1", "03", right())])).await;
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(60), "{wait:?}");
}

async fn a_rehearsal_tells_no_more_than_a_call(setup: Setup) {
    let server = Server::start_with(setup, strict()).await;
    let mut rehearsal = call(&server.token, mixed());
    rehearsal["validate_only"] = json!(true);
    server.bulk(rehearsal.clone()).await.assert_outcome(&["early", "none"], &MIXED);
    rehearsal["referral_customer_events_set"] = json!([by_code("1", "03", right())]);
    server.bulk(rehearsal).await.assert_refused("TooManyRequests");
    assert!(server.stored_events().await.is_empty());
}

/// The calls by which one could be told whether a code is right.
async fn tell(server: &Server, token: &str, access_token: Value) -> Vec<Answer> {
    let mut one = json!({"token": token, "validate_only": true});
    let event = by_code("1", "03", access_token.clone());
    if server.transport == Transport::Grpc {
        one["referral_customer_event"] = event;
    } else {
        one.as_object_mut().expect("an object").extend(event.as_object().expect("an object").clone());
    }
    let mut answers = vec![server.call(&method("CreateReferralEvent"), one, &[]).await];
    for attribute in ["referred_by_rewards_participant_identifier", "referred_accounts_receivable_identifier"] {
        answers.push(
            server.list(json!({"token": token, attribute: {"access_token_identifier": access_token.clone()}})).await,
        );
    }
    answers
}

async fn who_has_to_wait_is_told_of_no_code_by_any_call(setup: Setup) {
    let server = Server::start_with(setup, strict()).await;
    let reader = server.login("acme", "rita").await;
    // A reader guesses by lists alone.
    for n in 0..4 {
        let filter = json!({"access_token_identifier": wrong(n)});
        let list = server.list(json!({"token": reader, "referred_by_accounts_receivable_identifier": filter})).await;
        list.assert_refused(INVALID);
    }
    for code in [right(), wrong(9)] {
        for answer in &tell(&server, &reader, code.clone()).await[1..] {
            answer.assert_refused("TooManyRequests");
        }
        // Who guesses nothing is told the truth.
        let answers = tell(&server, &server.token, code.clone()).await;
        assert!(answers.iter().all(|answer| (answer.code == "OK") == (code == right())), "{answers:?}");
    }
    assert_eq!(server.list(json!({"token": reader})).await.code, "OK");
    guess_until_told_to_wait(&server, &server.token).await;
    for code in [right(), wrong(9)] {
        for answer in tell(&server, &server.token, code).await {
            answer.assert_refused("TooManyRequests");
        }
    }
}

async fn callers_beside_a_guesser_are_served_as_ever(setup: Setup) {
    let server = Server::start_with(setup, strict()).await;
    let (adam, oscar) = (server.login("acme", "adam").await, server.login("other", "oscar").await);
    let guesses = async {
        for _ in 0..10 {
            guess_until_told_to_wait(&server, &server.token).await;
        }
    };
    let innocent = async {
        for referred in ["11", "12", "13"] {
            send(&server, &adam, json!([by_code("1", referred, right())])).await.0.assert_outcome(&["1"], &[]);
            let mut event = by_code("1", &format!("X{referred}"), json!({"authentication_code": "XAUTH20"}));
            event["referred_rewards_participant_identifier"] = json!({"number": format!("XRP{referred}")});
            event["performed_by_unit_identifier"] = json!({"name": "XAdmin Unit"});
            send(&server, &oscar, json!([event])).await.0.assert_outcome(&["1"], &[]);
        }
    };
    tokio::join!(guesses, innocent);
    // The guesser's own calls without codes, too.
    send(&server, &server.token, json!([plain("1", "14", "15")])).await.0.assert_outcome(&["1"], &[]);
}

async fn after_the_wait_that_was_told_a_right_code_is_accepted(setup: Setup) {
    let server = Server::start_with(setup, strict()).await;
    let (guesses, wait) = guess_until_told_to_wait(&server, &server.token).await;
    assert!(guesses >= 4, "{guesses}");
    server.advance(wait);
    send(&server, &server.token, json!([by_code("1", "01", right())])).await.0.assert_outcome(&["1"], &[]);
}

async fn replicas_and_restarts_count_together(setup: Setup) {
    let mut server = Server::start_with(setup, strict()).await;
    let replica = server.replica().await;
    for (n, server) in [&server, &replica, &server, &replica].into_iter().enumerate() {
        let (answer, _) = send(server, &server.token, json!([by_code("1", "01", wrong(n))])).await;
        answer.assert_outcome(&[], &[("1", INVALID)]);
    }
    for server in [&server, &replica] {
        refuse(server, &server.token, json!([by_code("1", "01", right())])).await;
    }
    server.restart_with(strict()).await;
    refuse(&server, &server.token, json!([by_code("1", "01", right())])).await;
    let adam = server.login("acme", "adam").await;
    send(&server, &adam, json!([by_code("1", "01", right())])).await.0.assert_outcome(&["1"], &[]);
}

async fn guesses_at_once_do_not_run_ahead_of_the_count(setup: Setup) {
    let server = Server::start_with(setup, strict()).await;
    let replica = server.replica().await;
    let adam = server.login("acme", "adam").await;
    let guesses = (0..20).flat_map(|n| [(n, &server), (n + 100, &replica)]);
    let guesses = guesses.map(|(n, server)| send(server, &server.token, json!([by_code("1", "01", wrong(n))])));
    let innocent = async {
        for referred in ["11", "12", "13"] {
            send(&server, &adam, json!([by_code("1", referred, right())])).await.0.assert_outcome(&["1"], &[]);
        }
    };
    let (answers, ()) = tokio::join!(join_all(guesses), innocent);
    let told = answers.iter().filter(|(answer, _)| answer.code == "OK").count();
    assert_eq!(told, 4);
    for (answer, wait) in answers.iter().filter(|(answer, _)| answer.code != "OK") {
        answer.assert_refused("TooManyRequests");
        assert!(wait.is_some());
    }
}

async fn the_pass_codes_of_one_access_token_are_counted_over_all_callers(setup: Setup) {
    let server = Server::start_with(setup, strict()).await;
    let adam = server.login("acme", "adam").await;
    let of = |token: &str, code: &str| json!({"identifier": format!("{token}@example.com"), "pass_code": code});
    for (n, caller) in [&server.token, &adam].into_iter().enumerate() {
        let events = json!([by_code("1", "01", of("t20", &n.to_string()))]);
        send(&server, caller, events).await.0.assert_outcome(&[], &[("1", INVALID)]);
    }
    // Neither has to wait, the access token has; not that of another, nor this one's other codes.
    let events = json!([
        by_code("1", "01", of("t20", "2020")),
        by_code("2", "02", of("t20", "wrong")),
        by_code("3", "03", of("t26", "2626")),
        by_code("4", "04", right()),
    ]);
    send(&server, &adam, events).await.0.assert_outcome(&["3", "4"], &[("1", NOT_ATTEMPTED), ("2", NOT_ATTEMPTED)]);
    let wait = refuse(&server, &server.token, json!([by_code("1", "01", of("t20", "2020"))])).await;
    assert!(!wait.is_zero() && wait <= Duration::from_secs(60), "{wait:?}");
    // In one call as well.
    let mut events: Vec<Value> = (1..=3).map(|n| by_code(&n.to_string(), "05", of("t26", &n.to_string()))).collect();
    events.push(by_code("right", "05", of("t26", "2626")));
    let outcome = [("1", INVALID), ("2", INVALID), ("3", NOT_ATTEMPTED), ("right", NOT_ATTEMPTED)];
    send(&server, &adam, json!(events)).await.0.assert_outcome(&[], &outcome);
}

async fn an_access_token_that_does_not_exist_is_guarded_like_one_that_does(setup: Setup) {
    let server = Server::start_with(setup, strict()).await;
    let of = |code: &str| json!({"identifier": "nobody@example.com", "pass_code": code});
    for n in ["1", "2"] {
        let answer = send(&server, &server.token, json!([by_code("1", "01", of(n))])).await.0;
        answer.assert_outcome(&[], &[("1", INVALID)]);
    }
    refuse(&server, &server.token, json!([by_code("1", "01", of("3"))])).await;
    send(&server, &server.token, json!([by_code("1", "01", right())])).await.0.assert_outcome(&["1"], &[]);
}

async fn honest_mistakes_get_through_in_several_calls(setup: Setup) {
    let server = Server::start_with(setup, strict()).await;
    // Of forty events with codes, six are mistyped.
    let mut left: Vec<Value> = (1..=40)
        .map(|n| by_code(&n.to_string(), &format!("{n:02}"), if n % 6 == 0 { wrong(n) } else { right() }))
        .filter(|event| event["request_unique_identifier"] != "20")
        .collect();
    let (mut processed, mut invalid) = (0, 0);
    for _ in 0..30 {
        let (answer, wait) = send(&server, &server.token, json!(left)).await;
        match answer.code.as_str() {
            "OK" => {
                processed += answer.processed().len();
                let failures = answer.failures();
                invalid += failures.iter().filter(|(_, code)| code == INVALID).count();
                let later = |event: &Value| {
                    let later = (event["request_unique_identifier"].as_str(), NOT_ATTEMPTED);
                    failures.iter().any(|(identifier, code)| (Some(identifier.as_str()), code.as_str()) == later)
                };
                left.retain(later);
            }
            _ => {
                answer.assert_refused("TooManyRequests");
                server.advance(wait.expect("a time to wait"));
            }
        }
        if left.is_empty() {
            assert_eq!((processed, invalid), (33, 6));
            return;
        }
    }
    panic!("{} events are left", left.len());
}

async fn old_failures_are_removed(setup: Setup) {
    let limits = Limits { longest_wait: Duration::from_millis(100), ..strict().guessing };
    let server = Server::start_with(setup, Config { guessing: limits, ..Config::default() }).await;
    send(&server, &server.token, json!([by_code("1", "01", wrong(1))])).await.0.assert_outcome(&[], &[("1", INVALID)]);
    assert!(!server.dump("failed_guesses").await.is_empty());
    until("they are gone", async || server.dump("failed_guesses").await.is_empty()).await;
}

async fn the_repeat_of_an_answered_call_is_no_guess(setup: Setup) {
    let server = Server::start_with(setup, strict()).await;
    let guesses =
        |n: usize| call(&server.token, json!([by_code("1", "01", wrong(n)), by_code("2", "02", wrong(n + 1))]));
    let expected = [("1", INVALID), ("2", INVALID)];
    let (first, _) = server.bulk_under("key", guesses(1)).await;
    first.assert_outcome(&[], &expected);
    let repeat = async || {
        for _ in 0..5 {
            let (again, is_marked) = server.bulk_under("key", guesses(1)).await;
            again.assert_outcome(&[], &expected);
            assert!(is_marked);
        }
    };
    repeat().await;
    // There are two guesses left of four, and no more.
    let (others, _) = server.bulk_under("another key", guesses(3)).await;
    others.assert_outcome(&[], &expected);
    refuse(&server, &server.token, json!([by_code("1", "01", wrong(5))])).await;
    // Who has to wait is told what was told before, and of the other content of a key nothing.
    repeat().await;
    let (other_content, _) = server.bulk_under("key", guesses(5)).await;
    other_content.assert_refused("IdempotencyKeyReused");
}
