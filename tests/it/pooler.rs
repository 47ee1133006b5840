//! PostgreSQL behind PgBouncer in transaction mode, where each transaction may run in another session: nothing that a
//! call or a command needs is left behind in one, and nothing that was left behind disturbs them.

use std::{collections::HashSet, fmt::Write, thread};

use futures_util::future::join_all;
use referral_events::{directory::DirectoryKind, id::OrganisationId, storage::Database};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};

use crate::support::{
    Answer, Bouncer, Engine, Server, Setup, TestDatabase, Workplace, event, tests, until_waiting_for_a_lock,
};

tests! {
    Pooled:
        calls_of_many_callers_share_a_few_sessions,
        of_callers_who_race_to_refer_a_party_exactly_one_succeeds;
    PooledNoCalls:
        the_commands_run_behind_a_pooler,
        statements_look_things_up_by_key_whatever_the_planner_believes,
        a_call_that_the_pooler_has_no_session_for_finds_the_service_unavailable;
}

const CALLERS: usize = 16;
const CALLS: usize = 5;
const EVENTS_A_CALL: usize = 20;
const BULK: &str = "customer_events/bulk/referrals/create";

/// Two servers over one database, with so many accounts Z0, Z1, …
async fn start(setup: Setup, accounts: usize) -> [Server; 2] {
    let server = Server::start(setup).await;
    let mut rows = String::from("number\n");
    for n in 0..accounts {
        writeln!(rows, "Z{n}").expect("a line");
    }
    server.import("acme", DirectoryKind::AccountsReceivable, rows).await;
    let replica = server.replica().await;
    [server, replica]
}

/// An event by which account `referrer` refers account `referred`.
fn referral(referred: usize, referrer: usize) -> Value {
    json!({
        "request_unique_identifier": referred.to_string(),
        "performed_by_unit_identifier": {"name": "Admin Unit"},
        "performed_on": "2016-06-22T15:00:00",
        "referred_accounts_receivable_identifier": {"number": format!("Z{referred}")},
        "referred_by_accounts_receivable_identifier": {"number": format!("Z{referrer}")},
        "external_system_reference_number": referred.to_string(),
    })
}

/// Counts by a query of one number.
async fn count(database: &Database, sql: &str) -> i64 {
    let connection = database.reader();
    let row = connection.query_one_raw(Statement::from_string(connection.get_database_backend(), sql)).await;
    row.expect("a query").expect("a row").try_get_by_index(0).expect("a number")
}

async fn calls_of_many_callers_share_a_few_sessions(setup: Setup) {
    let referrer = CALLERS * CALLS * EVENTS_A_CALL;
    let servers = start(setup, referrer + 1).await;
    let mut tokens = Vec::new();
    for caller in 0..CALLERS {
        tokens.push(servers[caller % 2].login("acme", "carla").await);
    }
    join_all(tokens.into_iter().enumerate().map(|(caller, token)| {
        let server = &servers[caller % 2];
        async move {
            for call in 0..CALLS {
                let first = (caller * CALLS + call) * EVENTS_A_CALL;
                let events: Vec<Value> = (first..first + EVENTS_A_CALL).map(|n| referral(n, referrer)).collect();
                let request = json!({"token": token, "referral_customer_events_set": events});
                let answer = server.bulk(request.clone()).await;
                assert_eq!((answer.failures(), answer.processed().len()), (vec![], EVENTS_A_CALL));
                // Sent again it is answered the same, by look-ups alone.
                let again = server.bulk(request).await;
                let ids =
                    |answer: &Answer| answer.processed().iter().map(|event| event["id"].clone()).collect::<Vec<_>>();
                assert_eq!(ids(&again), ids(&answer));
            }
            server.release_token(json!({"token": token})).await;
            let request = json!({"token": token, "referral_customer_events_set": [referral(0, referrer)]});
            server.bulk(request).await.assert_refused("InvalidToken");
        }
    }))
    .await;
    let stored = servers[0].stored_events().await;
    let numbers: HashSet<i64> = stored.iter().map(|event| event.number.0).collect();
    assert_eq!((stored.len(), numbers.len()), (referrer, referrer));
    // The pooler kept to its few, so transactions of one connection ran in several.
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND backend_type = 'client backend'";
    assert_eq!(count(&servers[0].database, sessions).await, Bouncer::SESSIONS);
}

