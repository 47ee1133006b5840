//! `doctor`: what is wrong is found before it is served, and said with what mends it.

use std::{fs, io::Read, net::TcpListener};

use serde_json::Value;

use crate::support::{Engine, Setup, SmallDisk, Workplace, doctor::Report, tests, until};

tests! {
    NoCalls:
        whoever_has_all_is_told_so_while_the_server_runs;
    Once:
        before_there_is_a_database_nothing_is_made_and_nothing_fails,
        a_configuration_that_cannot_be_used_is_all_that_is_told,
        keys_that_cannot_be_used_are_told,
        too_few_descriptors_are_told,
        a_port_that_another_has_is_told_from_one_that_this_service_has,
        an_admin_port_that_another_has_is_told_from_one_that_this_service_has;
    SqliteOnSmallDisk:
        a_disk_with_little_room_is_warned_of_and_one_with_none_fails;
}

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

async fn whoever_has_all_is_told_so_while_the_server_runs(setup: Setup) {
    let workplace = Workplace::over(setup.engine.create_schema());
    let server = workplace.serve(&[]);
    let listen = server.address.to_string();
    let report = Report::of(&workplace, &["--listen", &listen]);
    let expected: &[&str] = match setup.engine {
        Engine::Sqlite => {
            &["configuration", "keys", "TLS", "database", "schema", "hash key", "disk", "descriptors", "port"]
        }
        _ => &[
            "configuration",
            "keys",
            "TLS",
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
    assert_eq!(report.checks(), ["configuration", "keys", "TLS", "database", "disk", "descriptors", "port"]);
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
    // A machine that has much else to do may not write at once.
    let is_well = async || Report::of(&workplace, &["--database-url", &url]).says("database").0 == "ok";
    until("the disk has room again", is_well).await;
    drop(server);
}

async fn an_admin_port_that_another_has_is_told_from_one_that_this_service_has(_: Setup) {
    let workplace = Workplace::new();
    assert!(!Report::of(&workplace, &["--admin-listen", "off"]).checks().contains(&"admin port"));
    Report::of(&workplace, &["--admin-listen", "127.0.0.1:0"]).expect("admin port", "ok", "127.0.0.1:0 is free");
    let server = workplace.serve(&["--admin-listen", "127.0.0.1:0"]);
    let ours = server.admin().await.to_string();
    let report = Report::of(&workplace, &["--admin-listen", &ours]);
    report.expect("admin port", "ok", &format!("{ours} is taken by this service"));
    // Neither one that answers something else nor one that answers nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    for others in [server.address, silent.local_addr().expect("an address")] {
        let report = Report::of(&workplace, &["--admin-listen", &others.to_string()]);
        let (outcome, message) = report.says("admin port");
        assert_eq!((report.code, outcome), (1, "failed"), "{:#?}", report.lines);
        assert!(message.starts_with(&format!("{others} cannot be listened on (Address already in use")), "{message}");
        assert!(message.ends_with("set another address by --admin-listen, or off"), "{message}");
    }
}
