//! Callers beside one who sends more than fits: it waits or is refused, they notice nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use referral_events::{config::Config, id::OrganisationId, referral::ReferralSettings, storage::Transaction};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tonic_types::StatusExt;

use crate::support::{Answer, Server, Setup, Transport, event, message, tests};

tests! {
    Both:
        past_the_queue_calls_are_refused_and_told_when_to_come_back,
        a_caller_that_leaves_the_queue_makes_room,
        organisations_are_served_in_turn;
    Sqlite:
        a_full_queue_has_room_for_an_organisation_that_has_fewer_calls_in_it,
        a_full_queue_refuses_who_would_write_before_the_body_and_nobody_who_reads;
    Postgres:
        calls_that_wait_for_their_turn_keep_no_other_organisation_waiting;
}

/// Calls of one organisation that are carried out at once, a quarter of all, and those that wait whatever the expected
/// time.
const MAXIMUM_CALLS: usize = 24;
const AT_WORK: usize = MAXIMUM_CALLS / 4;
const ALWAYS_WAIT: usize = 16;

/// A server in which calls of acme come to no end until the transaction ends: it holds acme's turn, on SQLite that of
/// all. With the token of a caller of the other organisation.
async fn held(setup: Setup, config: Config) -> (Arc<Server>, Transaction, String) {
    let mut server = Server::start(setup).await;
    server.restart_with(config).await;
    let other = server.login("other", "oscar").await;
    let lock = server.patient_database().await.begin_turn(OrganisationId(1)).await.expect("a turn");
    server.take_statements();
    (Arc::new(server), lock, other)
}

/// Whoever is expected to wait is refused.
fn impatient() -> Config {
    Config { maximum_wait: Duration::from_millis(1), maximum_calls: MAXIMUM_CALLS, ..Config::default() }
}

/// Nobody is refused for the time it has to wait.
fn patient() -> Config {
    Config { maximum_wait: Duration::from_secs(60), ..Config::default() }
}

/// A call by which the last participant refers the one of this number.
fn request(token: &str, prefix: &str, n: usize) -> Value {
    let mut event = event("1", &format!("{n:02}"), "60");
    for party in ["referred_rewards_participant_identifier", "referred_by_rewards_participant_identifier"] {
        let number = event[party]["number"].as_str().expect("a number");
        event[party]["number"] = json!(format!("{prefix}{number}"));
    }
    event["performed_by_unit_identifier"]["name"] = json!(format!("{prefix}Admin Unit"));
    json!({"token": token, "referral_customer_events_set": [event]})
}

/// Sends calls of acme, each of which waits, and waits until the server knows all their callers.
async fn send_waiting(server: &Arc<Server>, numbers: std::ops::Range<usize>) -> JoinSet<Answer> {
    send_all_waiting(server, numbers.map(|n| request(&server.token, "", n))).await
}

async fn send_all_waiting(server: &Arc<Server>, requests: impl IntoIterator<Item = Value>) -> JoinSet<Answer> {
    let mut calls = JoinSet::new();
    for request in requests {
        let before = authenticated(server);
        let caller = server.clone();
        calls.spawn(async move { caller.bulk(request).await });
        until(|| authenticated(server) > before).await;
    }
    // Its own look-up of who calls comes after theirs.
    list(server, &server.token).await;
    calls
}

/// How many calls have asked who calls.
fn authenticated(server: &Server) -> usize {
    let statements = server.statements.lock().expect("a lock");
    statements.iter().filter(|sql| sql.contains("u.role")).count()
}

async fn until(condition: impl Fn() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it does not come about");
}

async fn list(server: &Server, token: &str) {
    let method = crate::support::method("ListReferralEvents");
    assert_eq!(server.call(&method, json!({"token": token}), &[]).await.code, "OK");
}

