//! The service on a cluster of Citus, where the environment names one (`TEST_CITUS_URL`, the coordinator's server).

use std::collections::BTreeSet;

use referral_events::directory::DirectoryKind;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Value, json};

use crate::support::{Server, Setup, Workplace, doctor::Report, event, numbers, tests, until};

tests! {
    Citus:
        a_schema_is_made_whose_organisations_lie_on_one_shard_each,
        calls_of_two_organisations_are_answered_as_anywhere,
        of_callers_who_race_one_succeeds_and_the_others_are_told_so,
        an_import_tends_the_shard_of_its_organisation_alone,
        the_doctor_finds_what_is_wrong_with_a_cluster,
        an_operator_is_told_which_shards_a_lost_worker_stops;
}

/// The rows of a query, whose columns are texts.
async fn rows<const N: usize>(server: &Server, sql: &str, columns: [&str; N]) -> Vec<[String; N]> {
    let rows = server.database.reader().query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
    let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows.iter().map(|row| columns.map(|column| row.try_get("", column).expect("a text"))).collect()
}

async fn a_schema_is_made_whose_organisations_lie_on_one_shard_each(setup: Setup) {
    let server = Server::start(setup).await;
    let sql = "SELECT t.relname AS name, p.partmethod::text AS method, \
               coalesce((SELECT column_to_column_name(p.logicalrelid, p.partkey)), '') AS key \
               FROM pg_class t LEFT JOIN pg_dist_partition p ON p.logicalrelid = t.oid \
               WHERE t.relkind = 'r' AND t.relnamespace = 'public'::regnamespace \
               AND EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attname = 'organisation_id')";
    let tables = rows(&server, sql, ["name", "method", "key"]).await;
    assert!(tables.len() >= 13, "{tables:?}");
    for [name, method, key] in &tables {
        assert_eq!((method.as_str(), key.as_str()), ("h", "organisation_id"), "{name}");
    }
    // No statistics of which organisation has how many events, on any shard; index look-ups on every machine.
    for table in ["referral_events", "idempotency_keys"] {
        let sql = format!(
            "SELECT DISTINCT result FROM run_command_on_shards('{table}', 'SELECT attstattarget FROM pg_attribute \
             WHERE attrelid = ''%s''::regclass AND attname = ''organisation_id''')"
        );
        assert_eq!(rows(&server, &sql, ["result"]).await, [["0".to_owned()]], "{table}");
    }
    let sql = "SELECT DISTINCT result FROM run_command_on_workers('SHOW enable_seqscan')";
    assert_eq!(rows(&server, sql, ["result"]).await, [["off".to_owned()]]);
    // Migrating again finds nothing to do.
    assert!(server.database.migrate().await.expect("a schema").is_empty());
}

async fn calls_of_two_organisations_are_answered_as_anywhere(setup: Setup) {
    let server = Server::start(setup).await;
    let oscar = server.login("other", "oscar").await;
    let mut referenced = event("1", "01", "20");
    referenced["external_system_reference_number"] = json!("R1");
    let mut by_password = event("2", "02", "26");
    by_password["referred_by_rewards_participant_identifier"] =
        json!({"access_token_identifier": {"one_time_password": "123456"}});
    let first = server.send(json!([referenced, by_password, event("3", "20", "01")])).await;
    first.assert_outcome(&["1", "2"], &[("3", "CircularReferral")]);
    let mut theirs = event("1", "01", "20");
    theirs["performed_by_unit_identifier"] = json!({"name": "XAdmin Unit"});
    theirs["referred_rewards_participant_identifier"] = json!({"number": "XRP01"});
    theirs["referred_by_rewards_participant_identifier"] = json!({"number": "XRP20"});
    let request = json!({"token": oscar, "referral_customer_events_set": [theirs]});
    server.bulk(request).await.assert_outcome(&["1"], &[]);

    // A key that is stored already, a repetition, a used one-time password.
    by_password["request_unique_identifier"] = json!("again");
    by_password["referred_rewards_participant_identifier"] = json!({"number": "RP03"});
    let again = server.send(json!([referenced, event("other", "01", "21"), by_password, event("4", "04", "20")])).await;
    again.assert_outcome(&["1", "4"], &[("other", "ReferredByAnotherParticipant"), ("again", "InvalidAccessToken")]);
    assert_eq!(again.processed()[0]["id"], first.processed()[0]["id"]);
    let rehearsed =
        json!({"token": server.token, "referral_customer_events_set": [event("5", "05", "20")], "validate_only": true});
    server.bulk(rehearsed).await.assert_outcome(&["5"], &[]);

    assert_eq!(numbers(&server.list(json!({})).await).len(), 3);
    assert_eq!(server.cancel(json!({"external_system_reference_number": "R1"})).await.code, "OK");
    server.send(json!([event("6", "01", "21")])).await.assert_outcome(&["6"], &[]);
    let suspended = "number,state\nACR06,SUSPENDED\n";
    server.import("acme", DirectoryKind::AccountsReceivable, suspended).await;
    let answer = server.send(json!([event("7", "06", "21")])).await;
    answer.assert_outcome(&[], &[("7", "AccountsReceivableNotActive")]);
    // Each organisation's events lie on one shard.
    let sql = "SELECT count(DISTINCT get_shard_id_for_distribution_column('referral_events', organisation_id))::text AS shards \
               FROM (SELECT DISTINCT organisation_id FROM referral_events) AS o";
    assert_eq!(rows(&server, sql, ["shards"]).await, [["2".to_owned()]]);
}