async fn of_callers_who_race_to_refer_a_party_exactly_one_succeeds(setup: Setup) {
    const ROUNDS: usize = 10;
    let servers = start(setup, ROUNDS + CALLERS).await;
    for round in 0..ROUNDS {
        let calls = (0..CALLERS).map(|caller| {
            let mut event = referral(round, ROUNDS + caller);
            event["external_system_reference_number"] = json!(null);
            servers[caller % 2].send(json!([event]))
        });
        let mut codes: Vec<String> = join_all(calls)
            .await
            .iter()
            .map(|answer| answer.failures().first().map_or("OK".to_owned(), |(_, code)| code.clone()))
            .collect();
        codes.sort();
        let mut expected = vec!["ReferredByAnotherParticipant".to_owned(); CALLERS - 1];
        expected.insert(0, "OK".to_owned());
        assert_eq!(codes, expected);
    }
    assert_eq!(servers[0].stored_events().await.len(), ROUNDS);
}

async fn the_commands_run_behind_a_pooler(setup: Setup) {
    let workplace = Workplace::over(setup.engine.create_database());
    thread::scope(|scope| {
        let programs: Vec<_> = (0..3).map(|_| scope.spawn(|| workplace.run_well(&["migrate"], ""))).collect();
        programs.into_iter().for_each(|program| _ = program.join().expect("a program that succeeds"));
    });
    // Each of these finds in its session what those before it left there.
    for _ in 0..4 {
        let again = workplace.run_well(&["migrate"], "");
        assert_eq!(again.stdout, "applied 0 steps; the schema is up to date\n");
    }
    workplace.add_caller("seven green kettles");
    let mut accounts = String::from("number\n");
    for n in 0..5000 {
        writeln!(accounts, "ACR{n}").expect("a line");
    }
    let import = |kind: &str, rows: &str| {
        let ended = workplace.run_well(&["import", "--organisation", "acme", kind, "-"], rows);
        assert!(!ended.stderr.contains("cannot"), "{}", ended.stderr);
        ended.stdout
    };
    import("units", "name,alternative_code\nAdmin Unit,U1\n");
    assert_eq!(
        import("accounts_receivable", &accounts),
        "inserted 5000, updated 0, unchanged 0, rejected 0: 5000 rows read\n"
    );
    assert_eq!(
        import("accounts_receivable", &accounts),
        "inserted 0, updated 0, unchanged 5000, rejected 0: 5000 rows read\n"
    );
    import("rewards_participants", "number,accounts_receivable_number\nRP01,ACR1\nRP02,ACR2\n");
    let server = workplace.serve(&[]);
    let request = json!({"token": server.login("seven green kettles").await, "referral_customer_events_set": [event("1", "01", "02")]});
    server.post(BULK, &request).await.assert_outcome(&["1"], &[]);
}

async fn a_call_that_the_pooler_has_no_session_for_finds_the_service_unavailable(_: Setup) {
    let database = Engine::Postgres.create_database();
    let bouncer = Bouncer::start(&database.url, "query_wait_timeout=1");
    let direct = Database::connect(&database.url).await.expect("a database");
    let workplace = Workplace::over(TestDatabase::at(bouncer.url.clone()));
    workplace.run_well(&["migrate"], "");
    workplace.add_caller("seven green kettles");
    let import = |kind: &str, rows: &str| workplace.run_well(&["import", "--organisation", "acme", kind, "-"], rows);
    import("units", "name,alternative_code\nAdmin Unit,U1\n");
    import("accounts_receivable", "number\nACR1\nACR2\n");
    import("rewards_participants", "number,accounts_receivable_number\nRP01,ACR1\nRP02,ACR2\n");
    // Each call takes a session of its own.
    let server = workplace.serve(&["--maximum-group", "1"]);
    let request = json!({"token": server.login("seven green kettles").await, "referral_customer_events_set": [event("1", "01", "02")]});
    let lock = direct.begin_turn(OrganisationId(1)).await.expect("a turn");
    let waiting = (0..Bouncer::SESSIONS).map(|_| server.post(BULK, &request));
    let refused = async {
        until_waiting_for_a_lock(&direct, Bouncer::SESSIONS).await;
        server.post(BULK, &request).await.assert_refused("ServiceUnavailable");
        lock.rollback().await.expect("a rollback");
    };
    let (answers, ()) = tokio::join!(join_all(waiting), refused);
    // All of them meant one event; it has no reference, so the later ones are told of the first.
    let created: usize = answers.iter().map(|answer| answer.processed().len()).sum();
    assert_eq!(created, 1);
}

async fn statements_look_things_up_by_key_whatever_the_planner_believes(setup: Setup) {
    let files = setup.engine.create_database();
    let database = Database::connect(&files.url).await.expect("a database");
    // The session is another's as soon as the statement has ended, so each has to tell it anew.
    let sql = "SELECT count(*) FROM pg_settings WHERE name IN \
               ('enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', 'enable_bitmapscan', 'jit') AND setting = 'off'";
    for _ in 0..5 {
        assert_eq!(count(&database, sql).await, 5);
    }
    database.close().await.expect("a close");
}
