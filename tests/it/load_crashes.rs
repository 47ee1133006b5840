//! A load goes on, and creates every event once, whatever ends on its way.

use std::{
    collections::BTreeSet,
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use referral_events::{
    client::{Client, LoadOptions, Login, Settings, Tokens},
    contract::{LoadChunkResponse, ReferralCustomerEvent},
    id::AccountKey,
    secret::Secret,
    storage::{Database, entity::referral_event},
};
use sea_orm::EntityTrait;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::{Cluster, Process, Setup, TestDatabase, Workplace, message, tests, until};

tests! {
    NoCalls: a_load_survives_the_end_of_its_server;
    OwnPostgres: a_load_survives_the_end_of_its_database;
}

const EVENTS: usize = 10_000;
const EVENTS_A_CHUNK: usize = 50;
const ENDS: u64 = 20;

fn workplace(database: TestDatabase) -> Workplace {
    let workplace = Workplace::over(database);
    workplace.run_well(&["migrate"], "");
    workplace.add_caller("seven green kettles");
    let mut accounts = String::from("number\nreferrer\n");
    for n in 0..EVENTS {
        writeln!(accounts, "A{n}").expect("a line");
    }
    workplace.run_well(&["import", "--organisation", "acme", "taps", "-"], "code\nTAP\n");
    workplace.run_well(&["import", "--organisation", "acme", "accounts_receivable", "-"], &accounts);
    workplace
}

/// An event without a reference: sent twice it would be refused the second time.
fn event(n: usize) -> ReferralCustomerEvent {
    let event = json!({
        "request_unique_identifier": n.to_string(),
        "performed_by_tap_identifier": {"code": "TAP"},
        "performed_on": "2016-06-22T15:00:00",
        "referred_accounts_receivable_identifier": {"number": format!("A{n}")},
        "referred_by_accounts_receivable_identifier": {"number": "referrer"},
    });
    message("ReferralCustomerEvent", event)
}

/// A load of all events under way, and how many of them are answered.
struct Loading {
    task: JoinHandle<Vec<LoadChunkResponse>>,
    answered: Arc<AtomicU64>,
    breaks: Arc<AtomicU64>,
}

impl Loading {
    fn start(server: &Process) -> Self {
        let (answered, breaks) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counted = breaks.clone();
        let settings = Settings {
            attempts: None,
            on_retry: Some(Arc::new(move |_| _ = counted.fetch_add(1, Ordering::Relaxed))),
            ..Settings::default()
        };
        let login = Login {
            username: "carla".to_owned(),
            password: Secret::new("seven green kettles"),
            organisation: "acme".to_owned(),
            unit: None,
        };
        let client = Client::new(&format!("http://{}", server.address), Tokens::Login(login), settings);
        let client = client.expect("a client");
        let told = answered.clone();
        let task = tokio::spawn(async move {
            let mut load = client.load("a-file", LoadOptions::default()).await.expect("a load");
            let mut answers = Vec::new();
            let events: Vec<ReferralCustomerEvent> = (0..EVENTS).map(event).collect();
            for chunk in events.chunks(EVENTS_A_CHUNK) {
                answers.extend(load.send(chunk.to_vec()).await.expect("an answer"));
                told.store(answers.last().map_or(0, LoadChunkResponse::next_offset), Ordering::Relaxed);
            }
            while let Some(answer) = load.next().await.expect("an answer") {
                answers.push(answer);
            }
            answers
        });
        Self { task, answered, breaks }
    }

    /// Waits for some progress, a little more each time, so that each end comes at another point.
    async fn goes_on(&self, end: u64) {
        let goal = self.answered.load(Ordering::Relaxed) + EVENTS_A_CHUNK as u64 * (1 + end % 5);
        let goal = goal.min((EVENTS - 3 * EVENTS_A_CHUNK) as u64);
        until("the load goes on", async || self.answered.load(Ordering::Relaxed) >= goal).await;
        tokio::time::sleep(Duration::from_millis(3 * end)).await;
    }

    /// Every event is answered once, as created, and is there once.
    async fn assert_whole(self, workplace: &Workplace) {
        let answers = self.task.await.expect("a load");
        assert!(answers.iter().map(LoadChunkResponse::offset).eq((0..EVENTS as u64).step_by(EVENTS_A_CHUNK)));
        let created = |answer: &LoadChunkResponse| {
            answer.processed_customer_events_set.iter().filter(|event| !event.replayed()).count()
        };
        assert_eq!(answers.iter().map(created).sum::<usize>(), EVENTS);
        let database = Database::connect(&workplace.database_url()).await.expect("a database");
        let events = referral_event::Entity::find().all(database.reader()).await.expect("events");
        let accounts: BTreeSet<AccountKey> = events.iter().map(|event| event.referred_account_key).collect();
        assert_eq!((events.len(), accounts.len()), (EVENTS, EVENTS));
        database.close().await.expect("a close");
        assert!(self.breaks.load(Ordering::Relaxed) >= ENDS / 2);
    }
}

async fn a_load_survives_the_end_of_its_server(setup: Setup) {
    let workplace = workplace(setup.engine.create_database());
    let mut server = workplace.serve(&[]);
    let address = server.address.to_string();
    let loading = Loading::start(&server);
    for end in 0..ENDS {
        loading.goes_on(end).await;
        // Every third time it is told to stop.
        if end % 3 == 0 {
            server.terminate();
            server.ended().await;
        } else {
            server.kill();
        }
        server = workplace.serve_on(&address, &["--drain-pause", "0"]);
    }
    loading.assert_whole(&workplace).await;
}

async fn a_load_survives_the_end_of_its_database(_: Setup) {
    let mut cluster = Cluster::start();
    let workplace = workplace(TestDatabase::at(format!("{}/postgres", cluster.url())));
    let server = workplace.serve(&["--time-limit", "2"]);
    let loading = Loading::start(&server);
    for end in 0..ENDS / 2 {
        loading.goes_on(end).await;
        if end % 2 == 0 {
            cluster.crash();
        } else {
            cluster.end();
        }
        cluster.serve();
    }
    loading.assert_whole(&workplace).await;
}