async fn of_callers_who_race_one_succeeds_and_the_others_are_told_so(setup: Setup) {
    const CALLERS: usize = 6;
    let server = Server::start(setup).await;
    let replica = server.replica().await;
    for round in 1..=10 {
        let call = |caller: usize| {
            let events = json!([event("raced", &format!("{round:02}"), &format!("{}", 20 + caller))]);
            let of = if caller.is_multiple_of(2) { &server } else { &replica };
            async move { of.send(events).await }
        };
        let answers = futures_util::future::join_all((0..CALLERS).map(call)).await;
        let created = answers.iter().filter(|answer| answer.processed().len() == 1).count();
        let codes: BTreeSet<String> =
            answers.iter().flat_map(|answer| answer.failures()).map(|(_, code)| code).collect();
        assert_eq!(created, 1, "{answers:?}");
        assert_eq!(codes, BTreeSet::from(["ReferredByAnotherParticipant".to_owned()]));
    }
    let stored: Vec<Value> = server.stored_events().await.iter().map(|event| json!(event.number)).collect();
    assert_eq!(stored.len(), 10);
}

async fn an_import_tends_the_shard_of_its_organisation_alone(setup: Setup) {
    let server = Server::start(setup).await;
    let tended = "SELECT sum(result::int)::text AS tended FROM run_command_on_workers('SELECT count(*) FROM pg_stat_user_tables \
                  WHERE relname LIKE ''accounts_receivable_%'' AND last_analyze IS NOT NULL')";
    let rows_of_many: String = (0..2000).map(|n| format!("N{n}\n")).collect();
    server.import("acme", DirectoryKind::AccountsReceivable, format!("number\n{rows_of_many}")).await;
    // Those of the two organisations that have accounts, of 32.
    until("statistics are told of", async || rows(&server, tended, ["tended"]).await == [["2".to_owned()]]).await;
}

/// Moves a worker to another port in what the coordinator of this database knows, where nobody answers, or back.
async fn move_worker(server: &Server, from: i32, to: i32) {
    let sql = format!("UPDATE pg_dist_node SET nodeport = {to} WHERE nodeport = {from}");
    server.database.writer().execute_unprepared(&sql).await.expect("a node");
}

async fn a_port(server: &Server) -> i32 {
    let sql = "SELECT max(nodeport)::text AS port FROM pg_dist_node WHERE groupid > 0";
    let [[port]] = &rows(server, sql, ["port"]).await[..] else { panic!("no worker") };
    port.parse().expect("a port")
}

const NOBODY: i32 = 1;

async fn the_doctor_finds_what_is_wrong_with_a_cluster(setup: Setup) {
    let server = Server::start(setup).await;
    let mut workplace = Workplace::new();
    workplace.set("DATABASE_URL", &server.database_url());
    workplace.set("REFERRAL_EVENTS_TOKEN_KEY", &"70".repeat(32));
    workplace.set("REFERRAL_EVENTS_HASH_KEY", &"4a".repeat(32));
    let report = Report::of(&workplace, &[]);
    for check in ["workers", "distribution", "commits in doubt"] {
        assert_eq!(report.says(check).0, "ok", "{:?}", report.lines);
    }
    let shards = workplace.run_well(&["organisation", "list"], "").stdout;
    assert!(shards.lines().next().is_some_and(|line| line.ends_with("shard")), "{shards}");

    let port = a_port(&server).await;
    move_worker(&server, port, NOBODY).await;
    let report = Report::of(&workplace, &[]);
    let (outcome, message) = report.says("workers");
    assert!(outcome == "failed" && message.contains(":1 (") && message.contains("cannot be served"), "{message}");
    move_worker(&server, NOBODY, port).await;

    // A table that was made before the extension.
    for sql in
        ["SELECT undistribute_table('calls')", "ALTER DATABASE CURRENT SET citus.propagate_set_commands = 'local'"]
    {
        let sql = sql.replace("CURRENT", server.database_url().rsplit('/').next().expect("a name"));
        server.database.writer().execute_unprepared(&sql).await.expect("a statement");
    }
    let report = Report::of(&workplace, &[]);
    let (outcome, message) = report.says("distribution");
    assert!(outcome == "failed" && message.starts_with("the coordinator alone has calls, "), "{message}");
    let (outcome, message) = report.says("cluster settings");
    assert!(outcome == "warning" && message.contains("citus.propagate_set_commands = 'none'"), "{message}");
}

async fn an_operator_is_told_which_shards_a_lost_worker_stops(setup: Setup) {
    let server = Server::start(setup).await;
    let ready = async || serde_json::from_str::<Value>(&server.ask_admin("readyz").await.1).expect("JSON");
    let lost = async || {
        let scrape = server.scrape().await;
        scrape.sum("referral_events_shard_lost", &[])
    };
    assert_eq!(ready().await, json!({"ready": true, "reasons": []}));
    let port = a_port(&server).await;
    move_worker(&server, port, NOBODY).await;
    until("the worker is lost", async || ready().await["lost_shards"].as_array().is_some_and(|lost| !lost.is_empty()))
        .await;
    let told = ready().await;
    assert_eq!(told["ready"], true);
    let shards = told["lost_shards"].as_array().expect("shards");
    assert!(shards.iter().all(|shard| shard["worker"].as_str().is_some_and(|worker| worker.ends_with(":1"))), "{told}");
    assert_eq!(lost().await, shards.len() as f64);
    move_worker(&server, NOBODY, port).await;
    until("the worker is back", async || ready().await == json!({"ready": true, "reasons": []})).await;
    assert_eq!(lost().await, 0.0);
}
