//! What a transaction hangs on is told and not taken for granted, and what the database says about it is understood.

use referral_events::{
    config::Config,
    storage::{Database, Transaction},
};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};

use crate::support::{Server, Setup, TestDatabase, event, tests};

tests! {
    Postgres:
        nothing_hangs_on_a_default_of_the_database,
        what_is_refused_with_its_commit_is_not_there,
        a_refused_load_that_citus_does_not_explain_is_a_lost_race_once,
        a_worker_that_is_lost_at_the_end_makes_the_service_unavailable;
    NoCalls:
        a_transaction_in_which_a_statement_failed_is_not_committed;
    Sqlite:
        a_disk_that_was_full_stops_nothing_once_it_is_free;
}

async fn execute(connection: &impl ConnectionTrait, sql: &str) {
    connection.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn show(connection: &impl ConnectionTrait, setting: &str) -> String {
    let statement = Statement::from_string(connection.get_database_backend(), format!("SHOW {setting}"));
    let row = connection.query_one_raw(statement).await.expect("a query").expect("a row");
    row.try_get_by_index(0).expect("a text")
}

async fn nothing_hangs_on_a_default_of_the_database(setup: Setup) {
    let files = setup.engine.create_world();
    let url = files.url.clone();
    let database = Database::connect(&url).await.expect("a database");
    for default in [
        "default_transaction_isolation = 'serializable'",
        "default_transaction_read_only = on",
        "synchronous_commit = off",
        "statement_timeout = 7000",
        "lock_timeout = 1",
        "idle_in_transaction_session_timeout = 1",
    ] {
        let name = url.rsplit('/').next().expect("a name");
        execute(database.writer(), &format!("ALTER DATABASE {name} SET {default}")).await;
    }
    database.close().await.expect("a close");

    let database = Database::connect(&url).await.expect("a database");
    let assert_told = async |transaction: &Transaction, expected: [&str; 2]| {
        for (setting, expected) in
            [("transaction_isolation", expected[0]), ("transaction_read_only", expected[1]), ("lock_timeout", "15s")]
        {
            assert_eq!(show(transaction, setting).await, expected, "{setting}");
        }
        assert_eq!(show(transaction, "statement_timeout").await, "30s");
        assert_eq!(show(transaction, "idle_in_transaction_session_timeout").await, "5s");
    };
    let writing = database.begin().await.expect("a transaction");
    assert_told(&writing, ["read committed", "off"]).await;
    assert_eq!(show(&writing, "synchronous_commit").await, "on");
    writing.rollback().await.expect("a rollback");
    let reading = database.begin_read().await.expect("a transaction");
    assert_told(&reading, ["repeatable read", "on"]).await;
    reading.rollback().await.expect("a rollback");
    for (setting, expected) in [
        ("transaction_isolation", "read committed"),
        ("transaction_read_only", "off"),
        ("synchronous_commit", "on"),
        ("statement_timeout", "30s"),
    ] {
        assert_eq!(show(database.writer(), setting).await, expected, "{setting}");
    }
    database.close().await.expect("a close");

    let server = Server::start_over(setup, TestDatabase::at(url), Config::default()).await;
    server.send(json!([event("1", "01", "02")])).await.assert_outcome(&["1"], &[]);
    let released = server.release_token(json!({"token": server.token})).await;
    assert_eq!(released.code, "OK", "{released:?}");
}

/// Has the database raise an error of this code where a condition about the new row is true; `timing` says when.
async fn raise(server: &Server, code: &str, timing: &str, condition: &str) {
    let database = server.database.writer();
    execute(
        database,
        &format!(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {condition} THEN \
             RAISE EXCEPTION 'refused' USING ERRCODE = '{code}'; END IF; RETURN NEW; END $$"
        ),
    )
    .await;
    execute(database, &format!("CREATE {timing} FOR EACH ROW EXECUTE FUNCTION refuse()")).await;
}

/// When the rows of a statement are refused, and when those of a transaction are, as it ends.
const AT_ONCE: &str = "TRIGGER refuse BEFORE INSERT ON referral_events";
const AT_THE_END: &str = "CONSTRAINT TRIGGER refuse AFTER INSERT ON referral_events DEFERRABLE INITIALLY DEFERRED";

async fn what_is_refused_with_its_commit_is_not_there(setup: Setup) {
    let server = Server::start(setup).await;
    let mut refused = event("1", "01", "02");
    refused["description"] = json!("never");
    for timing in [AT_ONCE, AT_THE_END] {
        raise(&server, "P0001", timing, "NEW.description = 'never'").await;
        // The others of its call are not there either; the next call finds the session in order.
        server.send(json!([event("2", "03", "02"), refused])).await.assert_refused("Internal");
        assert_eq!(server.stored_events().await.len(), 0, "{timing}");
        execute(server.database.writer(), "DROP TRIGGER refuse ON referral_events").await;
    }
    server.send(json!([event("2", "03", "02"), refused])).await.assert_outcome(&["2", "1"], &[]);
}

/// A server that takes its database for a cluster of Citus, whose errors are then raised in it.
async fn start_as_on_citus(setup: Setup) -> Server {
    let files = setup.engine.create_world();
    let database = Database::connect(&files.url).await.expect("a database");
    let extension = "INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion) \
                     VALUES (999999, 'citus', 10, 11, FALSE, '0')";
    execute(database.writer(), extension).await;
    database.close().await.expect("a close");
    Server::start_over(setup, files, Config::default()).await
}

async fn a_refused_load_that_citus_does_not_explain_is_a_lost_race_once(setup: Setup) {
    let server = start_as_on_citus(setup).await;
    let taken = "EXISTS (SELECT 1 FROM referral_events e WHERE e.referred_account_key = NEW.referred_account_key) \
                 OR NEW.description = 'never'";
    raise(&server, "XX000", AT_ONCE, taken).await;
    let told = |identifier: &str, referred: &str, description: &str| {
        let mut event = event(identifier, referred, "02");
        event["description"] = json!(description);
        event
    };
    server.send(json!([event("1", "01", "02")])).await.assert_outcome(&["1"], &[]);
    // A key that is taken is found by looking.
    let answer = server.send(json!([event("again", "01", "02"), event("new", "03", "02")])).await;
    answer.assert_outcome(&["new"], &[("again", "ReferralAlreadyExists")]);
    // Where looking finds nothing, something is wrong.
    server.send(json!([told("2", "04", "never")])).await.assert_refused("Internal");
    server.send(json!([told("3", "04", "sometimes")])).await.assert_outcome(&["3"], &[]);
}

async fn a_worker_that_is_lost_at_the_end_makes_the_service_unavailable(setup: Setup) {
    let server = start_as_on_citus(setup).await;
    let never = |code: &str| format!("NEW.description = '{code}'");
    for code in ["XX000", "58030"] {
        raise(&server, code, AT_THE_END, &never(code)).await;
        let mut lost: Value = event("1", "01", "02");
        lost["description"] = json!(code);
        server.send(json!([lost])).await.assert_refused("ServiceUnavailable");
        execute(server.database.writer(), "DROP TRIGGER refuse ON referral_events").await;
    }
    server.send(json!([event("1", "01", "02")])).await.assert_outcome(&["1"], &[]);
}

async fn a_transaction_in_which_a_statement_failed_is_not_committed(setup: Setup) {
    let files = setup.engine.create_database();
    let database = Database::connect(&files.url).await.expect("a database");
    execute(database.writer(), "CREATE TABLE numbers (n INTEGER PRIMARY KEY)").await;
    let transaction = database.begin().await.expect("a transaction");
    execute(&transaction, "INSERT INTO numbers VALUES (1)").await;
    assert!(transaction.execute_unprepared("INSERT INTO numbers VALUES (1)").await.is_err());
    assert!(transaction.commit().await.is_err(), "it says that it was committed");
    let sql = "SELECT CAST(count(*) AS BIGINT) FROM numbers";
    let statement = Statement::from_string(database.reader().get_database_backend(), sql);
    let row = database.writer().query_one_raw(statement).await.expect("a query").expect("a row");
    assert_eq!(row.try_get_by_index::<i64>(0).expect("a number"), 0);
}

async fn a_disk_that_was_full_stops_nothing_once_it_is_free(setup: Setup) {
    let server = Server::start(setup).await;
    for round in 0..3 {
        // The connection that writes finds no room, as on a full disk; one that is opened anew does.
        execute(server.database.writer(), "PRAGMA max_page_count = 1").await;
        let events: Vec<Value> = (1..40)
            .map(|n| {
                let mut event = event(&n.to_string(), &format!("{n:02}"), "50");
                event["description"] = json!("x".repeat(4000));
                event
            })
            .collect();
        let full = server.send(json!(events)).await;
        assert_ne!(full.code, "OK", "there is no room");
        let referred = format!("{:02}", 41 + round);
        server.send(json!([event("1", &referred, "50")])).await.assert_outcome(&["1"], &[]);
    }
    assert_eq!(server.stored_events().await.len(), 3);
}
