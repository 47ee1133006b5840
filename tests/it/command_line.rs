//! The commands, as somebody runs them who has just got the program.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};

use serde_json::json;

use crate::support::{Setup, Workplace, event, tests};

tests! {
    Once:
        the_commands_make_a_service_from_nothing,
        keys_are_made_once_and_for_their_owners_eyes_alone,
        a_public_address_needs_keys,
        keys_can_be_set_in_the_environment,
        malformed_keys_are_refused_without_being_shown,
        the_demo_is_served_on_loopback_alone,
        a_name_is_taken_once,
        a_user_needs_a_role_an_organisation_and_a_password,
        migrating_twice_does_no_harm,
        a_database_that_cannot_be_opened_is_named_without_its_password,
        an_address_in_use_is_named,
        every_setting_is_documented_with_its_variable,
        settings_come_from_the_environment;
}

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const OTHER_KEY: &str = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const BULK: &str = "customer_events/bulk/referrals/create";

async fn the_commands_make_a_service_from_nothing(_: Setup) {
    let workplace = Workplace::new();
    let added = workplace.run_well(&["organisation", "add", "acme"], "");
    assert_eq!(added.stdout, "added the organisation acme\n");
    let user = ["user", "add", "carla", "--organisation", "acme", "--role", "caller"];
    // The first line is the password, blanks and all, without its end.
    let added = workplace.run_well(&user, " seven green kettles \r\nmore\n");
    assert_eq!(added.stdout, "added the user carla of acme\n");
    for (kind, rows) in [
        ("units", "name,alternative_code\nAdmin Unit,U1\n"),
        ("accounts_receivable", "number\nACR01\nACR02\n"),
        ("rewards_participants", "number,accounts_receivable_number\nRP01,ACR01\nRP02,ACR02\n"),
    ] {
        fs::write(workplace.path("rows.csv"), rows).expect("a file");
        let imported = workplace.run_well(&["import", "--organisation", "acme", kind, "rows.csv"], "");
        assert!(imported.stdout.starts_with("inserted "), "{imported:?}");
    }
    let server = workplace.serve(&[]);
    let token = server.login(" seven green kettles ").await;
    let request = json!({"token": token, "referral_customer_events_set": [event("1", "01", "02")]});
    server.post(BULK, &request).await.assert_outcome(&["1"], &[]);
    let wrong = json!({"organisation": "acme", "username": "carla", "password": "seven green kettles"});
    server.post("authentication/token", &wrong).await.assert_refused("InvalidCredentials");
}

async fn keys_are_made_once_and_for_their_owners_eyes_alone(_: Setup) {
    let workplace = Workplace::new();
    workplace.add_caller("seven green kettles");
    let file = workplace.path("referral-events.db.keys");
    let mut server = workplace.serve(&[]);
    let keys = fs::read_to_string(&file).expect("a key file");
    let mode = fs::metadata(&file).expect("a key file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let lines: Vec<(&str, &str)> = keys.lines().map(|line| line.split_once('=').expect("a setting")).collect();
    let [("REFERRAL_EVENTS_TOKEN_KEY", token_key), ("REFERRAL_EVENTS_HASH_KEY", hash_key)] = lines[..] else {
        panic!("{:?}", lines.iter().map(|(name, _)| name).collect::<Vec<_>>());
    };
    for key in [token_key, hash_key] {
        assert!(key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
    assert_ne!(token_key, hash_key);
    let token = server.login("seven green kettles").await;
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));

    // The next server goes on with them: what was signed by the first is valid.
    let server = workplace.serve(&[]);
    assert_eq!(fs::read_to_string(&file).expect("a key file"), keys);
    let request = json!({"token": token, "referral_customer_events_set": [event("1", "01", "02")]});
    server.post(BULK, &request).await.assert_outcome(&[], &[("1", "UnitNotFound")]);
    drop(server);

    // A file that is damaged is not made anew, for that would end all tokens and orphan all codes.
    fs::write(&file, "REFERRAL_EVENTS_TOKEN_KEY=0011\n").expect("a file");
    let ended = workplace.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stderr, "error: REFERRAL_EVENTS_TOKEN_KEY in referral-events.db.keys must be 64 hex digits\n");
}

