//! Rules that hold however calls overlap: several callers at once, over two servers on one database.

use std::{collections::HashSet, fmt::Write, time::Duration};

use futures_util::future::join_all;
use referral_events::directory::DirectoryKind;
use serde_json::{Value, json};

use crate::support::{Answer, Server, Setup, tests};

tests! {
    Both:
        of_callers_who_race_to_refer_a_party_exactly_one_succeeds,
        an_event_that_many_callers_send_is_created_once,
        of_contents_that_race_for_a_reference_one_is_created,
        a_one_time_password_that_callers_race_for_works_once,
        circles_that_no_single_call_closes_are_not_closed_by_several,
        batches_that_overlap_in_opposite_order_are_all_answered;
}

const ROUNDS: usize = 25;
const CALLERS: usize = 8;

/// Two servers over one database, with so many accounts Z0000, Z0001, … of participants.
async fn start(setup: Setup, parties: usize) -> [Server; 2] {
    let server = Server::start(setup).await;
    let (mut accounts, mut participants, mut tokens) = (
        String::from("number\n"),
        String::from("number,accounts_receivable_number\n"),
        String::from("identifier,one_time_password,rewards_participant_number\n"),
    );
    for n in 0..parties {
        writeln!(accounts, "Z{n:04}").expect("a line");
        writeln!(participants, "Y{n:04},Z{n:04}").expect("a line");
        writeln!(tokens, "X{n:04},9{n:05},Y{n:04}").expect("a line");
    }
    server.import("acme", DirectoryKind::AccountsReceivable, accounts).await;
    server.import("acme", DirectoryKind::RewardsParticipants, participants).await;
    server.import("acme", DirectoryKind::AccessTokens, tokens).await;
    let replica = server.replica().await;
    [server, replica]
}

/// An event by which party `referrer` refers party `referred`.
fn referral(identifier: &str, referred: usize, referrer: usize) -> Value {
    json!({
        "request_unique_identifier": identifier,
        "performed_by_unit_identifier": {"name": "Admin Unit"},
        "performed_on": "2016-06-22T15:00:00",
        "referred_accounts_receivable_identifier": {"number": format!("Z{referred:04}")},
        "referred_by_accounts_receivable_identifier": {"number": format!("Z{referrer:04}")},
    })
}

/// Sends calls at once, half of them to each server, each after a short pause that differs from round to round.
async fn race(servers: &[Server; 2], round: usize, calls: Vec<Value>) -> Vec<Answer> {
    let calls = calls.into_iter().enumerate().map(|(caller, events)| async move {
        tokio::time::sleep(Duration::from_micros((round * 7919 + caller * 104_729) as u64 % 2000)).await;
        servers[caller % 2].send(events).await
    });
    join_all(calls).await
}

/// The codes of the calls' only events, sorted.
fn codes(answers: &[Answer]) -> Vec<String> {
    let code = |answer: &Answer| answer.failures().first().map_or("OK".to_owned(), |(_, code)| code.clone());
    let mut codes: Vec<String> = answers.iter().map(code).collect();
    codes.sort();
    codes
}

fn one_of_them_succeeds(otherwise: &str) -> Vec<String> {
    let mut codes = vec![otherwise.to_owned(); CALLERS - 1];
    codes.push("OK".to_owned());
    codes.sort();
    codes
}

/// No number was given twice.
async fn assert_numbers_differ(server: &Server, events: usize) {
    let numbers: HashSet<i64> = server.stored_events().await.into_iter().map(|event| event.number.0).collect();
    assert_eq!(numbers.len(), events);
}

async fn of_callers_who_race_to_refer_a_party_exactly_one_succeeds(setup: Setup) {
    let servers = start(setup, ROUNDS + CALLERS).await;
    for round in 0..ROUNDS {
        let calls = (0..CALLERS).map(|caller| json!([referral("1", round, ROUNDS + caller)])).collect();
        let answers = race(&servers, round, calls).await;
        assert_eq!(codes(&answers), one_of_them_succeeds("ReferredByAnotherParticipant"));
    }
    assert_numbers_differ(&servers[0], ROUNDS).await;
}

