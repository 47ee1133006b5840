//! Callers who leave in the middle of a call: at each step of it, beside others whose every answer must be right.

use std::{collections::HashMap, fmt::Write, sync::Arc, time::Duration};

use referral_events::{
    config::Config,
    directory::DirectoryKind,
    storage::{Database, entity::referral_event},
};
use sea_orm::{ConnectionTrait, EntityTrait, Statement};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::support::{Answer, Engine, Fault, Proxy, Server, Setup, TestDatabase, tests};

tests! {
    Both:
        callers_who_hang_up_at_any_step_harm_nobody,
        a_token_that_was_released_beside_hang_ups_stays_released;
}

const EVENTS: usize = 20;
/// Calls that there are accounts for.
const CALLS: usize = 400;

/// Innocent callers are not refused for how long the calls before theirs take, behind a slow line.
fn patient() -> Config {
    Config { maximum_wait: Duration::from_secs(60), ..Config::default() }
}

/// A server under test, and what tells of the steps of its talk with the database.
struct Stage {
    server: Server,
    /// On PostgreSQL, between the server and the database.
    proxy: Option<Proxy>,
    /// For the test's own questions.
    observer: Database,
    next: usize,
}

impl Stage {
    async fn set(setup: Setup) -> Self {
        let files = setup.engine.create_world();
        let observer = Database::connect(&files.url).await.expect("a database");
        let (proxy, files) = match setup.engine {
            Engine::Sqlite => (None, files),
            _ => {
                let (proxy, url) = Proxy::start(&files.url).await;
                (Some(proxy), TestDatabase::at(url))
            }
        };
        let server = Server::start_over(setup, files, patient()).await;
        let mut accounts = String::from("number\n");
        for n in 0..CALLS * EVENTS {
            writeln!(accounts, "Z{n}").expect("a line");
        }
        accounts.push_str("referrer\n");
        server.import("acme", DirectoryKind::AccountsReceivable, accounts).await;
        server.import("other", DirectoryKind::AccountsReceivable, "number\nY\n").await;
        Self { server, proxy, observer, next: 0 }
    }

    /// A call of events that no other call has.
    fn next_call(&mut self) -> Vec<Value> {
        let first = self.next * EVENTS;
        self.next += 1;
        assert!(self.next <= CALLS, "the accounts are used up");
        (first..first + EVENTS).map(referral).collect()
    }

    /// What ends at this step from now on: at a packet on PostgreSQL, at a statement on SQLite.
    fn at(&self, step: usize) -> oneshot::Receiver<()> {
        if let Some(proxy) = &self.proxy {
            return proxy.at(step, Fault::None);
        }
        let (sender, reached) = oneshot::channel();
        let statements = self.server.statements.clone();
        let before = statements.lock().expect("a lock").len();
        tokio::spawn(async move {
            while statements.lock().expect("a lock").len() < before + step && !sender.is_closed() {
                tokio::task::yield_now().await;
            }
            _ = sender.send(());
        });
        reached
    }

    /// Sends a call and hangs up at a step. Answers whether it had one left to hang up at, and the answer otherwise.
    async fn hang_up(&self, request: &Value, step: usize) -> Option<Answer> {
        let reached = self.at(step);
        let call = self.server.bulk(request.clone());
        tokio::select! {
            answer = call => Some(answer),
            Ok(()) = reached => None,
        }
    }

    /// How many steps a call has, as far as its caller waits for them.
    async fn count_steps(&mut self) -> usize {
        let request = self.request();
        self.server.take_statements();
        self.proxy.as_ref().map(Proxy::take_packets);
        assert_eq!(self.server.bulk(request).await.failures(), []);
        match &self.proxy {
            Some(proxy) => proxy.take_packets(),
            None => self.server.take_statements().len(),
        }
    }

    fn request(&mut self) -> Value {
        json!({"token": self.server.token, "referral_customer_events_set": self.next_call()})
    }