async fn a_public_address_needs_keys(_: Setup) {
    let mut workplace = Workplace::new();
    let message = "error: REFERRAL_EVENTS_TOKEN_KEY and REFERRAL_EVENTS_HASH_KEY must be set, each to 64 hex digits: \
                   keys are made only for a SQLite database that is served on a loopback address\n";
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let ended = workplace.run(&["serve", "--plaintext", "--listen", listen]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), message), "{listen}");
        // One of them does not do.
        let ended = workplace.run(&["serve", "--plaintext", "--listen", listen, "--token-key", KEY]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), message), "{listen}");
    }
    // Keys that lie there from a time on loopback don't count either.
    workplace.add_caller("seven green kettles");
    drop(workplace.serve(&[]));
    let kept = fs::read_to_string(workplace.path("referral-events.db.keys")).expect("a key file");
    let ended = workplace.run(&["serve", "--plaintext", "--listen", "0.0.0.0:0"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), message));

    // The key that codes are hashed with must be the one from that time.
    let hash_key = kept.lines().find_map(|line| line.strip_prefix("REFERRAL_EVENTS_HASH_KEY=")).expect("a key");
    workplace.set("REFERRAL_EVENTS_TOKEN_KEY", KEY);
    workplace.set("REFERRAL_EVENTS_HASH_KEY", hash_key);
    let mut server = workplace.serve_on("0.0.0.0:0", &["--plaintext"]);
    server.address.set_ip([127, 0, 0, 1].into());
    server.login("seven green kettles").await;
}

async fn keys_can_be_set_in_the_environment(_: Setup) {
    let mut workplace = Workplace::new();
    workplace.add_caller("seven green kettles");
    workplace.set("REFERRAL_EVENTS_TOKEN_KEY", KEY);
    workplace.set("REFERRAL_EVENTS_HASH_KEY", OTHER_KEY);
    let first = workplace.serve(&[]);
    let token = first.login("seven green kettles").await;
    assert!(!workplace.path("referral-events.db.keys").exists());
    let request = json!({"token": token, "referral_customer_events_set": [event("1", "01", "02")]});
    first.post(BULK, &request).await.assert_outcome(&[], &[("1", "UnitNotFound")]);

    // Two servers of one key know each other's tokens; a server of another key does not. A flag comes first.
    let second = workplace.serve(&[]);
    second.post(BULK, &request).await.assert_outcome(&[], &[("1", "UnitNotFound")]);
    let other = workplace.serve(&["--token-key", &OTHER_KEY.replace("ff", "ee")]);
    other.post(BULK, &request).await.assert_refused("InvalidToken");
}

async fn malformed_keys_are_refused_without_being_shown(_: Setup) {
    for key in ["", "nonsense", &KEY[1..], &format!("{KEY}00"), &KEY.replace('0', "g")] {
        for name in ["REFERRAL_EVENTS_TOKEN_KEY", "REFERRAL_EVENTS_HASH_KEY"] {
            let mut workplace = Workplace::new();
            workplace.set(name, key);
            let ended = workplace.run(&["serve", "--listen", "127.0.0.1:0"]);
            let message = format!("error: {name} must be 64 hex digits\n");
            assert_eq!((ended.code, ended.stderr, ended.stdout), (Some(1), message, String::new()));
            assert!(!workplace.path("referral-events.db.keys").exists());
        }
    }
}

async fn the_demo_is_served_on_loopback_alone(_: Setup) {
    let mut workplace = Workplace::new();
    // Not even with keys.
    workplace.set("REFERRAL_EVENTS_TOKEN_KEY", KEY);
    workplace.set("REFERRAL_EVENTS_HASH_KEY", OTHER_KEY);
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let ended = workplace.run(&["serve", "--demo", "--listen", listen]);
        let message = "error: --demo has a password that everybody knows; it serves on loopback only\n";
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), message), "{listen}");
    }
    drop(workplace.serve_on("[::1]:0", &["--demo"]));
}

