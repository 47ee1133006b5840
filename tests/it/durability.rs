//! What was acknowledged survives the end of the process, however it ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use referral_events::storage::{Database, entity::referral_event};
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Answer, Process, Setup, Workplace, tests};

tests! {
    Once:
        acknowledged_events_survive_a_kill,
        a_call_under_way_is_answered_before_the_server_stops,
        a_call_that_is_still_being_sent_is_answered_before_the_server_stops;
}

const EVENTS_A_CALL: usize = 25;
const CALLS: usize = 160;
const CALLERS: usize = 4;
const KILLS: usize = 6;

/// A workplace with a caller, and accounts enough for all calls.
fn workplace() -> Workplace {
    let workplace = Workplace::new();
    workplace.add_caller("a password");
    let mut accounts = String::from("number\nreferrer\n");
    for n in 0..CALLS * EVENTS_A_CALL {
        writeln!(accounts, "A{n}").expect("a line");
    }
    workplace.run_well(&["import", "--organisation", "acme", "units", "-"], "name,alternative_code\nAdmin Unit,U\n");
    workplace.run_well(&["import", "--organisation", "acme", "accounts_receivable", "-"], &accounts);
    workplace
}

/// The call of this number, whose events are no other call's.
fn request(token: &str, call: usize) -> Value {
    let event = |n: usize| {
        json!({
            "request_unique_identifier": n.to_string(),
            "performed_by_unit_identifier": {"name": "Admin Unit"},
            "performed_on": "2016-06-22T15:00:00",
            "referred_accounts_receivable_identifier": {"number": format!("A{n}")},
            "referred_by_accounts_receivable_identifier": {"number": "referrer"},
            "external_system": format!("call {call}"),
            "external_system_reference_number": n.to_string(),
        })
    };
    let events: Vec<Value> = (call * EVENTS_A_CALL..(call + 1) * EVENTS_A_CALL).map(event).collect();
    json!({"token": token, "referral_customer_events_set": events})
}

const PATH: &str = "customer_events/bulk/referrals/create";

/// The id and number of each event of a call, all of which were created, by its reference.
fn created(answer: &Answer) -> BTreeMap<String, (String, String)> {
    assert_eq!(answer.failures(), []);
    let text = |event: &Value, name: &str| event[name].as_str().expect("a text").to_owned();
    let entry = |event: &Value| (text(event, "request_unique_identifier"), (text(event, "id"), text(event, "number")));
    let created: BTreeMap<_, _> = answer.processed().iter().map(entry).collect();
    assert_eq!(created.len(), EVENTS_A_CALL);
    created
}

/// What is in the database, by reference; nothing twice.
async fn stored(workplace: &Workplace) -> BTreeMap<String, (String, String)> {
    let database = Database::connect(&workplace.database_url()).await.expect("a database");
    let events = referral_event::Entity::find().all(database.read()).await.expect("events");
    let count = events.len();
    let accounts: BTreeSet<i64> = events.iter().map(|event| event.referred_account_key).collect();
    let stored: BTreeMap<_, _> = events
        .into_iter()
        .map(|event| {
            let reference = event.external_system_reference_number.expect("a reference");
            (reference, (format!("{:X}", event.id.simple()), event.number.to_string()))
        })
        .collect();
    assert_eq!((stored.len(), accounts.len()), (count, count));
    database.close().await.expect("a close");
    stored
}

