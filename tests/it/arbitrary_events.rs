//! Anything at any place of an event: its neighbours are created, it is answered once, and nothing breaks.

use proptest::{
    collection::{hash_map, vec},
    prelude::*,
    sample::select,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::support::{Server, Setup, event, leaves, tests};

tests! {
    Rest:
        whatever_an_event_holds_its_neighbours_are_created,
        whatever_stands_in_its_place_an_event_is_answered_once,
        an_event_is_refused_for_the_same_in_a_set_and_by_itself;
}

const CASES: u32 = 256;

/// Texts that mean something somewhere.
const TEXTS: [&str; 20] = [
    "",
    " ",
    "1",
    "RP30",
    "RP53",
    "ACR51",
    "ACR70",
    "Admin Unit",
    "U3",
    "BU2",
    "AUTH20",
    "020020",
    "t20@example.com",
    "2020",
    "2016-06-22T15:00:00",
    "2016-13-45T00:00:00",
    "9999-12-31T23:59:59Z",
    "a\0b",
    "\u{feff}",
    "😀",
];

fn names() -> Vec<String> {
    let mut names: Vec<String> =
        leaves().iter().flat_map(|(path, _)| path.split('.').map(str::to_owned).collect::<Vec<_>>()).collect();
    names.sort();
    names.dedup();
    names
}

/// Any JSON that `serde_json` can write.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        3 => select(TEXTS.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => (0..5000usize).prop_map(|length| "x".repeat(length)),
    ];
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        3 => text.prop_map(Value::from),
    ];
    let name = prop_oneof![4 => select(names()), 1 => any::<String>()];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            hash_map(name.clone(), inner, 0..6).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// Every place of an event, the objects that contain others among them.
fn places() -> Vec<String> {
    let mut places = vec!["colour".to_owned(), "performed_by_unit_identifier.colour".to_owned()];
    for (path, _) in leaves() {
        places.extend(path.match_indices('.').map(|(at, _)| path[..at].to_owned()));
        places.push(path);
    }
    places.sort();
    places.dedup();
    places
}

/// Puts a value at a place; what stands in the way becomes an object.
fn put(event: &mut Value, place: &str, value: Value) {
    let mut target = event;
    for name in place.split('.') {
        if !target.is_object() {
            *target = json!({});
        }
        target = &mut target[name];
    }
    *target = value;
}

/// A good event that is the same each time it is sent.
fn neighbour(identifier: &str, referred: &str) -> Value {
    let mut event = event(identifier, referred, "60");
    event["external_system"] = json!("the neighbours'");
    event["external_system_reference_number"] = json!(identifier);
    event
}

/// Sends events between two neighbours, and asserts that each of them is answered once.
async fn check(server: &Server, between: Vec<Value>) -> Result<(), TestCaseError> {
    let count = between.len();
    let mut events = vec![neighbour("before", "01")];
    events.extend(between);
    events.push(neighbour("after", "02"));
    let body = json!({"token": server.token, "referral_customer_events_set": events}).to_string();
    let (status, answer) = server.post_text("customer_events/bulk/referrals/create", body).await;
    prop_assert_eq!((status, answer.code.as_str()), (200, "OK"));
    let processed = answer.processed_identifiers();
    prop_assert!(processed.iter().filter(|name| *name == "before").count() == 1, "{:?}", answer);
    prop_assert!(processed.iter().filter(|name| *name == "after").count() == 1, "{:?}", answer);
    prop_assert_eq!(processed.len() + answer.unprocessed().len(), count + 2);
    for (_, code) in answer.failures() {
        prop_assert!(code != "Internal" && !code.is_empty(), "{:?}", answer);
    }
    Ok(())
}

/// Runs cases against a server where the neighbours are created already.
async fn run<S: Strategy>(setup: Setup, strategy: S, events: impl Fn(S::Value) -> Vec<Value>) {
    let server = Server::start(setup).await;
    let first = server.send(json!([neighbour("before", "01"), neighbour("after", "02")])).await;
    first.assert_outcome(&["before", "after"], &[]);
    let handle = Handle::current();
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let result =
        tokio::task::block_in_place(|| runner.run(&strategy, |input| handle.block_on(check(&server, events(input)))));
    if let Err(error) = result {
        panic!("{error}");
    }
    server.assert_serving().await;
}

async fn whatever_an_event_holds_its_neighbours_are_created(setup: Setup) {
    let changes = vec((select(places()), any_json()), 1..4);
    run(setup, changes, |changes| {
        let mut event = event("between", "03", "04");
        for (place, value) in changes {
            put(&mut event, &place, value);
        }
        vec![event]
    })
    .await;
}

async fn whatever_stands_in_its_place_an_event_is_answered_once(setup: Setup) {
    run(setup, vec(any_json(), 0..6), |events| events).await;
}

/// The two calls read events in ways of their own.
async fn an_event_is_refused_for_the_same_in_a_set_and_by_itself(setup: Setup) {
    let server = Server::start(setup).await;
    let changes = vec((select(places()), any_json()), 1..4);
    let handle = Handle::current();
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let compare = async |changes: Vec<(String, Value)>| {
        let mut event = event("it", "03", "04");
        // By itself an event needs no name.
        for (place, value) in changes.into_iter().filter(|(place, _)| place != "request_unique_identifier") {
            put(&mut event, &place, value);
        }
        let set = json!({"token": server.token, "validate_only": true, "referral_customer_events_set": [event]});
        let in_set = server.bulk(set).await;
        let in_set = in_set.unprocessed().first().map_or("OK".into(), |refused| refused["error_code"].clone());
        let by_itself = server.create(json!({"validate_only": true}), event.clone()).await;
        prop_assert_eq!(in_set.as_str(), Some(by_itself.code.as_str()), "{}", event);
        Ok(())
    };
    let result = tokio::task::block_in_place(|| runner.run(&changes, |changes| handle.block_on(compare(changes))));
    if let Err(error) = result {
        panic!("{error}");
    }
}
