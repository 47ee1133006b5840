//! Conversations with PostgreSQL that break: at each step of a call, in each way. The call is answered by its documented
//! code and stored wholly or not at all, and the next one finds everything in order.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use referral_events::{
    id::OrganisationId,
    storage::{Database, PoolOptions, entity::referral_event},
};
use sea_orm::EntityTrait;
use serde_json::{Value, json};

use crate::support::{
    Answer, Fault, Process, Proxy, Setup, TestDatabase, Workplace, event, tests, until, until_waiting_for_a_lock,
};

tests! {
    Postgres:
        a_conversation_that_is_cut_at_any_step_harms_no_other_call,
        a_conversation_that_is_half_closed_at_any_step_harms_no_other_call,
        a_conversation_that_falls_silent_is_given_up,
        a_call_whose_caller_left_is_told_in_the_log,
        who_leaves_the_queue_leaves_nothing_behind;
}

const BULK: &str = "customer_events/bulk/referrals/create";
/// Accounts of the world, all of one referrer.
const ACCOUNTS: usize = 99;
const EVENTS: usize = 1;

struct Stage {
    proxy: Proxy,
    observer: Database,
    workplace: Workplace,
}

impl Stage {
    async fn set(setup: Setup) -> Self {
        let direct = setup.engine.create_database();
        // It may hold a transaction open for as long as it takes.
        let patient = PoolOptions { time_limit: Duration::from_secs(3600), ..PoolOptions::DEFAULT };
        let observer = Database::connect_with(&direct.url, patient).await.expect("a database");
        let (proxy, url) = Proxy::start(&direct.url).await;
        let workplace = Workplace::over(TestDatabase::at(url));
        // The programs run in processes of their own, for which the proxy must go on meanwhile.
        let workplace = tokio::task::spawn_blocking(move || {
            workplace.run_well(&["migrate"], "");
            workplace.add_caller("seven green kettles");
            let import = |kind: &str, rows: &str| {
                workplace.run_well(&["import", "--organisation", "acme", kind, "-"], rows);
            };
            let accounts: String = (0..=ACCOUNTS).map(|n| format!("ACR{n:02}\n")).collect();
            let participants: String = (0..=ACCOUNTS).map(|n| format!("RP{n:02},ACR{n:02}\n")).collect();
            import("units", "name,alternative_code\nAdmin Unit,U1\n");
            import("accounts_receivable", &format!("number\n{accounts}"));
            import("rewards_participants", &format!("number,accounts_receivable_number\n{participants}"));
            workplace
        });
        Self { proxy, observer, workplace: workplace.await.expect("a workplace") }
    }

    async fn serve(&self, arguments: &[&str]) -> Process {
        tokio::task::block_in_place(|| self.workplace.serve(arguments))
    }

    async fn stored(&self) -> usize {
        referral_event::Entity::find().all(self.observer.reader()).await.expect("events").len()
    }
}

/// A call by which participant 99 refers another.
fn request(token: &str, referred: usize) -> Value {
    assert!(referred < ACCOUNTS, "the accounts are used up");
    json!({"token": token, "referral_customer_events_set": [event("1", &format!("{referred:02}"), "99")]})
}

/// How many packets a call takes.
async fn count_packets(stage: &Stage, server: &Process, token: &str) -> usize {
    // The first ones prepare their statements.
    for referred in 0..2 {
        server.post(BULK, &request(token, referred)).await.assert_outcome(&["1"], &[]);
    }
    stage.proxy.take_packets();
    server.post(BULK, &request(token, 2)).await.assert_outcome(&["1"], &[]);
    stage.proxy.take_packets()
}

async fn break_at_every_step(setup: Setup, fault: Fault) {
    let stage = Stage::set(setup).await;
    let server = stage.serve(&["--database-connections", "4"]).await;
    let token = server.login("seven green kettles").await;
    let packets = count_packets(&stage, &server, &token).await;
    let mut referred = 3;
    let mut next = || {
        referred += 1;
        referred - 1
    };
    for packet in 1..=packets {
        let before = stage.stored().await;
        let broken = next();
        _ = stage.proxy.at(packet, fault);
        let answer = server.post(BULK, &request(&token, broken)).await;
        assert!(matches!(answer.code.as_str(), "OK" | "ServiceUnavailableException"), "packet {packet}: {answer:?}");
        // The next call is answered at once, by what the broken one left of the connections.
        await_ok(&server, &request(&token, next())).await;
        let stored = stage.stored().await - before;
        let created = answer.code == "OK";
        assert!(stored == 2 * EVENTS || (!created && stored == EVENTS), "packet {packet}: {stored} events are there");
    }
}

/// Sends a call until it succeeds: of the connections that wait in the pool one more may be broken.
async fn await_ok(server: &Process, request: &Value) -> Answer {
    let started = Instant::now();
    loop {
        let answer = server.post(BULK, request).await;
        if answer.code == "OK" {
            return answer;
        }
        assert_eq!(answer.code, "ServiceUnavailableException", "{answer:?}");
        assert!(started.elapsed() < Duration::from_secs(20), "the server does not recover: {}", server.output());
    }
}