async fn an_event_that_many_callers_send_is_created_once(setup: Setup) {
    let servers = start(setup, 2 * ROUNDS).await;
    for round in 0..ROUNDS {
        let mut event = referral("1", 2 * round, 2 * round + 1);
        event["external_system_reference_number"] = json!(round.to_string());
        let answers = race(&servers, round, vec![json!([event]); CALLERS]).await;
        let events: HashSet<String> = answers.iter().map(|answer| json!(answer.processed()).to_string()).collect();
        assert_eq!(events.len(), 1, "{events:?}");
    }
    assert_numbers_differ(&servers[0], ROUNDS).await;
}

async fn of_contents_that_race_for_a_reference_one_is_created(setup: Setup) {
    let servers = start(setup, ROUNDS * CALLERS + 1).await;
    for round in 0..ROUNDS {
        let calls = (0..CALLERS).map(|caller| {
            let mut event = referral("1", round * CALLERS + caller, ROUNDS * CALLERS);
            event["external_system"] = json!("till");
            event["external_system_reference_number"] = json!(round.to_string());
            json!([event])
        });
        let answers = race(&servers, round, calls.collect()).await;
        assert_eq!(codes(&answers), one_of_them_succeeds("ExternalReferenceConflict"));
    }
    assert_numbers_differ(&servers[0], ROUNDS).await;
}

async fn a_one_time_password_that_callers_race_for_works_once(setup: Setup) {
    let servers = start(setup, ROUNDS * (CALLERS + 1)).await;
    for round in 0..ROUNDS {
        let calls = (0..CALLERS).map(|caller| {
            let mut event = referral("1", ROUNDS + round * CALLERS + caller, 0);
            event["referred_by_accounts_receivable_identifier"] =
                json!({"access_token_identifier": {"one_time_password": format!("9{round:05}")}});
            json!([event])
        });
        let answers = race(&servers, round, calls.collect()).await;
        assert_eq!(codes(&answers), one_of_them_succeeds("InvalidAccessToken"));
    }
    assert_numbers_differ(&servers[0], ROUNDS).await;
}

async fn circles_that_no_single_call_closes_are_not_closed_by_several(setup: Setup) {
    const LENGTH: usize = 6;
    let servers = start(setup, ROUNDS * LENGTH).await;
    for round in 0..ROUNDS {
        // Every second edge of a ring is there; the others, which share no party, are sent at once. All of them but
        // one may be created. In other rounds all edges are sent at once.
        let party = |n: usize| round * LENGTH + n % LENGTH;
        let edge = |n: usize| json!([referral("1", party(n), party(n + 1))]);
        let mut edges: Vec<usize> = (0..LENGTH).collect();
        if round % 2 == 0 {
            for n in edges.extract_if(.., |n| *n % 2 == 0) {
                servers[0].send(edge(n)).await.assert_outcome(&["1"], &[]);
            }
        }
        let answers = race(&servers, round, edges.iter().map(|n| edge(*n)).collect()).await;
        let mut expected = vec!["OK".to_owned(); edges.len() - 1];
        expected.insert(0, "CircularReferral".to_owned());
        assert_eq!(codes(&answers), expected);
    }
    assert_numbers_differ(&servers[0], ROUNDS * (LENGTH - 1)).await;
}

async fn batches_that_overlap_in_opposite_order_are_all_answered(setup: Setup) {
    const EVENTS: usize = 20;
    let servers = start(setup, ROUNDS * EVENTS + CALLERS).await;
    for round in 0..ROUNDS {
        let calls = (0..CALLERS).map(|caller| {
            let referrer = ROUNDS * EVENTS + caller;
            let mut events: Vec<Value> =
                (0..EVENTS).map(|n| referral(&n.to_string(), round * EVENTS + n, referrer)).collect();
            if caller % 2 == 1 {
                events.reverse();
            }
            json!(events)
        });
        let answers = race(&servers, round, calls.collect()).await;
        let created: usize = answers.iter().map(|answer| answer.processed().len()).sum();
        assert_eq!(created, EVENTS);
        let answered = |answer: &Answer| answer.processed().len() + answer.failures().len();
        assert!(answers.iter().all(|answer| answered(answer) == EVENTS));
    }
    assert_numbers_differ(&servers[0], ROUNDS * EVENTS).await;
}