    /// Waits until no session of PostgreSQL has a transaction open that nobody works at.
    async fn no_transaction_is_left_open(&self) {
        if self.proxy.is_none() {
            return;
        }
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
        for _ in 0..600 {
            let read = self.observer.reader();
            let row = read.query_one_raw(Statement::from_string(read.get_database_backend(), sql)).await;
            if row.expect("a query").expect("a row").try_get_by_index::<i64>(0).expect("a number") == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("a transaction is left open");
    }

    /// The ids of the stored events by reference.
    async fn stored(&self) -> HashMap<String, String> {
        let events = referral_event::Entity::find().all(self.observer.reader()).await.expect("events");
        let count = events.len();
        let stored: HashMap<String, String> = events
            .into_iter()
            .map(|event| (event.external_system_reference_number.expect("a reference"), event.id.to_string()))
            .collect();
        assert_eq!(stored.len(), count);
        stored
    }
}

fn referral(n: usize) -> Value {
    json!({
        "request_unique_identifier": n.to_string(),
        "performed_by_unit_identifier": {"name": "Admin Unit"},
        "performed_on": "2016-06-22T15:00:00",
        "referred_accounts_receivable_identifier": {"number": format!("Z{n}")},
        "referred_by_accounts_receivable_identifier": {"number": "referrer"},
        "external_system_reference_number": n.to_string(),
    })
}

/// The references of a call.
fn references(request: &Value) -> Vec<String> {
    let events = request["referral_customer_events_set"].as_array().expect("events");
    events.iter().map(|event| event["external_system_reference_number"].as_str().expect("a text").to_owned()).collect()
}

async fn callers_who_hang_up_at_any_step_harm_nobody(setup: Setup) {
    let mut stage = Stage::set(setup).await;
    if let Some(proxy) = &stage.proxy {
        proxy.delay(Duration::from_millis(1));
    }
    let steps = stage.count_steps().await;
    assert!(steps > 5, "{steps}");
    let innocent = stage.server.login("other", "oscar").await;
    let mut hung_up = Vec::new();
    for step in 1..=steps + 2 {
        let (leaving, staying) = (stage.request(), stage.request());
        // Somebody of the same organisation and somebody of another one come along with the one who leaves.
        let event = json!({
            "request_unique_identifier": "1",
            "performed_by_unit_identifier": {"name": "XAdmin Unit"},
            "performed_on": "2016-06-22T15:00:00",
            "referred_accounts_receivable_identifier": {"number": "Y"},
            "referred_by_accounts_receivable_identifier": {"number": "XACR01"},
        });
        let rehearsal = json!({"token": innocent, "validate_only": true, "referral_customer_events_set": [event]});
        let (left, stayed, other) =
            tokio::join!(stage.hang_up(&leaving, step), stage.server.bulk(staying), stage.server.bulk(rehearsal));
        assert_eq!((stayed.failures(), stayed.processed().len()), (vec![], EVENTS), "step {step}");
        other.assert_outcome(&["1"], &[]);
        match left {
            Some(answer) => assert_eq!(answer.failures(), []),
            None => hung_up.push(leaving),
        }
    }
    assert!(hung_up.len() > steps / 3, "{} of {steps} steps", hung_up.len());
    stage.no_transaction_is_left_open().await;
    if let Some(proxy) = &stage.proxy {
        proxy.delay(Duration::ZERO);
    }

    // Each call is there wholly or not at all, and sent again it is answered with what is there.
    let stored = stage.stored().await;
    for request in &hung_up {
        let references = references(request);
        let there = references.iter().filter(|reference| stored.contains_key(*reference)).count();
        assert!(there == 0 || there == EVENTS, "{there} events of a call are there");
    }
    let server = Arc::new(stage.server);
    let again = hung_up.iter().map(|request| {
        let (server, request) = (server.clone(), request.clone());
        tokio::spawn(async move { server.bulk(request).await })
    });
    let again: Vec<_> = again.collect();
    for (request, answer) in hung_up.iter().zip(again) {
        let answer = answer.await.expect("an answer");
        assert_eq!(answer.failures(), []);
        for (reference, event) in references(request).iter().zip(answer.processed()) {
            if let Some(id) = stored.get(reference) {
                assert_eq!(event["id"], *id, "{reference}");
            }
        }
    }
}

async fn a_token_that_was_released_beside_hang_ups_stays_released(setup: Setup) {
    let mut stage = Stage::set(setup).await;
    if let Some(proxy) = &stage.proxy {
        proxy.delay(Duration::from_millis(2));
    }
    let steps = stage.count_steps().await;
    let mut released = Vec::new();
    for step in 1..=steps {
        let token = stage.server.login("acme", "rita").await;
        let leaving = stage.request();
        stage.hang_up(&leaving, step).await;
        let answer = stage.server.release_token(json!({"token": token})).await;
        assert_eq!(answer.code, "OK", "step {step}: {answer:?}");
        released.push(token);
    }
    stage.no_transaction_is_left_open().await;
    if let Some(proxy) = &stage.proxy {
        proxy.delay(Duration::ZERO);
    }
    let replica = stage.server.replica().await;
    for (step, token) in (1..).zip(released) {
        for server in [&stage.server, &replica] {
            let answer = server.release_token(json!({"token": token})).await;
            assert_eq!(answer.code, "InvalidTokenException", "step {step}: {answer:?}");
        }
    }
}
