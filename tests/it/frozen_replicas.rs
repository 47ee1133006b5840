//! Two servers over one PostgreSQL, of which one freezes while it holds the turn of an organisation.

use std::time::{Duration, Instant};

use referral_events::{
    id::OrganisationId,
    storage::{Database, PoolOptions},
};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

use crate::support::{Process, Proxy, Setup, TestDatabase, Workplace, event, signal, tests};

tests! {
    Postgres:
        a_frozen_replica_loses_its_turn_and_stops_nobody_else,
        a_replica_that_freezes_while_it_loads_events_loses_its_turn,
        a_turn_that_is_not_to_be_had_in_time_leaves_nobody_in_its_queue;
}

const BULK: &str = "customer_events/bulk/referrals/create";

/// A workplace with the organisations acme and zenith, of the same directory.
fn prepare(workplace: &Workplace) {
    workplace.run_well(&["migrate"], "");
    workplace.add_caller("seven green kettles");
    workplace.run_well(&["organisation", "add", "zenith"], "");
    workplace
        .run_well(&["user", "add", "carla", "--organisation", "zenith", "--role", "caller"], "seven green kettles\n");
    let accounts: String = (0..50).map(|n| format!("ACR{n:02}\n")).collect();
    let participants: String = (0..50).map(|n| format!("RP{n:02},ACR{n:02}\n")).collect();
    for organisation in ["acme", "zenith"] {
        for (kind, rows) in [
            ("units", "name,alternative_code\nAdmin Unit,U1\n".to_owned()),
            ("accounts_receivable", format!("number\n{accounts}")),
            ("rewards_participants", format!("number,accounts_receivable_number\n{participants}")),
        ] {
            workplace.run_well(&["import", "--organisation", organisation, kind, "-"], &rows);
        }
    }
}

/// Two servers over one database. The one that is going to freeze talks to it through a proxy, so that it can be made to
/// hold its turn for a while.
struct Replicas {
    frozen: Process,
    living: Process,
    proxy: Proxy,
    observer: PgConnection,
    /// They are gone with these.
    _workplaces: [Workplace; 2],
}

impl Replicas {
    async fn start(setup: Setup) -> Self {
        let direct = setup.engine.create_database();
        let observer = PgConnection::connect(&direct.url).await.expect("a connection");
        let (proxy, slow_url) = Proxy::start(&direct.url).await;
        let workplaces = [Workplace::over(TestDatabase::at(slow_url)), Workplace::over(direct)];
        let [frozen, living] = tokio::task::block_in_place(|| {
            prepare(&workplaces[1]);
            workplaces.each_ref().map(|workplace| workplace.serve(&["--time-limit", "6", "--drain-limit", "2"]))
        });
        Self { frozen, living, proxy, observer, _workplaces: workplaces }
    }
}

async fn token(server: &Process, organisation: &str) -> String {
    let credentials = json!({"organisation": organisation, "username": "carla", "password": "seven green kettles"});
    let answer = server.post("authentication/token", &credentials).await;
    answer.data["token"].as_str().unwrap_or_else(|| panic!("no token: {answer:?}")).to_owned()
}

/// A call by which participant 49 refers another.
fn request(token: &str, referred: usize) -> Value {
    json!({"token": token, "referral_customer_events_set": [event("1", &format!("{referred:02}"), "49")]})
}

/// Whether somebody holds the turn of the first organisation.
async fn is_turn_taken(observer: &mut PgConnection) -> bool {
    let sql = "SELECT 1 FROM counters WHERE organisation_id = 1 AND name = 'turn' FOR UPDATE NOWAIT";
    match observer.execute(sql).await {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.as_database_error().and_then(|error| error.code()).as_deref(), Some("55P03"));
            true
        }
    }
}

async fn count(observer: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(observer).await.expect("a number")
}

/// How many sessions wait for a lock.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
     AND backend_type = 'client backend'";

