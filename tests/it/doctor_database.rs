//! What `doctor` finds to be wrong with a database, and how it says to mend it.

use std::fs;

use migrations::{Migrator, MigratorTrait};
use referral_events::storage::{Database, schema};
use sea_orm::ConnectionTrait;

use crate::support::{Bouncer, Cluster, Engine, Setup, Workplace, doctor::Report, postgres, tests};

tests! {
    Once:
        a_hash_key_of_another_database_is_told,
        a_database_that_cannot_be_opened_is_told_as_its_commands_do,
        a_schema_that_this_program_cannot_use_is_told;
    OwnPostgres:
        what_a_user_may_not_do_is_told_with_the_grants_that_mend_it,
        a_clock_and_settings_of_the_server_that_spoil_what_is_kept_are_warned_of;
    PooledNoCalls:
        a_pooler_that_the_url_does_not_tell_of_is_seen;
}

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

async fn execute(url: &str, statements: &[&str]) {
    let database = Database::connect(url).await.expect("a database");
    for sql in statements {
        database.writer().execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    database.close().await.expect("a close");
}

async fn a_hash_key_of_another_database_is_told(_: Setup) {
    let workplace = Workplace::new();
    workplace.add_caller("seven green kettles");
    drop(workplace.serve(&[]));
    let message = "the codes in the database were hashed with another key and would match nothing: set \
                   REFERRAL_EVENTS_HASH_KEY to the key that was used so far";
    let report = Report::of(&workplace, &["--hash-key", KEY]);
    report.expect("hash key", "failed", message);
    let shown = "--hash-key stands on the command line, where whoever lists the processes sees it: use --hash-key-file";
    report.expect("keys", "warning", shown);
    let message = "the key file is not there, and the codes in the database match nothing without its key: put the file \
                   back, or set REFERRAL_EVENTS_HASH_KEY to the key that was used so far";
    fs::rename(workplace.path("referral-events.db.keys"), workplace.path("away")).expect("a file");
    Report::of(&workplace, &[]).expect("hash key", "failed", message);
    assert!(!workplace.path("referral-events.db.keys").exists());
    fs::rename(workplace.path("away"), workplace.path("referral-events.db.keys")).expect("a file");
    assert_eq!(Report::of(&workplace, &[]).says("hash key").0, "ok");
}

async fn a_database_that_cannot_be_opened_is_told_as_its_commands_do(_: Setup) {
    let workplace = Workplace::new();
    fs::write(workplace.path("letter.txt"), "Dear reader, this is not a database.".repeat(100)).expect("a file");
    let keys = ["--token-key", KEY, "--hash-key", &KEY.replace("ff", "ee")];
    for (url, begin) in [
        ("sqlite:no/folder/events.db", "the database cannot be opened: the folder no/folder does not exist: make it"),
        ("sqlite:letter.txt", "the database cannot be opened: the file letter.txt: "),
        (
            "postgres://ann:opensesame@127.0.0.1:1/events",
            "the database cannot be opened: PostgreSQL at 127.0.0.1:1 is not",
        ),
        ("mysql://host/x", "the database URL begins with sqlite:, postgres://"),
    ] {
        let report = Report::of(&workplace, &[&["--database-url", url], &keys[..]].concat());
        let (outcome, message) = report.says("database");
        assert!(outcome == "failed" && message.starts_with(begin), "{url}: {outcome} {message}");
        assert!(!message.contains("opensesame"), "{message}");
        assert!(!report.checks().contains(&"schema"));
    }
}

async fn a_schema_that_this_program_cannot_use_is_told(_: Setup) {
    let mut workplace = Workplace::new();
    let connection = sea_orm::Database::connect(format!("{}?mode=rwc", workplace.database_url())).await;
    let connection = connection.expect("a connection");
    Migrator::up(&connection, Some(schema::steps().len() as u32 - 2)).await.expect("steps");
    connection.close().await.expect("a close");
    Report::of(&workplace, &[]).expect("schema", "ok", "it lacks 2 steps: serve takes them");
    workplace.run_well(&["migrate"], "");
    let url = workplace.database_url();
    execute(&url, &["INSERT INTO seaql_migrations (version, applied_at) VALUES ('m20990101_000001_later', 0)"]).await;
    let report = Report::of(&workplace, &[]);
    let (outcome, message) = report.says("schema");
    assert_eq!(outcome, "failed");
    assert!(message.starts_with("the database's schema is newer than this program, "), "{message}");
    assert!(message.ends_with("run the version that the schema was brought up to date with"), "{message}");
    execute(&url, &["INSERT INTO compatible_steps (step, needs) VALUES ('m20990101_000001_later', 'm20261123_000001_create_organisations')"]).await;
    Report::of(&workplace, &[]).expect("schema", "ok", "it is 1 steps newer than this program, which can use it");

    if Engine::Postgres.missing().is_none() {
        let database = Engine::Postgres.create_database();
        workplace = Workplace::over(database);
        let message = format!("it lacks {} steps: run: referral-events migrate", schema::steps().len());
        Report::of(&workplace, &[]).expect("schema", "failed", &message);
        workplace.run_script(&format!("DATABASE_URL={} referral-events migrate", workplace.database_url()));
        assert_eq!(Report::of(&workplace, &[]).code, 0);
    }
}

async fn what_a_user_may_not_do_is_told_with_the_grants_that_mend_it(_: Setup) {
    let cluster = Cluster::start();
    let owner = format!("{}/events", cluster.url());
    cluster.execute("CREATE DATABASE events");
    cluster.execute("CREATE ROLE service LOGIN");
    execute(&owner, &["REVOKE ALL ON SCHEMA public FROM PUBLIC"]).await;
    let mut workplace = Workplace::new();
    workplace.set("REFERRAL_EVENTS_TOKEN_KEY", &"70".repeat(32));
    workplace.set("REFERRAL_EVENTS_HASH_KEY", &"4a".repeat(32));
    workplace.run_well(&["migrate", "--database-url", &owner], "");
    workplace.set("DATABASE_URL", &owner.replace("postgres@", "service@"));
    Report::of(&workplace, &[]).expect(
        "grants",
        "failed",
        "service may use no schema: as its owner, run: GRANT USAGE ON SCHEMA public TO service",
    );
    let remedy = "as the owner of the tables, run: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO \
                  service; GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO service";
    execute(
        &owner,
        &[
            "GRANT USAGE ON SCHEMA public TO service",
            "GRANT SELECT, DELETE ON ALL TABLES IN SCHEMA public TO service",
            "REVOKE DELETE ON taps, users FROM service",
        ],
    )
    .await;
    // Those who serve only read what steps were taken.
    let tables: Vec<&str> =
        schema::TABLES.into_iter().filter(|table| !["compatible_steps", "seaql_migrations"].contains(table)).collect();
    let tables = tables.join(", ");
    let lacking = format!("service lacks INSERT on {tables}; UPDATE on {tables}; DELETE on taps, users: {remedy}");
    Report::of(&workplace, &[]).expect("grants", "failed", &lacking);
    execute(&owner, &["REVOKE SELECT ON taps FROM service"]).await;
    assert!(Report::of(&workplace, &[]).says("grants").1.starts_with("service lacks SELECT on taps; INSERT on "));
    // What it says mends it.
    let grants = remedy.split_once("run: ").expect("a remedy").1;
    execute(&owner, &grants.split("; ").collect::<Vec<_>>()).await;
    let report = Report::of(&workplace, &[]);
    report.expect("grants", "ok", "service may read and write the tables that are there");
    assert_eq!(report.code, 0);
    // And lets the service's user copy the database.
    let programs = postgres::programs().map_or_else(String::new, |folder| format!("{}:", folder.display()));
    let url = owner.replace("postgres@", "service@");
    workplace.run_script(&format!("PATH=\"{programs}$PATH\" pg_dump --format=custom --file=service.dump '{url}'"));
}

async fn a_clock_and_settings_of_the_server_that_spoil_what_is_kept_are_warned_of(_: Setup) {
    let cluster = Cluster::start();
    cluster.execute("CREATE DATABASE events");
    let mut workplace = Workplace::new();
    workplace.set("REFERRAL_EVENTS_TOKEN_KEY", &"70".repeat(32));
    workplace.set("REFERRAL_EVENTS_HASH_KEY", &"4a".repeat(32));
    workplace.set("DATABASE_URL", &format!("{}/events", cluster.url()));
    workplace.run_well(&["migrate"], "");
    let report = Report::of(&workplace, &[]);
    assert_eq!(report.says("clock").0, "ok");
    let warning = |off: &str, set: &str| {
        format!(
            "{off} off: a crash of the machine may lose or spoil what was committed; as a superuser, run: {set}; SELECT \
             pg_reload_conf()"
        )
    };
    // That is how the tests' own servers are started.
    report.expect("durability", "warning", &warning("fsync is", "ALTER SYSTEM SET fsync = on"));
    cluster.execute("ALTER DATABASE events SET synchronous_commit = off");
    let both = warning(
        "fsync, synchronous_commit are",
        "ALTER SYSTEM SET fsync = on; ALTER SYSTEM SET synchronous_commit = on",
    );
    Report::of(&workplace, &[]).expect("durability", "warning", &both);
    // Another clock comes before that of the server.
    cluster.execute("ALTER DATABASE events SET search_path = public, pg_catalog");
    for (by, said) in [("+ interval '1 hour'", "ahead of"), ("- interval '1 hour'", "behind")] {
        let function = format!(
            "CREATE OR REPLACE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS \
             $$SELECT pg_catalog.clock_timestamp() {by}$$"
        );
        execute(&format!("{}/events", cluster.url()), &[&function]).await;
        let report = Report::of(&workplace, &[]);
        let (outcome, message) = report.says("clock");
        let hour = message.strip_prefix("PostgreSQL's is ").and_then(|rest| rest.split_once(" seconds "));
        let (seconds, rest) = hour.unwrap_or_else(|| panic!("{message}"));
        assert!((3599.0..3601.0).contains(&seconds.parse::<f64>().expect("a number")), "{message}");
        assert_eq!((outcome, rest), ("warning", &*format!("{said} ours: have both machines set theirs by NTP")));
        assert_eq!(report.code, 0);
    }
}

async fn a_pooler_that_the_url_does_not_tell_of_is_seen(_: Setup) {
    let database = Engine::Postgres.create_schema();
    let bouncer = Bouncer::start(&database.url, "");
    let keys = ["--token-key", KEY, "--hash-key", &"4a".repeat(32)];
    let pooler = |url: &str| {
        let report = Report::of(&Workplace::new(), &[&["--database-url", url], &keys[..]].concat());
        let (outcome, message) = report.says("pooler");
        (outcome.to_owned(), message.to_owned())
    };
    let (without, _) = bouncer.url.split_once('?').expect("a parameter");
    let message = "a pooler shares sessions between connections: add statement-cache-capacity=0 to the database URL, or have \
                   it pool by session";
    assert_eq!(pooler(without), ("failed".to_owned(), message.to_owned()));
    let message = "there is one that shares sessions, and the database URL says so";
    assert_eq!(pooler(&bouncer.url), ("ok".to_owned(), message.to_owned()));
    let message = "there is none that shares sessions";
    assert_eq!(pooler(&database.url), ("ok".to_owned(), message.to_owned()));
    let (outcome, message) = pooler(&format!("{}?statement-cache-capacity=0", database.url));
    assert!(outcome == "ok" && message.starts_with("none shows that shares sessions; "), "{message}");
}