async fn a_name_is_taken_once(_: Setup) {
    let workplace = Workplace::new();
    workplace.add_caller("seven green kettles");
    let ended = workplace.run(&["organisation", "add", "acme"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.ends_with("error: there is an organisation acme already\n"), "{ended:?}");
    let user = ["user", "add", "carla", "--organisation", "acme", "--role", "reader"];
    let ended = workplace.run_with_input(&user, "other purple ladles\n");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.ends_with("error: there is a user carla already\n"), "{ended:?}");
    // The first one is as she was.
    workplace.serve(&[]).login("seven green kettles").await;
    // Another organisation has names of its own.
    workplace.run_well(&["organisation", "add", "other"], "");
    workplace
        .run_well(&["user", "add", "carla", "--organisation", "other", "--role", "reader"], "seven green kettles\n");
}

async fn a_user_needs_a_role_an_organisation_and_a_password(_: Setup) {
    let workplace = Workplace::new();
    workplace.run_well(&["organisation", "add", "acme"], "");
    let add = |more: &[&str], input: &str| {
        let arguments = [&["user", "add", "carla"], more].concat();
        workplace.run_with_input(&arguments, input)
    };
    let cases = [
        (vec!["--organisation", "acme", "--role", "king"], "seven green kettles\n", 2, "invalid value 'king'"),
        (vec!["--organisation", "acme"], "seven green kettles\n", 2, "--role"),
        (vec!["--role", "caller"], "seven green kettles\n", 2, "--organisation"),
        (
            vec!["--organisation", "none", "--role", "caller"],
            "seven green kettles\n",
            1,
            "error: there is no organisation \"none\"; `organisation list` has those that there are, `organisation add` makes \
             one\n",
        ),
        (
            vec!["--organisation", "acme", "--role", "caller", "--unit", "U9"],
            "seven green kettles\n",
            1,
            "error: there is no unit with the id U9\n",
        ),
        (
            vec!["--organisation", "acme", "--role", "caller"],
            "",
            1,
            "error: the password is empty; give it on standard input\n",
        ),
        (
            vec!["--organisation", "acme", "--role", "caller"],
            "\n",
            1,
            "error: the password is empty; give it on standard input\n",
        ),
    ];
    for (arguments, input, code, message) in cases {
        let ended = add(&arguments, input);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(message), "{arguments:?}: {ended:?}");
        assert_eq!(ended.stdout, "");
    }
    // The roles are named where one is wrong.
    let ended = add(&["--organisation", "acme", "--role", "king"], "");
    assert!(ended.stderr.contains("reader, caller, administrator"), "{ended:?}");
    // None of these added her.
    assert_eq!(add(&["--organisation", "acme", "--role", "caller"], "seven green kettles\n").code, Some(0));

    for name in ["", "   ", "line\nbreak", &"n".repeat(256)] {
        let ended = workplace.run(&["organisation", "add", name]);
        let message = "error: a name has 1 to 255 characters, none of them a control character\n";
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), message), "{name:?}");
    }
}

async fn migrating_twice_does_no_harm(_: Setup) {
    let workplace = Workplace::new();
    let first = workplace.run_well(&["migrate"], "").stdout;
    let last = first.lines().last().expect("a line");
    assert_eq!(last, format!("applied {} steps; the schema is up to date", first.lines().count() - 1));
    workplace.add_caller("seven green kettles");
    let second = workplace.run_well(&["migrate"], "").stdout;
    assert_eq!(second, "applied 0 steps; the schema is up to date\n");
    workplace.serve(&[]).login("seven green kettles").await;
}

