//! The service on a cluster of Citus, where the environment names one (`TEST_CITUS_URL`, the coordinator's server).

use std::collections::BTreeSet;

use referral_events::directory::DirectoryKind;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Value, json};

use crate::support::{Server, Setup, event, numbers, tests};

tests! {
    Citus:
        a_schema_is_made_whose_organisations_lie_on_one_shard_each,
        calls_of_two_organisations_are_answered_as_anywhere,
        of_callers_who_race_one_succeeds_and_the_others_are_told_so;
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
