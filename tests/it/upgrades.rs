//! What steps of the schema cost those who call meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use migrations::{Migrator, MigratorTrait};
use referral_events::storage::Database;
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::{
    migrations::with_steps,
    support::{Setup, examples::document, tests},
};

tests! {
    Postgres:
        steps_that_build_something_for_large_tables_are_in_the_document,
        a_step_does_not_wait_for_a_long_transaction;
}

/// The tables that calls and imports fill.
const LARGE: &str =
    "('referral_events', 'idempotency_keys', 'accounts_receivable', 'rewards_participants', 'access_tokens')";

/// The files of the large tables and of their indexes, by name. One that is rewritten has another.
async fn files<C: ConnectionTrait>(connection: &C) -> BTreeMap<String, (String, i64)> {
    let sql = format!(
        "SELECT c.relname::text AS name, t.relname::text AS table_name, c.relfilenode::bigint AS file \
         FROM pg_class t LEFT JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class c ON c.oid IN (t.oid, i.indexrelid) \
         WHERE t.relnamespace = 'public'::regnamespace AND t.relname IN {LARGE}"
    );
    let rows = connection.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await.expect("rows");
    let file = |row: &sea_orm::QueryResult| {
        let text = |column| row.try_get::<String>("", column).expect("a text");
        (text("name"), (text("table_name"), row.try_get("", "file").expect("a number")))
    };
    rows.iter().map(file).collect()
}

async fn steps_that_build_something_for_large_tables_are_in_the_document(setup: Setup) {
    let workplace = with_steps(setup.engine, 1).await;
    let connection = sea_orm::Database::connect(workplace.database_url()).await.expect("a connection");
    let mut building = BTreeSet::new();
    let mut before = files(&connection).await;
    for step in &Migrator::migrations()[1..] {
        Migrator::up(&connection, Some(1)).await.expect("a step");
        let after = files(&connection).await;
        let is_there = |table: &str| before.values().any(|(of, _)| of == table);
        if after.iter().any(|(name, file)| is_there(&file.0) && before.get(name) != Some(file)) {
            building.insert(step.name().to_owned());
        }
        before = after;
    }
    connection.close().await.expect("a close");
    let document = document("docs/upgrading.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `m2")?.split_once('`'));
    let documented: BTreeSet<String> =
        rows.filter(|(_, rest)| !rest.contains("reads")).map(|(name, _)| format!("m2{name}")).collect();
    assert_eq!(building, documented, "steps that rewrite a large table or build an index on it");
    assert!(building.iter().all(|step| step.as_str() < "m20261126_000014"), "calls wait for it: {building:?}");
}

async fn a_step_does_not_wait_for_a_long_transaction(setup: Setup) {
    let workplace = with_steps(setup.engine, 12).await;
    let database = Database::connect(&workplace.database_url()).await.expect("a database");
    // What pg_dump has of every table.
    let dump = database.begin_read().await.expect("a transaction");
    dump.execute_unprepared("LOCK TABLE counters IN ACCESS SHARE MODE").await.expect("a lock");
    let started = Instant::now();
    let ended = workplace.run(&["migrate"]);
    assert!(started.elapsed() < Duration::from_secs(20), "calls that use the table would wait behind it");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let remedy = "a long transaction uses the table, as pg_dump does: run migrate again when it has ended";
    assert!(ended.stderr.starts_with("error: step m20261126_000013_watch_the_clock of the schema failed"), "{ended:?}");
    assert!(ended.stderr.contains(remedy), "{ended:?}");
    dump.rollback().await.expect("an end");
    database.close().await.expect("a close");
    workplace.run_well(&["migrate"], "");
}
