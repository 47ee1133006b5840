//! A chain of very many referrals makes no call slow: what a call's events ask about it is walked once.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use referral_events::{directory::DirectoryKind, id::AccountKey};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};

use crate::support::{Server, Setup, event, tests};

tests! {
    Rest: a_call_about_a_long_chain_takes_hardly_longer_than_its_parts;
}

const LENGTH: usize = 30_000;
const EVENTS: usize = 1000;
const FIELDS: [&str; 4] = ["request_unique_identifier", "number", "error_code", "conflicting_event"];

/// An event by which account `referrer` refers account `referred`, each a number of those of [`start`].
fn referral(identifier: &str, referred: usize, referrer: usize) -> Value {
    let mut event = event(identifier, "01", "01");
    let members = event.as_object_mut().expect("an object");
    members.retain(|name, _| !name.starts_with("referred_"));
    members.insert("referred_accounts_receivable_identifier".to_owned(), json!({"number": format!("L{referred:05}")}));
    members
        .insert("referred_by_accounts_receivable_identifier".to_owned(), json!({"number": format!("L{referrer:05}")}));
    event
}

/// A server with accounts L00000, L00001, …, of which the first `LENGTH` are a chain: each was referred by the next. The
/// others are there for two calls, and one account beside.
async fn start(setup: Setup) -> Server {
    let server = Server::start(setup).await;
    let mut accounts = String::from("number\n");
    for n in 0..=LENGTH + 2 * EVENTS {
        writeln!(accounts, "L{n:05}").expect("a line");
    }
    server.import("acme", DirectoryKind::AccountsReceivable, accounts).await;
    let database = server.database.reader();
    let sql = "SELECT key FROM accounts_receivable WHERE number LIKE 'L%' ORDER BY number";
    let rows = database.query_all_raw(Statement::from_string(database.get_database_backend(), sql)).await;
    let keys =
        rows.expect("rows").iter().map(|row| row.try_get("", "key").expect("a key")).collect::<Vec<AccountKey>>();
    server.insert_chain(&keys[..LENGTH]).await;
    server
}

async fn a_call_about_a_long_chain_takes_hardly_longer_than_its_parts(setup: Setup) {
    const BOTTOM: usize = 0;
    const TOP: usize = LENGTH - 1;
    let server = start(setup).await;
    let timed = async |events: Vec<Value>| {
        let begin = Instant::now();
        let answer = server
            .bulk(json!({"token": server.token, "referral_customer_events_set": events, "fields_set": FIELDS}))
            .await;
        (answer, begin.elapsed())
    };
    // A thousand events that have nothing to do with the chain, and one that walks it from its bottom to its top.
    let fresh = |n: usize| LENGTH + n;
    let (answer, of_events) =
        timed((0..EVENTS).map(|n| referral(&n.to_string(), fresh(n), fresh(2 * EVENTS))).collect()).await;
    assert_eq!(answer.processed().len(), EVENTS);
    let (answer, of_walk) = timed(vec![referral("circle", TOP, BOTTOM)]).await;
    answer.assert_outcome(&[], &[("circle", "CircularReferral")]);

    // Referrers of all heights refer new accounts, and the chain's top, and one who is put above the top on the way.
    let beside = fresh(2 * EVENTS);
    let mut events = Vec::new();
    for n in 0..EVENTS {
        let referrer = n * 20;
        events.push(match n {
            500 => referral("above", TOP, beside),
            501 => referral("into", beside, referrer),
            _ if n % 2 == 0 => referral(&n.to_string(), fresh(EVENTS + n), referrer),
            _ if n < 500 => referral(&n.to_string(), TOP, referrer),
            _ => referral(&n.to_string(), beside, referrer),
        });
    }
    let (answer, of_both) = timed(events).await;
    let good: Vec<String> =
        (0..EVENTS).step_by(2).map(|n| if n == 500 { "above".to_owned() } else { n.to_string() }).collect();
    assert_eq!(answer.processed_identifiers(), good);
    assert!(answer.failures().iter().all(|(_, code)| code == "CircularReferral"), "{answer:?}");
    // The event that closes each circle is the one below the top, or the one that put somebody above it.
    let conflicting: Vec<&str> = answer.data["unprocessed_customer_events_set"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| event["conflicting_event"]["number"].as_str().unwrap_or_default())
        .collect();
    let below_top = (1_000_000 + LENGTH - 2).to_string();
    let above = answer.processed()[250]["number"].as_str().expect("a number").to_owned();
    let (first, last) = conflicting.split_at(250);
    assert!(first.iter().all(|number| *number == below_top), "{first:?}");
    assert!(last.iter().all(|number| *number == above), "{last:?}");

    println!("{:?}: {of_events:?} for the events, {of_walk:?} for a walk, {of_both:?} for both", setup.engine);
    // Walked for each event by itself, it would take hundreds of times as long as a walk.
    let expected = of_events + of_walk;
    assert!(of_both < 5 * expected + Duration::from_secs(1), "{of_both:?}, where its parts took {expected:?}");
}
