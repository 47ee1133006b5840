//! `doctor`: what is wrong is found before it is served, and said with what mends it.

use std::{fs, io::Read, net::TcpListener};

use migrations::{Migrator, MigratorTrait};
use referral_events::storage::{Database, schema};
use sea_orm::ConnectionTrait;
use serde_json::Value;

use crate::support::{Bouncer, Cluster, Engine, Setup, SmallDisk, Workplace, tests, until};

tests! {
    NoCalls:
        whoever_has_all_is_told_so_while_the_server_runs;
    Once:
        before_there_is_a_database_nothing_is_made_and_nothing_fails,
        a_configuration_that_cannot_be_used_is_all_that_is_told,
        keys_that_cannot_be_used_are_told,
        a_hash_key_of_another_database_is_told,
        a_database_that_cannot_be_opened_is_told_as_its_commands_do,
        a_schema_that_this_program_cannot_use_is_told,
        too_few_descriptors_are_told,
        a_port_that_another_has_is_told_from_one_that_this_service_has;
    OwnPostgres:
        what_a_user_may_not_do_is_told_with_the_grants_that_mend_it,
        a_clock_and_settings_of_the_server_that_spoil_what_is_kept_are_warned_of;
    PooledNoCalls:
        a_pooler_that_the_url_does_not_tell_of_is_seen;
    SqliteOnSmallDisk:
        a_disk_with_little_room_is_warned_of_and_one_with_none_fails;
}

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// What the doctor says of a check: its outcome and its message; and how the command ends.
struct Report {
    code: i32,
    lines: Vec<(String, String, String)>,
}