async fn a_conversation_that_is_cut_at_any_step_harms_no_other_call(setup: Setup) {
    break_at_every_step(setup, Fault::Cut).await;
}

async fn a_conversation_that_is_half_closed_at_any_step_harms_no_other_call(setup: Setup) {
    break_at_every_step(setup, Fault::HalfClose).await;
}

async fn a_conversation_that_falls_silent_is_given_up(setup: Setup) {
    let stage = Stage::set(setup).await;
    // One connection, so that nothing goes on unless it is given up.
    let server =
        stage.serve(&["--database-connections", "1", "--time-limit", "1", "--database-acquire-timeout", "1"]).await;
    let token = server.login("seven green kettles").await;
    let packets = count_packets(&stage, &server, &token).await;
    let mut referred = 3;
    for packet in [packets / 4, packets / 2, packets - 2] {
        _ = stage.proxy.at(packet, Fault::Hang);
        let answer = server.post(BULK, &request(&token, referred)).await;
        let codes = ["OK", "ServiceUnavailableException", "DeadlineExceededException"];
        assert!(codes.contains(&answer.code.as_str()), "packet {packet}: {answer:?}");
        let started = Instant::now();
        while server.post(BULK, &request(&token, referred + 1)).await.code != "OK" {
            assert!(started.elapsed() < Duration::from_secs(30), "packet {packet}: the connection is held for ever");
        }
        referred += 2;
    }
}

async fn a_call_whose_caller_left_is_told_in_the_log(setup: Setup) {
    let stage = Stage::set(setup).await;
    let server = stage.serve(&[]).await;
    let token = server.login("seven green kettles").await;
    let first = count_packets(&stage, &server, &token).await / 2;
    let ends = ["has written nothing", "was rolled back", "was committed"];
    let mut told = BTreeSet::new();
    // A call that was rolled back may have cost its connection; one over a new connection takes more packets. So where one
    // is over before the packet comes, the next begin anew.
    let mut packet = first;
    for referred in 3..ACCOUNTS {
        if told.contains(ends[1]) && told.contains(ends[2]) {
            return;
        }
        let id = format!("left-{referred}-");
        let line = |text: &str| server.output().lines().any(|line| line.contains(&id) && line.contains(text));
        let reached = stage.proxy.at(packet, Fault::Hold);
        let url = format!("http://{}/{BULK}", server.address);
        let call = reqwest::Client::new().post(url).header("x-request-id", &id).json(&request(&token, referred)).send();
        tokio::select! {
            // Some of the packets are those of the server that looks at the database.
            answer = call => {
                assert!(answer.expect("an answer").status().is_success());
                packet = first;
            }
            Ok(()) = reached => {
                packet += 1;
                // It may be answered already.
                until("the log tells of the end", async || line("the caller left before the answer") || line("answered")).await;
                stage.proxy.release();
            }
        }
        let left_at_the_very_end = || {
            let lines = server.log_lines();
            lines.iter().any(|line| line["request_id"] == id && line["hung_up"] == "caller" && line["committed"] == 1)
        };
        let end_of =
            |end: &str| line(&format!("the caller left; the call {end}")) || (end == ends[2] && left_at_the_very_end());
        let is_told = || line("answered") || ends.iter().any(|end| end_of(end));
        until("the log tells what became of the call", async || is_told()).await;
        told.extend(ends.into_iter().filter(|end| end_of(end)));
    }
    panic!("{told:?}: {}", server.output());
}

async fn who_leaves_the_queue_leaves_nothing_behind(setup: Setup) {
    let stage = Stage::set(setup).await;
    let patient =
        ["--database-connections", "4", "--time-limit", "60", "--maximum-wait", "60000", "--maximum-group", "1"];
    let server = stage.serve(&patient).await;
    let token = server.login("seven green kettles").await;
    let turn = stage.observer.begin_turn(OrganisationId(1)).await.expect("a turn");
    // Two wait for the turn, with connections for transactions, and those who come after them in their queue.
    let first = join_all((1..4).map(|referred| {
        let call = request(&token, referred);
        let server = &server;
        async move { server.post(BULK, &call).await }
    }));
    let others = async {
        until_waiting_for_a_lock(&stage.observer, 2).await;
        let calls = (4..24).map(|referred| {
            let call = request(&token, referred);
            let server = &server;
            async move { tokio::time::timeout(Duration::from_secs(2), server.try_post(BULK, &call)).await.is_err() }
        });
        assert!(join_all(calls).await.into_iter().all(|left| left));
        let left = || server.output().matches("the caller left before the answer").count();
        until("all have left", async || left() == 20).await;
        turn.rollback().await.expect("a rollback");
    };
    let (answers, ()) = tokio::join!(first, others);
    answers.iter().for_each(|answer| answer.assert_outcome(&["1"], &[]));
    server.post(BULK, &request(&token, 30)).await.assert_outcome(&["1"], &[]);
    assert_eq!(stage.stored().await, 4);
}