/// Sends calls until one is refused; answers how many were not.
async fn send_until_refused(server: &Arc<Server>, calls: &mut JoinSet<Answer>) -> usize {
    for n in 1..60 {
        let before = authenticated(server);
        let (caller, request) = (server.clone(), request(&server.token, "", n));
        let refused_or_pending = calls.spawn(async move { caller.bulk(request).await });
        until(|| authenticated(server) > before).await;
        // A refusal takes less time than these.
        for _ in 0..5 {
            list(server, &server.token).await;
            if refused_or_pending.is_finished() {
                return n - 1;
            }
        }
    }
    panic!("none is refused");
}

/// The time that a refusal tells to wait.
async fn told_to_wait(server: &Server, request: Value) -> Duration {
    match server.transport {
        Transport::Rest => {
            let url = server.url("customer_events/bulk/referrals/create");
            let response = server.http().post(url).json(&request).send().await.expect("a response");
            assert_eq!(response.status(), 429);
            let seconds = response.headers()["retry-after"].to_str().expect("a text").parse().expect("seconds");
            Duration::from_secs(seconds)
        }
        Transport::Grpc => {
            let request: referral_events::contract::BulkCreateReferralEventsRequest =
                message("BulkCreateReferralEventsRequest", request);
            let status = server.events_client().bulk_create_referral_events(request).await.expect_err("a refusal");
            assert_eq!(status.code(), tonic::Code::ResourceExhausted);
            status.get_error_details().retry_info().and_then(|info| info.retry_delay).expect("a delay")
        }
    }
}

async fn past_the_queue_calls_are_refused_and_told_when_to_come_back(setup: Setup) {
    let (server, lock, _) = held(setup, impatient()).await;
    let mut calls = JoinSet::new();
    assert_eq!(send_until_refused(&server, &mut calls).await, AT_WORK + ALWAYS_WAIT);
    let wait = told_to_wait(&server, request(&server.token, "", 50)).await;
    assert!((Duration::from_secs(1)..=Duration::from_secs(60)).contains(&wait), "{wait:?}");
    lock.rollback().await.expect("a rollback");
    let answers = calls.join_all().await;
    let (refused, answered): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.code == "TooManyRequestsException");
    assert_eq!(refused.len(), 1);
    answered.iter().for_each(|answer| answer.assert_outcome(&["1"], &[]));
    // Who comes back is served.
    server.bulk(request(&server.token, "", 50)).await.assert_outcome(&["1"], &[]);
}

async fn a_caller_that_leaves_the_queue_makes_room(setup: Setup) {
    let (server, lock, _) = held(setup, impatient()).await;
    let at_work = send_waiting(&server, 1..1 + AT_WORK).await;
    let mut calls = send_waiting(&server, 10..10 + ALWAYS_WAIT).await;
    server.bulk(request(&server.token, "", 40)).await.assert_refused("TooManyRequests");
    calls.shutdown().await;
    let mut waiting = JoinSet::new();
    for _ in 0..400 {
        // The server may hear of it a little later.
        let (caller, request) = (server.clone(), request(&server.token, "", 41));
        let pending = waiting.spawn(async move { caller.bulk(request).await });
        let before = authenticated(&server);
        until(|| authenticated(&server) > before || pending.is_finished()).await;
        list(&server, &server.token).await;
        if !pending.is_finished() {
            break;
        }
        assert_eq!(waiting.join_next().await.expect("an answer").expect("a task").code, "TooManyRequestsException");
    }
    lock.rollback().await.expect("a rollback");
    waiting.join_next().await.expect("a call that waits").expect("a task").assert_outcome(&["1"], &[]);
    at_work.join_all().await.iter().for_each(|answer| answer.assert_outcome(&["1"], &[]));
    // What nobody waited for any more was not begun.
    assert_eq!(server.stored_events().await.len(), AT_WORK + 1);
}