impl Report {
    fn of(workplace: &Workplace, arguments: &[&str]) -> Self {
        // A port that nobody else has, unless the test says which.
        let listen: &[&str] = if arguments.contains(&"--listen") { &[] } else { &["--listen", "127.0.0.1:0"] };
        let ended = workplace.run(&[&["doctor"], listen, arguments].concat());
        assert_eq!(ended.stderr, "");
        let line = |line: &str| {
            let (outcome, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            let (check, message) = rest.trim_start().split_once(": ").unwrap_or_else(|| panic!("{line}"));
            (outcome.to_owned(), check.to_owned(), message.to_owned())
        };
        let report = Self { code: ended.code.expect("a code"), lines: ended.stdout.lines().map(line).collect() };
        let fails = report.lines.iter().any(|(outcome, ..)| outcome == "failed");
        assert_eq!(report.code, i32::from(fails), "{:#?}", report.lines);
        report
    }

    fn checks(&self) -> Vec<&str> {
        self.lines.iter().map(|(_, check, _)| check.as_str()).collect()
    }

    #[track_caller]
    fn says(&self, check: &str) -> (&str, &str) {
        let line = self.lines.iter().find(|(_, name, _)| name == check);
        let (outcome, _, message) = line.unwrap_or_else(|| panic!("{check} is not in {:#?}", self.lines));
        (outcome, message)
    }

    #[track_caller]
    fn expect(&self, check: &str, outcome: &str, message: &str) {
        assert_eq!(self.says(check), (outcome, message));
    }
}

async fn execute(url: &str, statements: &[&str]) {
    let database = Database::connect(url).await.expect("a database");
    for sql in statements {
        database.writer().execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    database.close().await.expect("a close");
}

async fn whoever_has_all_is_told_so_while_the_server_runs(setup: Setup) {
    let workplace = Workplace::over(setup.engine.create_schema());
    let server = workplace.serve(&[]);
    let listen = server.address.to_string();
    let report = Report::of(&workplace, &["--listen", &listen]);
    let expected: &[&str] = match setup.engine {
        Engine::Sqlite => &["configuration", "keys", "database", "schema", "hash key", "disk", "descriptors", "port"],
        _ => &[
            "configuration",
            "keys",
            "database",
            "pooler",
            "grants",
            "schema",
            "clock",
            "durability",
            "hash key",
            "descriptors",
            "port",
        ],
    };
    assert_eq!((report.code, report.checks()), (0, expected.to_vec()), "{:#?}", report.lines);
    for check in expected.iter().filter(|check| !["durability", "disk"].contains(check)) {
        assert_eq!(report.says(check).0, "ok", "{:#?}", report.lines);
    }
    report.expect("port", "ok", &format!("{listen} is taken by this service, which serves"));
    report.expect("hash key", "ok", "it is the one that the codes in the database were stored with");
    report.expect("schema", "ok", "it is up to date");
    // The same as JSON.
    let json = workplace.run_well(&["doctor", "--json", "--listen", &listen], "").stdout;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let checks = json["checks"].as_array().expect("checks");
    let checks: Vec<(&str, &str)> = checks
        .iter()
        .map(|check| (check["check"].as_str().expect("a name"), check["outcome"].as_str().expect("an outcome")))
        .collect();
    let lines: Vec<(&str, &str)> = report.lines.iter().map(|(outcome, check, _)| (&**check, &**outcome)).collect();
    assert_eq!(checks, lines);
    assert!(json["checks"][0]["message"].is_string());
}

async fn before_there_is_a_database_nothing_is_made_and_nothing_fails(_: Setup) {
    let workplace = Workplace::new();
    let report = Report::of(&workplace, &[]);
    report.expect("configuration", "ok", "there is no file; flags, the environment and defaults count");
    report.expect("keys", "ok", "serve makes those that are not set, in referral-events.db.keys");
    report.expect("database", "warning", "there is no file referral-events.db yet: serve makes it");
    assert_eq!(report.checks(), ["configuration", "keys", "database", "disk", "descriptors", "port"]);
    assert_eq!(fs::read_dir(workplace.path(".")).expect("a folder").count(), 0);
    // Nor where one key is set, and with a database that serve has not used yet.
    workplace.run_well(&["migrate"], "");
    let report = Report::of(&workplace, &["--hash-key", KEY]);
    report.expect("hash key", "ok", "the database has been used with none so far");
    assert!(!workplace.path("referral-events.db.keys").exists());
    // The demo has nothing that could be looked at.
    for command in [&["doctor", "--demo"][..], &["config", "show", "--demo"]] {
        let ended = workplace.run(command);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
        assert!(ended.stderr.contains("--demo has no settings to look at: leave it out"), "{ended:?}");
    }
}

async fn a_configuration_that_cannot_be_used_is_all_that_is_told(_: Setup) {
    let workplace = Workplace::new();
    fs::write(workplace.path("settings.toml"), "time-limit = 0\n").expect("a file");
    let report = Report::of(&workplace, &["--config", "settings.toml"]);
    let message = "the configuration file settings.toml: time-limit: it takes a whole number from 1 to 86400";
    report.expect("configuration", "failed", message);
    assert_eq!(report.checks(), ["configuration"]);
    fs::write(workplace.path("settings.toml"), "time-limit = 1\n").expect("a file");
    Report::of(&workplace, &["--config", "settings.toml"]).expect(
        "configuration",
        "ok",
        "it is read from settings.toml",
    );
    let report = Report::of(&workplace, &["--log", "loud"]);
    assert!(report.says("configuration").1.starts_with("--log cannot be read: \"loud\" is no level; it is a level "));
    let ended = workplace.run(&["doctor", "--listen", "nowhere.invalid:50051"]);
    assert_eq!(ended.code, Some(1));
    let begin = "failed   configuration: --listen names the host nowhere.invalid, which cannot be found: ";
    assert!(ended.stdout.starts_with(begin), "{ended:?}");
}

async fn keys_that_cannot_be_used_are_told(_: Setup) {
    let workplace = Workplace::new();
    let short = Report::of(&workplace, &["--token-key", "0011", "--hash-key", KEY]);
    short.expect("keys", "failed", "REFERRAL_EVENTS_TOKEN_KEY must be 64 hex digits");
    let same = Report::of(&workplace, &["--token-key", KEY, "--hash-key", KEY]);
    assert!(same.says("keys").1.starts_with("REFERRAL_EVENTS_TOKEN_KEY and REFERRAL_EVENTS_HASH_KEY must be two keys"));
    let public = workplace.run(&["doctor", "--listen", "0.0.0.0:0"]);
    assert_eq!(public.code, Some(1));
    let begin =
        "failed   keys: REFERRAL_EVENTS_TOKEN_KEY and REFERRAL_EVENTS_HASH_KEY must be set, each to 64 hex digits";
    assert!(public.stdout.contains(begin), "{public:?}");
    assert!(!workplace.path("referral-events.db.keys").exists());
}

async fn a_hash_key_of_another_database_is_told(_: Setup) {
    let workplace = Workplace::new();
    workplace.add_caller("pw");
    drop(workplace.serve(&[]));
    let message = "the codes in the database were stored with another key and would match nothing: set \
                   REFERRAL_EVENTS_HASH_KEY to that one, or put its key file back";
    Report::of(&workplace, &["--hash-key", KEY]).expect("hash key", "failed", message);
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

async fn too_few_descriptors_are_told(_: Setup) {
    let workplace = Workplace::new();
    let of_shell = |limit: u32, more: &str| {
        let doctor = format!("referral-events doctor --listen 127.0.0.1:0 {more}");
        let said = workplace.run_script(&format!("ulimit -n {limit}; {doctor} | grep descriptors:"));
        said.trim_end().to_owned()
    };
    assert_eq!(
        of_shell(1000, ""),
        "warning  descriptors: they do for 856 connections of callers: raise the system's limit (ulimit -n, LimitNOFILE= of \
         systemd), or say with --maximum-connections that so many are enough"
    );
    assert_eq!(
        of_shell(1000, "--maximum-connections 856"),
        "ok       descriptors: they do for 856 connections of callers"
    );
    assert_eq!(
        of_shell(1000, "--maximum-connections 857"),
        "failed   descriptors: --maximum-connections 857 takes 1001 descriptors and the system allows 1000: set it to 856 or \
         less, or raise the system's limit (ulimit -n)"
    );
}

async fn a_port_that_another_has_is_told_from_one_that_this_service_has(_: Setup) {
    let workplace = Workplace::new();
    let port = |listen: &str| {
        let ended = workplace.run(&["doctor", "--listen", listen, "--token-key", KEY, "--hash-key", &"4a".repeat(32)]);
        let line = ended.stdout.lines().last().expect("a line");
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    // One that hangs up on whatever is said, and one that says nothing.
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = other.local_addr().expect("an address");
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = other.accept() {
            _ = stream.read(&mut [0; 1]);
        }
    });
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    for (address, reason) in
        [(address, ""), (silent.local_addr().expect("an address"), "does not answer within 3 seconds: ")]
    {
        let said = port(&address.to_string());
        let begin = format!("failed port: {address} is taken by another program, which {reason}");
        assert!(said.starts_with(&begin), "{said}");
        assert!(said.ends_with(": end it, or set another address by --listen"), "{said}");
    }
    let server = workplace.serve(&["--drain-pause", "600", "--drain-limit", "1200"]);
    server.terminate();
    let stopping = format!("warning port: {} is taken by this service, which is not serving", server.address);
    until("the port is that of a server that stops", async || port(&server.address.to_string()) == stopping).await;
    let said = port("192.0.2.1:50051");
    assert!(said.starts_with("failed port: 192.0.2.1:50051 cannot be listened on ("), "{said}");
    assert!(port("127.0.0.1:0").starts_with("ok port: 127.0.0.1:0 is free"));
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
                  service; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO service";
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

async fn a_disk_with_little_room_is_warned_of_and_one_with_none_fails(_: Setup) {
    for (megabytes, expected) in [(32, "failed"), (512, "warning")] {
        let disk = SmallDisk::new(megabytes);
        let url = format!("sqlite:{}", disk.path().join("events.db").display());
        let report = Report::of(&Workplace::new(), &["--database-url", &url]);
        let (outcome, message) = report.says("disk");
        assert_eq!(outcome, expected, "{message}");
        let end = match expected {
            "failed" => ", and SQLite's log alone may take 128: make room, or move the database",
            _ => ": make room, before it is used up",
        };
        let begin = format!("{megabytes} MiB are free in {}", disk.path().display());
        assert_eq!(message, format!("{begin}{end}"));
    }
    let disk = SmallDisk::new(64);
    let workplace = Workplace::new();
    let url = format!("sqlite:{}", disk.path().join("events.db").display());
    let server = workplace.serve(&["--database-url", &url]);
    disk.fill();
    let report = Report::of(&workplace, &["--database-url", &url]);
    let full =
        "The database has no room left, or cannot write to its disk; try again. Make room on the database's disk.";
    report.expect("database", "failed", full);
    disk.free();
    assert_eq!(Report::of(&workplace, &["--database-url", &url]).says("database").0, "ok");
    drop(server);
}