async fn a_database_that_cannot_be_opened_is_named_without_its_password(_: Setup) {
    let workplace = Workplace::new();
    for command in
        [&["migrate"][..], &["serve", "--listen", "127.0.0.1:0", "--token-key", KEY, "--hash-key", OTHER_KEY]]
    {
        for url in
            ["postgres://user:opensesame@127.0.0.1:1/events", "sqlite:nowhere/opensesame.db", "mysql://opensesame"]
        {
            let settings = ["--database-url", url, "--database-acquire-timeout", "1", "--log", "trace"];
            let arguments = [command, &settings].concat();
            let ended = workplace.run(&arguments);
            assert_eq!(ended.code, Some(1), "{url}: {ended:?}");
            let last = ended.stderr.lines().last().expect("a message");
            assert!(last.starts_with("error: "), "{url}: {ended:?}");
            assert!(last.to_lowercase().contains("database"), "{url}: {ended:?}");
            if url.starts_with("postgres") {
                assert!(!ended.stderr.contains("opensesame"), "{ended:?}");
            }
        }
    }
}

async fn an_address_in_use_is_named(_: Setup) {
    let workplace = Workplace::new();
    let server = workplace.serve(&[]);
    let address = server.address.to_string();
    let ended = workplace.run(&["serve", "--listen", &address]);
    assert_eq!(ended.code, Some(1));
    let message = format!("error: {address} cannot be listened on: ");
    assert!(ended.stderr.lines().last().is_some_and(|line| line.starts_with(&message)), "{ended:?}");
}