async fn acknowledged_events_survive_a_kill(_: Setup) {
    let workplace = workplace();
    let next = Arc::new(AtomicUsize::new(0));
    let mut acknowledged = BTreeMap::new();
    let mut unanswered = Vec::new();
    for kill in 0..KILLS {
        let mut server = workplace.serve(&[]);
        let token = server.login("a password").await;
        let (sender, mut answers) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..CALLERS {
            let (next, sender, token) = (next.clone(), sender.clone(), token.clone());
            let url = format!("http://{}/{PATH}", server.address);
            tokio::spawn(async move {
                let client = reqwest::Client::new();
                loop {
                    let call = next.fetch_add(1, Ordering::Relaxed);
                    assert!(call < CALLS, "the calls are used up");
                    let response = client.post(&url).json(&request(&token, call)).send().await;
                    let answer = match response {
                        Ok(response) => Some(response.json::<Value>().await).and_then(Result::ok),
                        Err(_) => None,
                    };
                    let died = answer.is_none();
                    sender.send((call, answer)).expect("a receiver");
                    if died {
                        return;
                    }
                }
            });
        }
        drop(sender);
        // Some calls are answered, then it ends in the middle of others; each time at another point.
        let mut killed = false;
        let mut answered = 0;
        while let Some((call, answer)) = answers.recv().await {
            match answer {
                Some(answer) => {
                    let answer = Answer { code: "OK".to_owned(), message: String::new(), data: answer["data"].clone() };
                    acknowledged.extend(created(&answer));
                    answered += 1;
                }
                None => unanswered.push(call),
            }
            if answered > kill && !killed {
                tokio::time::sleep(Duration::from_millis(3 * kill as u64)).await;
                server.kill();
                killed = true;
            }
        }
        assert!(killed);
        // Each caller was cut off in a call, for it stops at nothing else.
        assert_eq!(unanswered.len(), CALLERS * (kill + 1));

        let stored = stored(&workplace).await;
        for (reference, event) in &acknowledged {
            assert_eq!(stored.get(reference), Some(event), "{reference} was acknowledged");
        }
        for call in &unanswered {
            let references = (call * EVENTS_A_CALL..(call + 1) * EVENTS_A_CALL).map(|n| n.to_string());
            let there = references.filter(|reference| stored.contains_key(reference)).count();
            assert!(there == 0 || there == EVENTS_A_CALL, "{there} events of call {call} are there");
        }
    }

    // Every call once more: the answered ones give what they gave, the others are made up for.
    let before = stored(&workplace).await;
    let server = workplace.serve(&[]);
    let token = server.login("a password").await;
    let calls = next.load(Ordering::Relaxed);
    let mut all = BTreeMap::new();
    for call in 0..calls {
        all.extend(created(&server.post(PATH, &request(&token, call)).await));
    }
    assert_eq!(all.len(), calls * EVENTS_A_CALL);
    for (reference, event) in before {
        assert_eq!(all.get(&reference), Some(&event), "{reference} was there");
    }
    assert_eq!(stored(&workplace).await, all);
}

async fn a_call_under_way_is_answered_before_the_server_stops(_: Setup) {
    let workplace = workplace();
    let mut server = workplace.serve(&[]);
    let token = server.login("a password").await;
    // While another holds the write lock, the call can't come to its end.
    let database = Database::connect(&workplace.database_url()).await.expect("a database");
    let lock = database.begin().await.expect("the write lock");
    let (url, body) = (format!("http://{}/{PATH}", server.address), request(&token, 0));
    let call = tokio::spawn(async move { reqwest::Client::new().post(url).json(&body).send().await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.terminate();
    server.wait_for_output("stopping").await;
    no_new_connections(&server).await;
    assert!(!call.is_finished());
    lock.rollback().await.expect("a rollback");
    database.close().await.expect("a close");

    let (status, answer) = crate::support::envelope(call.await.expect("a task").expect("an answer")).await;
    assert_eq!(status, 200);
    let created = created(&answer);
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.output());
    assert_eq!(stored(&workplace).await, created);
}

async fn a_call_that_is_still_being_sent_is_answered_before_the_server_stops(_: Setup) {
    let workplace = workplace();
    let mut server = workplace.serve(&[]);
    let token = server.login("a password").await;
    let body = request(&token, 0).to_string();
    let (first, second) = body.split_at(body.len() / 2);
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    let head = format!(
        "POST /{PATH} HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{first}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("a server that reads");
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.terminate();
    server.wait_for_output("stopping").await;
    no_new_connections(&server).await;
    stream.write_all(second.as_bytes()).await.expect("a server that reads on");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("an answer");
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.output());
    assert_eq!(stored(&workplace).await.len(), EVENTS_A_CALL);
}

/// Waits until nobody can connect any more.
async fn no_new_connections(server: &Process) {
    for _ in 0..1000 {
        if TcpStream::connect(server.address).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the server still takes connections");
}
