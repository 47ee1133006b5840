//! What was acknowledged survives the end of the process, and that of the database, however it ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use referral_events::{
    id::AccountKey,
    storage::{Database, entity::referral_event},
};
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, Statement};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::mpsc};

use crate::support::{
    Answer, Cluster, Engine, Process, Server, Setup, TestDatabase, Workplace, event,
    raw::{begin_call, read_to_end},
    tests, until,
};

tests! {
    Rest:
        acknowledged_events_survive_a_kill;
    OwnPostgres:
        acknowledged_events_survive_a_crash_of_the_database;
    Sqlite:
        the_log_of_sqlite_shrinks_once_nobody_reads_the_database_as_it_was;
    Once:
        a_call_under_way_is_answered_before_the_server_stops,
        a_call_that_is_still_being_sent_is_answered_before_the_server_stops;
}

const EVENTS_A_CALL: usize = 25;
const CALLS: usize = 400;
const CALLERS: usize = 4;
const KILLS: usize = 8;
const CRASHES: usize = 6;

/// A workplace with a caller, and accounts enough for all calls.
fn workplace(database: TestDatabase) -> Workplace {
    let workplace = Workplace::over(database);
    workplace.run_well(&["migrate"], "");
    workplace.add_caller("seven green kettles");
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

/// The id and number of events, by reference.
type Events = BTreeMap<String, (String, String)>;

/// The events of a call, all of which were created.
fn created(answer: &Answer) -> Events {
    assert_eq!(answer.failures(), []);
    let text = |event: &Value, name: &str| event[name].as_str().expect("a text").to_owned();
    let entry = |event: &Value| (text(event, "request_unique_identifier"), (text(event, "id"), text(event, "number")));
    let created: Events = answer.processed().iter().map(entry).collect();
    assert_eq!(created.len(), EVENTS_A_CALL);
    created
}

/// What is in the database; nothing twice.
async fn stored(workplace: &Workplace) -> Events {
    let database = Database::connect(&workplace.database_url()).await.expect("a database");
    let events = referral_event::Entity::find().all(database.reader()).await.expect("events");
    let count = events.len();
    let accounts: BTreeSet<AccountKey> = events.iter().map(|event| event.referred_account_key).collect();
    let numbers: BTreeSet<i64> = events.iter().map(|event| event.number.0).collect();
    let stored: Events = events
        .into_iter()
        .map(|event| {
            let reference = event.external_system_reference_number.expect("a reference");
            (reference, (event.id.to_string(), event.number.to_string()))
        })
        .collect();
    assert_eq!((stored.len(), accounts.len(), numbers.len()), (count, count, count));
    database.close().await.expect("a close");
    stored
}

/// Callers that send one call after another, each until it is acknowledged, and what became of their calls.
#[derive(Default)]
struct Callers {
    next: Arc<AtomicUsize>,
    acknowledged: Events,
    /// The calls that were not.
    unacknowledged: Vec<usize>,
}

/// A call, and its answer unless the connection broke.
type Sent = (usize, Option<Answer>);

impl Callers {
    /// Lets the callers send calls, each until its connection breaks or all are told to stop.
    fn start(&self, server: &Process, token: &str, stop: &Arc<AtomicBool>) -> mpsc::UnboundedReceiver<Sent> {
        let (sender, answers) = mpsc::unbounded_channel();
        for _ in 0..CALLERS {
            let (next, stop, sender) = (self.next.clone(), stop.clone(), sender.clone());
            let (url, token) = (format!("http://{}/{PATH}", server.address), token.to_owned());
            tokio::spawn(async move {
                let client = reqwest::Client::new();
                let mut call = next.fetch_add(1, Ordering::Relaxed);
                while !stop.load(Ordering::Relaxed) {
                    assert!(call < CALLS, "the calls are used up");
                    let answer = match client.post(&url).json(&request(&token, call)).send().await {
                        Ok(response) => try_envelope(response).await,
                        Err(_) => None,
                    };
                    let is_refused = answer.as_ref().map(|answer| answer.code != "OK");
                    sender.send((call, answer)).expect("a receiver");
                    match is_refused {
                        None => return,
                        // Whoever is refused tries again a little later.
                        Some(true) => tokio::time::sleep(Duration::from_millis(50)).await,
                        Some(false) => call = next.fetch_add(1, Ordering::Relaxed),
                    }
                }
            });
        }
        answers
    }

    /// Takes note of a call; answers whether it was acknowledged.
    fn note(&mut self, (call, answer): &Sent) -> bool {
        let acknowledged = answer.as_ref().filter(|answer| answer.code == "OK");
        match acknowledged {
            Some(answer) => self.acknowledged.extend(created(answer)),
            None => self.unacknowledged.push(*call),
        }
        acknowledged.is_some()
    }

    /// Every acknowledged event is there, and every other call wholly or not at all.
    async fn assert_kept(&self, workplace: &Workplace) {
        let stored = stored(workplace).await;
        for (reference, event) in &self.acknowledged {
            assert_eq!(stored.get(reference), Some(event), "{reference} was acknowledged");
        }
        for call in &self.unacknowledged {
            let references = (call * EVENTS_A_CALL..(call + 1) * EVENTS_A_CALL).map(|n| n.to_string());
            let there = references.filter(|reference| stored.contains_key(reference)).count();
            assert!(there == 0 || there == EVENTS_A_CALL, "{there} events of call {call} are there");
        }
    }

    /// Sends every call once more: those that are there are answered with what is there, the others are made up for,
    /// and then each event is there exactly once.
    async fn assert_made_up_for(&self, workplace: &Workplace, server: &Process, token: &str) {
        let before = stored(workplace).await;
        let calls = self.next.load(Ordering::Relaxed);
        let answers = (0..CALLERS).map(|caller| async move {
            let mut events = Events::new();
            for call in (caller..calls).step_by(CALLERS) {
                events.extend(insist(server, &request(token, call)).await);
            }
            events
        });
        let all: Events = join_all(answers).await.into_iter().flatten().collect();
        assert_eq!(all.len(), calls * EVENTS_A_CALL);
        for (reference, event) in before {
            assert_eq!(all.get(&reference), Some(&event), "{reference} was there");
        }
        for (reference, event) in &self.acknowledged {
            assert_eq!(all.get(reference), Some(event), "{reference} was acknowledged");
        }
        assert_eq!(stored(workplace).await, all);
    }
}

/// Sends a call until it is acknowledged. On a busy machine it may exceed its time limit before; and it may meet a
/// connection to the database that broke while nobody used it.
async fn insist(server: &Process, request: &Value) -> Events {
    for _ in 0..20 {
        let answer = server.post(PATH, request).await;
        match answer.code.as_str() {
            "DeadlineExceededException" => {}
            "ServiceUnavailableException" => tokio::time::sleep(Duration::from_millis(50)).await,
            _ => return created(&answer),
        }
    }
    panic!("the call does not come to its end");
}

/// An answer that came whole.
async fn try_envelope(response: reqwest::Response) -> Option<Answer> {
    let body: Value = response.json().await.ok()?;
    let text = |name: &str| body["status"][name].as_str().expect("a text").to_owned();
    Some(Answer { code: text("code"), message: text("message"), data: body["data"].clone() })
}

async fn acknowledged_events_survive_a_kill(setup: Setup) {
    let workplace = workplace(setup.engine.create_database());
    let mut callers = Callers::default();
    for kill in 0..KILLS {
        let mut server = workplace.serve(&[]);
        let token = server.login("seven green kettles").await;
        let mut answers = callers.start(&server, &token, &Arc::default());
        // Some calls are answered, then it ends in the middle of others; each time at another point.
        let mut killed = false;
        let mut answered = 0;
        while let Some(sent) = answers.recv().await {
            assert!(sent.1.as_ref().is_none_or(|answer| answer.code == "OK"), "{sent:?}");
            answered += usize::from(callers.note(&sent));
            if answered > kill && !killed {
                tokio::time::sleep(Duration::from_millis(3 * kill as u64)).await;
                server.kill();
                killed = true;
            }
        }
        assert!(killed);
        // Each caller was cut off in a call, for it stops at nothing else.
        assert_eq!(callers.unacknowledged.len(), CALLERS * (kill + 1));
        callers.assert_kept(&workplace).await;
    }
    let server = workplace.serve(&[]);
    let token = server.login("seven green kettles").await;
    callers.assert_made_up_for(&workplace, &server, &token).await;
}

async fn acknowledged_events_survive_a_crash_of_the_database(_: Setup) {
    // Nothing is synced, for what a process has written survives its end without.
    let mut cluster = Cluster::start();
    let workplace = workplace(TestDatabase::at(format!("{}/postgres", cluster.url())));
    let server = workplace.serve(&["--time-limit", "2"]);
    let token = server.login("seven green kettles").await;
    let mut callers = Callers::default();
    let stop = Arc::new(AtomicBool::new(false));
    let mut answers = callers.start(&server, &token, &stop);
    let mut codes = BTreeSet::new();
    for crash in 0..CRASHES {
        // The server answers again, some calls long; then the database ends in the middle of others.
        let mut answered = 0;
        while answered <= 2 * crash {
            let sent = tokio::time::timeout(Duration::from_secs(30), answers.recv()).await;
            let sent = sent.expect("the server is back in time").expect("a caller");
            answered += usize::from(callers.note(&sent));
            codes.extend(sent.1.map(|answer| answer.code));
        }
        tokio::time::sleep(Duration::from_millis(3 * crash as u64)).await;
        // Every second time it is told to stop: its connections are ended with a word.
        if crash % 2 == 0 {
            cluster.crash();
        } else {
            cluster.end();
        }
        if crash % 3 == 0 {
            // As long as it is gone, nothing is acknowledged.
            let call = callers.next.fetch_add(1, Ordering::Relaxed);
            let answer = server.post(PATH, &request(&token, call)).await;
            assert_ne!(answer.code, "OK");
            callers.note(&(call, Some(answer)));
        }
        cluster.serve();
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(sent) = answers.recv().await {
        callers.note(&sent);
        codes.extend(sent.1.map(|answer| answer.code));
    }
    // A call whose connection to the database broke is told so at once; one that waits for a new one, in the end.
    assert!(codes.remove("OK") && codes.remove("ServiceUnavailableException"), "{codes:?}");
    codes.remove("DeadlineExceededException");
    assert!(codes.is_empty(), "{codes:?}: {}", server.output());
    callers.assert_kept(&workplace).await;
    callers.assert_made_up_for(&workplace, &server, &token).await;
}

async fn a_call_under_way_is_answered_before_the_server_stops(_: Setup) {
    let workplace = workplace(Engine::Sqlite.create_database());
    let mut server = workplace.serve(&[]);
    let token = server.login("seven green kettles").await;
    // While another holds the write lock, the call can't come to its end.
    let database = Database::connect(&workplace.database_url()).await.expect("a database");
    let lock = database.begin().await.expect("the write lock");
    let body = request(&token, 0).to_string();
    let mut call = begin_call(server.address, PATH, body.len()).await;
    call.write_all(body.as_bytes()).await.expect("a server that reads");
    server.terminate();
    server.wait_for_output("stopping").await;
    until("nobody can connect", async || TcpStream::connect(server.address).await.is_err()).await;
    lock.rollback().await.expect("a rollback");
    database.close().await.expect("a close");

    let response = String::from_utf8(read_to_end(&mut call).await).expect("a text");
    let (head, body) = response.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    let body: Value = serde_json::from_str(body).expect("JSON");
    let created = created(&Answer { code: "OK".to_owned(), message: String::new(), data: body["data"].clone() });
    assert_eq!(created.len(), EVENTS_A_CALL);
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.output());
    assert_eq!(stored(&workplace).await, created);
}

async fn a_call_that_is_still_being_sent_is_answered_before_the_server_stops(_: Setup) {
    let workplace = workplace(Engine::Sqlite.create_database());
    let mut server = workplace.serve(&[]);
    let token = server.login("seven green kettles").await;
    let body = request(&token, 0).to_string();
    let (first, second) = body.split_at(body.len() / 2);
    let mut stream = begin_call(server.address, PATH, body.len()).await;
    stream.write_all(first.as_bytes()).await.expect("a server that reads");
    server.terminate();
    server.wait_for_output("stopping").await;
    until("nobody can connect", async || TcpStream::connect(server.address).await.is_err()).await;
    stream.write_all(second.as_bytes()).await.expect("a server that reads on");
    let response = String::from_utf8(read_to_end(&mut stream).await).expect("a text");
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.output());
    assert_eq!(stored(&workplace).await.len(), EVENTS_A_CALL);
}

async fn the_log_of_sqlite_shrinks_once_nobody_reads_the_database_as_it_was(setup: Setup) {
    const LIMIT: u64 = 128 * 1024 * 1024;
    let server = Server::start(setup).await;
    let replica = server.replica().await;
    let reader = replica.database.begin_read().await.expect("a transaction");
    reader
        .query_one_raw(Statement::from_string(DbBackend::Sqlite, "SELECT count(*) FROM referral_events"))
        .await
        .expect("a read");
    for sql in ["CREATE TABLE filler (filler BLOB)", "INSERT INTO filler VALUES (zeroblob(160000000))"] {
        replica.database.writer().execute_unprepared(sql).await.expect("a statement");
    }
    assert!(server.log_size() > LIMIT, "{}", server.log_size());
    reader.rollback().await.expect("an end");
    // Callers go on all the while.
    for n in 1..50 {
        let answer = server.send(json!([event("1", &format!("{n:02}"), "60")])).await;
        answer.assert_outcome(&["1"], &[]);
        if server.log_size() <= LIMIT {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("the log still has {} bytes", server.log_size());
}