async fn a_frozen_replica_loses_its_turn_and_stops_nobody_else(setup: Setup) {
    let mut replicas = Replicas::start(setup).await;
    let Replicas { observer, proxy, frozen, living, .. } = &mut replicas;
    let (acme, zenith) = (token(living, "acme").await, token(living, "zenith").await);

    proxy.delay(Duration::from_millis(100));
    let call = {
        let (url, body) = (format!("http://{}/{BULK}", frozen.address), request(&acme, 0));
        tokio::spawn(async move { reqwest::Client::new().post(url).json(&body).send().await })
    };
    let started = Instant::now();
    while !is_turn_taken(observer).await {
        assert!(started.elapsed() < Duration::from_secs(30) && !call.is_finished(), "it takes no turn");
    }
    signal("STOP", &[frozen.id()]);
    assert!(is_turn_taken(observer).await, "it froze too late");

    // The other organisation notices nothing, and the same one is served once the database has ended the frozen turn:
    // after a second, which is a sixth of the time limit.
    let started = Instant::now();
    let same = async {
        let answer = living.post(BULK, &request(&acme, 1)).await;
        (answer, started.elapsed())
    };
    let others = async {
        for referred in 0..20 {
            living.post(BULK, &request(&zenith, referred)).await.assert_outcome(&["1"], &[]);
        }
        started.elapsed()
    };
    let ((answer, waited), others) = tokio::join!(same, others);
    answer.assert_outcome(&["1"], &[]);
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    assert!(others < Duration::from_secs(20), "{others:?}");

    // Thawed, it finds out.
    signal("CONT", &[frozen.id()]);
    proxy.delay(Duration::ZERO);
    let answer = call.await.expect("a task").expect("an answer");
    assert!(answer.status().is_server_error(), "{answer:?}");
    let again = frozen.post(BULK, &request(&acme, 0)).await;
    again.assert_outcome(&["1"], &[]);

    living.terminate();
    let started = Instant::now();
    assert_eq!(living.ended().await.code(), Some(0), "{}", living.output());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

/// How many sessions wait for the rows of a COPY.
const LOADING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND state = 'active' AND wait_event = 'ClientRead' AND query LIKE 'COPY %'";

async fn a_replica_that_freezes_while_it_loads_events_loses_its_turn(setup: Setup) {
    let mut replicas = Replicas::start(setup).await;
    let Replicas { observer, proxy, frozen, living, .. } = &mut replicas;
    let acme = token(living, "acme").await;

    // All that a call says before takes a part of its time limit.
    proxy.delay(Duration::from_millis(100));
    let call = {
        let url = format!("http://{}/{BULK}", frozen.address);
        // Few events would go in by an INSERT.
        let mut body = request(&acme, 0);
        let many = ["00", "02", "03", "04", "05"].map(|referred| event(referred, referred, "49"));
        body["referral_customer_events_set"] = json!(many);
        tokio::spawn(async move { reqwest::Client::new().post(url).json(&body).send().await })
    };
    let started = Instant::now();
    while count(observer, LOADING).await == 0 {
        assert!(started.elapsed() < Duration::from_secs(30) && !call.is_finished(), "it loads nothing");
    }
    signal("STOP", &[frozen.id()]);
    // No limit that PostgreSQL has ends a session that waits for the rows of a COPY.
    let started = Instant::now();
    living.post(BULK, &request(&acme, 1)).await.assert_outcome(&["1"], &[]);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(count(observer, LOADING).await, 0);

    signal("CONT", &[frozen.id()]);
    proxy.delay(Duration::ZERO);
    let answer = call.await.expect("a task").expect("an answer");
    assert!(answer.status().is_server_error(), "{answer:?}");
    frozen.post(BULK, &request(&acme, 0)).await.assert_outcome(&["1"], &[]);
}

async fn a_turn_that_is_not_to_be_had_in_time_leaves_nobody_in_its_queue(setup: Setup) {
    let direct = setup.engine.create_database();
    let url = direct.url.clone();
    let workplace = Workplace::over(direct);
    tokio::task::block_in_place(|| prepare(&workplace));
    let mut server = tokio::task::block_in_place(|| workplace.serve(&["--time-limit", "4", "--drain-limit", "1"]));
    let (acme, zenith) = (token(&server, "acme").await, token(&server, "zenith").await);
    let mut observer = PgConnection::connect(&url).await.expect("a connection");
    let patient = PoolOptions { time_limit: Duration::from_secs(3600), ..PoolOptions::DEFAULT };
    let database = Database::connect_with(&url, patient).await.expect("a database");
    let turn = database.begin_turn(OrganisationId(1)).await.expect("a turn");

    // One who waits until told, and one who leaves: of both nothing is left after half of the time limit.
    let left = tokio::time::timeout(Duration::from_millis(300), server.post(BULK, &request(&acme, 1))).await;
    assert!(left.is_err());
    let refused = server.post(BULK, &request(&acme, 2)).await;
    refused.assert_refused("ServiceUnavailable");
    server.post(BULK, &request(&zenith, 1)).await.assert_outcome(&["1"], &[]);
    let started = Instant::now();
    while count(&mut observer, WAITING).await > 0 {
        assert!(started.elapsed() < Duration::from_secs(10), "somebody is left in the queue");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    // With one in the queue the server ends all the same.
    let leaving = tokio::time::timeout(Duration::from_millis(300), server.post(BULK, &request(&acme, 3))).await;
    assert!(leaving.is_err());
    server.terminate();
    let started = Instant::now();
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.output());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    turn.rollback().await.expect("a rollback");
}