async fn every_setting_is_documented_with_its_variable(_: Setup) {
    let workplace = Workplace::new();
    let help = workplace.run_well(&["serve", "--help"], "").stdout;
    let settings = [
        ("--listen", "REFERRAL_EVENTS_LISTEN"),
        ("--tls-certificate", "REFERRAL_EVENTS_TLS_CERTIFICATE"),
        ("--tls-key", "REFERRAL_EVENTS_TLS_KEY"),
        ("--tls-client-authority", "REFERRAL_EVENTS_TLS_CLIENT_AUTHORITY"),
        ("--tls-client-optional", "REFERRAL_EVENTS_TLS_CLIENT_OPTIONAL"),
        ("--plaintext", "REFERRAL_EVENTS_PLAINTEXT"),
        ("--otlp-endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("--allow-circles", "REFERRAL_EVENTS_ALLOW_CIRCLES"),
        ("--release", "REFERRAL_EVENTS_RELEASE"),
        ("--idempotency-retention", "REFERRAL_EVENTS_IDEMPOTENCY_RETENTION"),
        ("--unprocessed-retention", "REFERRAL_EVENTS_UNPROCESSED_RETENTION"),
        ("--always-ok", "REFERRAL_EVENTS_ALWAYS_OK"),
        ("--cors-origin", "REFERRAL_EVENTS_CORS_ORIGIN"),
        ("--time-limit", "REFERRAL_EVENTS_TIME_LIMIT"),
        ("--maximum-calls", "REFERRAL_EVENTS_MAXIMUM_CALLS"),
        ("--maximum-wait", "REFERRAL_EVENTS_MAXIMUM_WAIT"),
        ("--memory-budget", "REFERRAL_EVENTS_MEMORY_BUDGET"),
        ("--maximum-connections", "REFERRAL_EVENTS_MAXIMUM_CONNECTIONS"),
        ("--stall-timeout", "REFERRAL_EVENTS_STALL_TIMEOUT"),
        ("--idle-timeout", "REFERRAL_EVENTS_IDLE_TIMEOUT"),
        ("--connection-age", "REFERRAL_EVENTS_CONNECTION_AGE"),
        ("--drain-pause", "REFERRAL_EVENTS_DRAIN_PAUSE"),
        ("--drain-limit", "REFERRAL_EVENTS_DRAIN_LIMIT"),
        ("--maximum-group", "REFERRAL_EVENTS_MAXIMUM_GROUP"),
        ("--wrong-passwords", "REFERRAL_EVENTS_WRONG_PASSWORDS"),
        ("--wrong-codes", "REFERRAL_EVENTS_WRONG_CODES"),
        ("--longest-wait", "REFERRAL_EVENTS_LONGEST_WAIT"),
        ("--database-url", "DATABASE_URL"),
        ("--database-connections", "REFERRAL_EVENTS_DATABASE_CONNECTIONS"),
        ("--database-acquire-timeout", "REFERRAL_EVENTS_DATABASE_ACQUIRE_TIMEOUT"),
        ("--database-idle-timeout", "REFERRAL_EVENTS_DATABASE_IDLE_TIMEOUT"),
        ("--token-key", "REFERRAL_EVENTS_TOKEN_KEY"),
        ("--token-key-file", "REFERRAL_EVENTS_TOKEN_KEY_FILE"),
        ("--hash-key", "REFERRAL_EVENTS_HASH_KEY"),
        ("--hash-key-file", "REFERRAL_EVENTS_HASH_KEY_FILE"),
        ("--log", "REFERRAL_EVENTS_LOG"),
        ("--log-format", "REFERRAL_EVENTS_LOG_FORMAT"),
        ("--admin-listen", "REFERRAL_EVENTS_ADMIN_LISTEN"),
        ("--config", "REFERRAL_EVENTS_CONFIG"),
    ];
    // What is an option of the help and not here is no setting, or has been forgotten here.
    let mut documented = BTreeMap::new();
    let mut flag = "";
    for line in help.lines() {
        if line.trim_start().starts_with('-') {
            flag = line.split_whitespace().find(|word| word.starts_with("--")).expect("a flag");
            documented.insert(flag, None);
        }
        if let Some((_, after)) = line.split_once("[env: ") {
            documented.insert(flag, Some(after.split(['=', ']']).next().expect("a name")));
        }
    }
    let mut expected: BTreeMap<&str, Option<&str>> = settings.map(|(flag, variable)| (flag, Some(variable))).into();
    expected.extend([("--demo", None), ("--help", None)]);
    assert_eq!(documented, expected, "{help}");
    let commands = workplace.run_well(&["--help"], "").stdout;
    for command in [
        "serve",
        "migrate",
        "backup",
        "import",
        "load",
        "events",
        "organisation",
        "user",
        "key",
        "token",
        "audit",
        "doctor",
        "health",
        "config",
        "completions",
        "man",
    ] {
        assert!(commands.lines().any(|line| line.trim_start().starts_with(&format!("{command} "))), "{commands}");
    }
}

async fn settings_come_from_the_environment(_: Setup) {
    let mut workplace = Workplace::new();
    let url = format!("sqlite:{}", workplace.path("elsewhere.db").display());
    workplace.set("DATABASE_URL", &url);
    workplace.set("REFERRAL_EVENTS_ALWAYS_OK", "true");
    workplace.set("REFERRAL_EVENTS_LOG", "off");
    // Shown neither as values in the help, for they may hold secrets.
    workplace.set("REFERRAL_EVENTS_TOKEN_KEY", KEY);
    workplace.set("REFERRAL_EVENTS_HASH_KEY", OTHER_KEY);
    workplace.add_caller("seven green kettles");
    let server = workplace.serve(&[]);
    assert!(workplace.path("elsewhere.db").exists() && !workplace.path("referral-events.db").exists());
    let response = reqwest::Client::new().post(format!("http://{}/nowhere", server.address)).send().await;
    assert_eq!(response.expect("an answer").status(), 200);
    assert_eq!(server.output().lines().count(), 1, "{}", server.output());
    let help = workplace.run_well(&["serve", "--help"], "").stdout;
    for hidden in [KEY, OTHER_KEY, &url] {
        assert!(!help.contains(hidden), "{help}");
    }
    workplace.set("REFERRAL_EVENTS_LOG", "a=b=c");
    let ended = workplace.run(&["migrate"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with("error: the log setting cannot be read: "), "{ended:?}");
}