async fn organisations_are_served_in_turn(setup: Setup) {
    // A turn is as long as a group is large.
    let referral = ReferralSettings { maximum_group: 1, ..ReferralSettings::default() };
    let (server, lock, other) = held(setup, Config { referral, ..patient() }).await;
    let ended = Arc::new(AtomicUsize::new(0));
    let mut calls = JoinSet::new();
    for (token, prefix, numbers) in [(&server.token, "", 1..21), (&other, "X", 1..4)] {
        for n in numbers {
            let before = authenticated(&server);
            let (caller, request, ended) = (server.clone(), request(token, prefix, n), ended.clone());
            calls.spawn(async move {
                caller.bulk(request).await.assert_outcome(&["1"], &[]);
                (prefix, ended.fetch_add(1, Ordering::Relaxed))
            });
            until(|| authenticated(&server) > before).await;
        }
    }
    lock.rollback().await.expect("a rollback");
    let places = calls.join_all().await;
    let last_of_other = places.iter().filter(|(prefix, _)| *prefix == "X").map(|(_, place)| *place).max();
    assert!(last_of_other.expect("a call") < 15, "{places:?}");
}

async fn a_full_queue_has_room_for_an_organisation_that_has_fewer_calls_in_it(setup: Setup) {
    let (server, lock, other) = held(setup, Config { maximum_calls: 8, ..Config::default() }).await;
    // Two that share no place, for both are large.
    let large = |n| {
        let mut request = request(&server.token, "", n);
        request["referral_customer_events_set"].as_array_mut().expect("a set").extend(vec![json!({}); 600]);
        request
    };
    let at_work = send_all_waiting(&server, [large(1), large(2)]).await;
    let small = (3..9).map(|n| request(&server.token, "", n));
    let mut waiting = send_all_waiting(&server, small).await;
    server.bulk(request(&server.token, "", 40)).await.assert_refused("TooManyRequests");
    let pending = server.bulk(request(&other, "X", 1));
    let released = async {
        // The one of acme that came last gives its place.
        let displaced = waiting.join_next().await.expect("an answer").expect("a task");
        displaced.assert_refused("TooManyRequests");
        lock.rollback().await.expect("a rollback");
        (at_work.join_all().await, waiting.join_all().await)
    };
    let (answer, (at_work, waiting)) = tokio::join!(pending, released);
    answer.assert_outcome(&["1"], &[]);
    assert_eq!((at_work.len(), waiting.len()), (2, 5));
    at_work.iter().for_each(|answer| assert_eq!(answer.processed().len(), 1));
    waiting.iter().for_each(|answer| answer.assert_outcome(&["1"], &[]));
}

async fn a_full_queue_refuses_who_would_write_before_the_body_and_nobody_who_reads(setup: Setup) {
    let (server, lock, _) = held(setup, Config { maximum_calls: 8, ..Config::default() }).await;
    let calls = send_waiting(&server, 1..9).await;
    // Its body never comes.
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    let head = format!(
        "POST /customer_events/bulk/referrals/create HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\
         content-type: application/json\r\nauthorization: Bearer {}\r\n\r\n",
        server.token
    );
    stream.write_all(head.as_bytes()).await.expect("a head");
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.expect("an answer");
    assert_eq!(str::from_utf8(&status), Ok("HTTP/1.1 429"));
    list(&server, &server.token).await;
    let mut rehearsal = request(&server.token, "", 40);
    rehearsal["validate_only"] = json!(true);
    assert_eq!(server.bulk(rehearsal).await.code, "OK");
    lock.rollback().await.expect("a rollback");
    calls.join_all().await.iter().for_each(|answer| answer.assert_outcome(&["1"], &[]));
}

async fn calls_that_wait_for_their_turn_keep_no_other_organisation_waiting(setup: Setup) {
    let (server, lock, other) = held(setup, patient()).await;
    let calls = send_waiting(&server, 1..41).await;
    let innocent = async {
        for n in 1..=10 {
            server.bulk(request(&other, "X", n)).await.assert_outcome(&["1"], &[]);
            list(&server, &other).await;
            list(&server, &server.token).await;
            server.login("other", "oscar").await;
        }
        lock.rollback().await.expect("a rollback");
    };
    let (answers, ()) = tokio::join!(calls.join_all(), innocent);
    answers.iter().for_each(|answer| answer.assert_outcome(&["1"], &[]));
}
