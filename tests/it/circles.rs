//! Referrals form no circle, of whatever length, unless circles are allowed.

use referral_events::{config::Config, referral::ReferralSettings};
use serde_json::{Value, json};

use crate::support::{Server, Setup, event, tests};

tests! {
    Both:
        no_circle_is_closed_through_the_database,
        no_circle_is_closed_within_a_call,
        no_circle_is_closed_half_by_the_database_and_half_by_the_call,
        what_is_no_circle_is_let_through,
        an_event_that_was_refused_closes_no_circle,
        circles_can_be_allowed,
        circles_from_when_they_were_allowed_hold_nobody_up;
}

/// The events of a chain of parties from `first` on, each referred by the next; the last event closes the circle.
fn chain(first: usize, length: usize) -> Vec<Value> {
    let party = |n: usize| format!("{:02}", first + n % length);
    (0..length).map(|n| event(&n.to_string(), &party(n), &party(n + 1))).collect()
}

/// Chains of these lengths, no two of which share a party.
fn chains<const N: usize>(lengths: [usize; N]) -> [Vec<Value>; N] {
    let mut first = 1;
    lengths.map(|length| {
        first += length;
        chain(first - length, length)
    })
}

fn identifier(event: &Value) -> String {
    event["request_unique_identifier"].as_str().expect("a text").to_owned()
}

async fn no_circle_is_closed_through_the_database(setup: Setup) {
    let server = Server::start(setup).await;
    for mut events in chains([2, 3, 10, 35]) {
        let last = events.pop().expect("an event");
        let stored = server.stored_events().await.len();
        for event in &events {
            assert_eq!(server.send(json!([event])).await.failures(), []);
        }
        server.send(json!([last])).await.assert_outcome(&[], &[(&identifier(&last), "CircularReferral")]);
        assert_eq!(server.stored_events().await.len(), stored + events.len());
    }
}

async fn no_circle_is_closed_within_a_call(setup: Setup) {
    let server = Server::start(setup).await;
    // In the order of the chain and against it: the event that closes the circle is the last of the call.
    for (n, mut events) in chains([2, 2, 3, 3, 10, 10, 20]).into_iter().enumerate() {
        if n % 2 == 0 {
            events.reverse();
        }
        let stored = server.stored_events().await.len();
        let answer = server.send(json!(events)).await;
        let last = identifier(events.last().expect("an event"));
        assert_eq!(answer.failures(), [(last, "CircularReferral".to_owned())]);
        assert_eq!(answer.processed().len(), events.len() - 1);
        assert_eq!(server.stored_events().await.len(), stored + events.len() - 1);
    }
}

async fn no_circle_is_closed_half_by_the_database_and_half_by_the_call(setup: Setup) {
    let server = Server::start(setup).await;
    for events in chains([3, 10, 37]) {
        // Every other link is stored: the call must join what it brings and what is there, many times over.
        let stored: Vec<&Value> = events.iter().skip(1).step_by(2).collect();
        let brought: Vec<&Value> = events.iter().step_by(2).collect();
        assert_eq!(server.send(json!(stored)).await.failures(), []);
        let answer = server.send(json!(brought)).await;
        let last = identifier(brought.last().expect("an event"));
        assert_eq!(answer.failures(), [(last, "CircularReferral".to_owned())]);
        assert_eq!(answer.processed().len(), brought.len() - 1);
    }
}

async fn what_is_no_circle_is_let_through(setup: Setup) {
    let server = Server::start(setup).await;
    // A tree: 01 refers 02 and 03, 02 refers 04 and 05. A new root, and a new leaf by whatever branch.
    let tree = json!([event("1", "02", "01"), event("2", "03", "01"), event("3", "04", "02"), event("4", "05", "02")]);
    assert_eq!(server.send(tree).await.failures(), []);
    let answer =
        server.send(json!([event("root", "01", "06"), event("leaf", "07", "05"), event("joined", "08", "07")])).await;
    answer.assert_outcome(&["root", "leaf", "joined"], &[]);
    // Every other way to put the root under its own tree is a circle.
    let under = |n: usize| event(&n.to_string(), "06", &format!("{n:02}"));
    let answer = server.send(json!([under(1), under(2), under(3), under(4), under(5), under(7), under(8)])).await;
    let expected: Vec<_> = [1, 2, 3, 4, 5, 7, 8].map(|n: i32| (n.to_string(), "CircularReferral".to_owned())).to_vec();
    assert_eq!(answer.failures(), expected);
    server.send(json!([event("9", "06", "09")])).await.assert_outcome(&["9"], &[]);
}

async fn an_event_that_was_refused_closes_no_circle(setup: Setup) {
    let server = Server::start(setup).await;
    let mut refused = event("refused", "02", "01");
    refused["performed_by_unit_identifier"] = json!({"name": "Nowhere"});
    let answer = server.send(json!([refused, event("good", "01", "02"), event("circle", "02", "01")])).await;
    answer.assert_outcome(&["good"], &[("refused", "UnitNotFound"), ("circle", "CircularReferral")]);
}

fn circles_allowed() -> Config {
    Config { referral: ReferralSettings { allow_circles: true, ..ReferralSettings::default() }, ..Config::default() }
}

async fn circles_can_be_allowed(setup: Setup) {
    let server = Server::start_with(setup, circles_allowed()).await;
    for events in chains([2, 3, 10, 30]) {
        let answer = server.send(json!(events)).await;
        assert_eq!(answer.failures(), []);
        assert_eq!(answer.processed_identifiers(), events.iter().map(identifier).collect::<Vec<_>>());
    }
    assert_eq!(server.stored_events().await.len(), 45);
    // The other rules stand.
    let events = json!([event("self", "50", "50"), event("same", "01", "02"), event("other", "01", "49")]);
    let failures =
        [("self", "SelfReferral"), ("same", "ReferralAlreadyExists"), ("other", "ReferredByAnotherParticipant")];
    server.send(events).await.assert_outcome(&[], &failures);
}

async fn circles_from_when_they_were_allowed_hold_nobody_up(setup: Setup) {
    let mut server = Server::start_with(setup, circles_allowed()).await;
    let mut events = chain(1, 3);
    // A tail that leads into the circle.
    events.extend([event("tail", "04", "01"), event("tip", "05", "04")]);
    assert_eq!(server.send(json!(events)).await.failures(), []);
    server.restart_with(Config::default()).await;
    let answer = server
        .send(json!([
            event("leaf", "06", "05"),
            event("under", "07", "02"),
            // The referred one has referred somebody, so that the walk up goes into the circle.
            event("top", "09", "08"),
            event("walk", "08", "05"),
            event("circle", "10", "11"),
            event("closing", "11", "10"),
            event("in it", "01", "09"),
        ]))
        .await;
    answer.assert_outcome(
        &["leaf", "under", "top", "walk", "circle"],
        &[("closing", "CircularReferral"), ("in it", "ReferredByAnotherParticipant")],
    );
}
