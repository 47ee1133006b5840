//! The configuration file: every setting under the name of its flag; flags and the environment come before it.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::{
    setting_values::ranges,
    support::{
        Setup, Workplace,
        examples::{blocks, document},
        tests,
    },
};

tests! {
    Once:
        a_flag_comes_before_the_environment_and_that_before_the_file_and_that_before_the_default,
        what_is_shown_of_all_settings_is_a_file_that_says_the_same,
        a_server_does_what_its_file_says,
        a_file_is_read_by_all_commands,
        a_setting_that_there_is_not_is_refused_with_the_one_that_may_be_meant,
        a_value_is_refused_with_the_sentence_of_its_flag,
        each_number_has_the_range_of_its_flag,
        a_file_that_cannot_be_read_is_named_and_none_of_it_shown,
        secrets_stand_in_a_file_only_where_others_cannot_read_it,
        no_secret_is_shown,
        the_file_of_the_readme_can_be_used;
}

const NAME: &str = "settings.toml";
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Writes the file, which others may read where `mode` lets them.
fn write(workplace: &Workplace, mode: u32, text: &str) {
    fs::write(workplace.path(NAME), text).expect("a file");
    fs::set_permissions(workplace.path(NAME), fs::Permissions::from_mode(mode)).expect("a mode");
}

fn show(workplace: &Workplace, arguments: &[&str]) -> String {
    workplace.run_well(&[&["config", "show"], arguments].concat(), "").stdout
}

/// The value of a setting and where it comes from, of what is shown.
fn shown<'a>(text: &'a str, name: &str) -> (&'a str, &'a str) {
    let line =
        text.lines().find_map(|line| line.strip_prefix(&format!("{name} = "))).unwrap_or_else(|| panic!("{text}"));
    let (value, source) = line.split_once(" # ").expect("a source");
    (value.trim_end(), source)
}

/// What is said to a file that is refused.
#[track_caller]
fn refusal(workplace: &Workplace, text: &str) -> String {
    write(workplace, 0o640, text);
    let ended = workplace.run(&["migrate", "--config", NAME]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{text}: {ended:?}");
    let begin = format!("error: the configuration file {NAME}: ");
    ended.stderr.strip_prefix(&begin).unwrap_or_else(|| panic!("{ended:?}")).trim_end().to_owned()
}

async fn a_flag_comes_before_the_environment_and_that_before_the_file_and_that_before_the_default(_: Setup) {
    let mut workplace = Workplace::new();
    let file = ["--config", NAME];
    let text = "time-limit = 5\nalways-ok = true\ncors-origin = [\"https://a.example\", \"https://b.example\"]\n";
    write(&workplace, 0o644, text);
    let without = show(&workplace, &[]);
    assert_eq!(shown(&without, "time-limit"), ("30", "default"));
    assert_eq!(shown(&without, "always-ok"), ("false", "default"));
    assert_eq!(shown(&without, "cors-origin"), ("[]", "default"));
    assert!(without.contains("# maximum-connections is not set\n"), "{without}");
    let with = show(&workplace, &file);
    assert_eq!(shown(&with, "time-limit"), ("5", NAME));
    assert_eq!(shown(&with, "always-ok"), ("true", NAME));
    assert_eq!(shown(&with, "cors-origin"), (r#"["https://a.example", "https://b.example"]"#, NAME));
    assert_eq!(shown(&with, "idle-timeout"), ("300", "default"));
    workplace.set("REFERRAL_EVENTS_TIME_LIMIT", "6");
    workplace.set("REFERRAL_EVENTS_ALWAYS_OK", "no");
    workplace.set("REFERRAL_EVENTS_CORS_ORIGIN", "https://c.example,https://d.example");
    let with = show(&workplace, &file);
    assert_eq!(shown(&with, "time-limit"), ("6", "REFERRAL_EVENTS_TIME_LIMIT"));
    assert_eq!(shown(&with, "always-ok"), ("false", "REFERRAL_EVENTS_ALWAYS_OK"));
    let origins = r#"["https://c.example", "https://d.example"]"#;
    assert_eq!(shown(&with, "cors-origin"), (origins, "REFERRAL_EVENTS_CORS_ORIGIN"));
    let flags = ["--time-limit", "7", "--always-ok", "--cors-origin", "https://e.example"];
    let with = show(&workplace, &[&file[..], &flags].concat());
    assert_eq!(shown(&with, "time-limit"), ("7", "command line"));
    assert_eq!(shown(&with, "always-ok"), ("true", "command line"));
    assert_eq!(shown(&with, "cors-origin"), (r#"["https://e.example"]"#, "command line"));
    // The variable names a file too, and the flag another one.
    let mut workplace = Workplace::new();
    write(&workplace, 0o644, text);
    fs::write(workplace.path("other.toml"), "time-limit = 8\n").expect("a file");
    workplace.set("REFERRAL_EVENTS_CONFIG", NAME);
    assert_eq!(shown(&show(&workplace, &[]), "time-limit"), ("5", NAME));
    assert_eq!(shown(&show(&workplace, &["--config", "other.toml"]), "time-limit"), ("8", "other.toml"));
}

async fn what_is_shown_of_all_settings_is_a_file_that_says_the_same(_: Setup) {
    let mut workplace = Workplace::new();
    workplace.unset("REFERRAL_EVENTS_ADMIN_LISTEN");
    let flags: Vec<String> = ranges().iter().map(|(flag, from, _)| format!("{flag}={from}")).collect();
    let mut arguments: Vec<&str> = flags.iter().map(String::as_str).collect();
    arguments.extend(["--allow-circles", "--release", "R12.0", "--listen", ":1234", "--log", "info,hyper=off"]);
    let before = show(&workplace, &arguments);
    write(&workplace, 0o644, &before);
    let after = show(&workplace, &["--config", NAME]);
    let settings = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split(" # ").next().expect("a setting").trim_end().to_owned()).collect()
    };
    assert_eq!(settings(&before), settings(&after));
    assert!(after.lines().all(|line| line.ends_with(&format!(" # {NAME}")) || line.ends_with("is not set")), "{after}");
    // Each setting of serve is there, by the name of its flag.
    let help = workplace.run_well(&["serve", "--help"], "").stdout;
    let flags = help.lines().filter_map(|line| line.trim_start().strip_prefix("--")?.split([' ', '.']).next());
    for flag in flags.filter(|flag| !["demo", "config"].contains(flag)) {
        assert!(
            after.contains(&format!("{flag} = ")) || after.contains(&format!("# {flag} is not set")),
            "{flag}: {after}"
        );
    }
}

async fn a_server_does_what_its_file_says(_: Setup) {
    let mut workplace = Workplace::new();
    write(&workplace, 0o644, "always-ok = true\ndatabase-url = \"sqlite:of the file.db\"\nlog = \"off\"\n");
    workplace.set("REFERRAL_EVENTS_CONFIG", NAME);
    workplace.add_caller("seven green kettles");
    let server = workplace.serve(&[]);
    server.login("seven green kettles").await;
    assert!(workplace.path("of the file.db").exists() && !workplace.path("referral-events.db").exists());
    let answer = reqwest::Client::new().post(format!("http://{}/nowhere", server.address)).send().await;
    assert_eq!(answer.expect("an answer").status(), 200);
    assert_eq!(server.output().lines().count(), 1, "{}", server.output());
    // The demo has a database of its own, whatever the file says.
    let demo = workplace.serve(&["--demo"]);
    demo.login_as("demo", "demo", "demo").await;
}

async fn a_file_is_read_by_all_commands(_: Setup) {
    let workplace = Workplace::new();
    // What is a setting of serve alone does no harm to the others.
    write(&workplace, 0o644, "database-url = \"sqlite:other.db\"\nlisten = \"127.0.0.1:1\"\nallow-circles = true\n");
    workplace.run_well(&["migrate", "--config", NAME], "");
    workplace.run_well(&["organisation", "add", "acme", "--config", NAME], "");
    workplace.run_well(
        &["--config", NAME, "import", "--organisation", "acme", "units", "-"],
        "name,alternative_code\nMain Street,MAIN\n",
    );
    assert!(workplace.path("other.db").exists() && !workplace.path("referral-events.db").exists());
}

async fn a_setting_that_there_is_not_is_refused_with_the_one_that_may_be_meant(_: Setup) {
    let workplace = Workplace::new();
    for (text, expected) in [
        ("time-limits = 5", "there is no setting \"time-limits\"; perhaps time-limit is meant"),
        ("time_limit = 5", "there is no setting \"time_limit\"; perhaps time-limit is meant"),
        ("DATABASE_URL = \"sqlite:x.db\"", "there is no setting \"DATABASE_URL\"; perhaps database-url is meant"),
        ("[serve]\nlisten = \"x\"", "there is no setting \"serve\""),
        // What is no setting cannot be set, nor can the file itself.
        ("demo = true", "there is no setting \"demo\""),
        ("config = \"x\"", "there is no setting \"config\""),
        ("organisation = \"acme\"", "there is no setting \"organisation\""),
    ] {
        let said = refusal(&workplace, text);
        assert_eq!(said.split("; perhaps").next(), expected.split("; perhaps").next(), "{text}");
        assert!(said.ends_with(expected) || !expected.contains("perhaps"), "{said}");
    }
}

async fn a_value_is_refused_with_the_sentence_of_its_flag(_: Setup) {
    let workplace = Workplace::new();
    for (text, expected) in [
        ("time-limit = \"soon\"", "time-limit: it takes a whole number from 1 to 86400"),
        ("time-limit = 1.5", "time-limit: it takes a whole number from 1 to 86400"),
        ("time-limit = true", "time-limit: it takes a whole number from 1 to 86400"),
        ("allow-circles = \"yes\"", "allow-circles: it takes true or false"),
        ("allow-circles = 1", "allow-circles: it takes true or false"),
        (
            "listen = 50051",
            "listen: it takes HOST:PORT, as in 127.0.0.1:50051, localhost:50051, [::1]:50051, or :50051 for all \
             addresses of this machine",
        ),
        ("release = \"R9.0\"", "release: a release is one of R10.0 to R18.0, such as R17.0"),
        (
            "cors-origin = [\"https://a.example\", \"a.example\"]",
            "cors-origin: an origin is https://shop.example.com, with its port where it has one, and no path",
        ),
        ("log = { level = \"info\" }", "log: it takes a text or a number, and this is of the kind table"),
        ("listen = [\"127.0.0.1:1\"]", "listen: it takes a text or a number, and this is of the kind array"),
        ("log = 2026-11-27", "log: it takes a text or a number, and this is of the kind datetime"),
    ] {
        assert_eq!(refusal(&workplace, text), expected, "{text}");
    }
}

async fn each_number_has_the_range_of_its_flag(_: Setup) {
    let workplace = Workplace::new();
    let ranges = ranges();
    assert!(ranges.len() > 10);
    for (flag, from, to) in ranges {
        let name = flag.trim_start_matches("--");
        for beyond in [from.checked_sub(1), to.checked_add(1)].into_iter().flatten() {
            let said = refusal(&workplace, &format!("{name} = {beyond}"));
            assert_eq!(said, format!("{name}: it takes a whole number from {from} to {to}"));
        }
        write(&workplace, 0o644, &format!("{name} = {to}"));
        assert_eq!(shown(&show(&workplace, &["--config", NAME]), name), (to.to_string().as_str(), NAME));
    }
}

async fn a_file_that_cannot_be_read_is_named_and_none_of_it_shown(_: Setup) {
    let workplace = Workplace::new();
    let ended = workplace.run(&["migrate", "--config", "nowhere.toml"]);
    let expected = "error: the configuration file nowhere.toml: No such file or directory (os error 2); name another with \
                    --config\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(2), expected));
    let said = refusal(&workplace, "time-limit = 5\ntoken-key = opensesame\n");
    assert!(said.starts_with("line 2: "), "{said}");
    assert!(!said.contains("opensesame"), "{said}");
    let said = refusal(&workplace, "time-limit = 5\ntime-limit = 6\n");
    assert!(said.starts_with("line 2: duplicate key"), "{said}");
}

async fn secrets_stand_in_a_file_only_where_others_cannot_read_it(_: Setup) {
    let workplace = Workplace::new();
    for (name, value) in [
        ("token-key", KEY),
        ("hash-key", KEY),
        ("database-url", "postgres://ann:opensesame@127.0.0.1:1/events"),
        ("database-url", "postgres://127.0.0.1:1/events?user=ann&password=opensesame"),
    ] {
        for mode in [0o644, 0o604, 0o642] {
            write(&workplace, mode, &format!("{name} = \"{value}\"\n"));
            let ended = workplace.run(&["config", "show", "--config", NAME]);
            let expected = format!(
                "error: the configuration file {NAME}: {name} is a secret, and others may read the file: run chmod 640 \
                 '{NAME}'\n"
            );
            assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr), (Some(2), "", expected), "{mode:o}");
        }
        workplace.run_script(&format!("chmod 640 '{NAME}'"));
        assert_eq!(shown(&show(&workplace, &["--config", NAME]), name).1, NAME);
    }
    // A URL without a password is none.
    for url in ["sqlite:events.db", "postgres://ann@127.0.0.1:1/events?sslmode=require"] {
        write(&workplace, 0o644, &format!("database-url = \"{url}\"\n"));
        let quoted = format!("\"{url}\"");
        assert_eq!(shown(&show(&workplace, &["--config", NAME]), "database-url"), (quoted.as_str(), NAME));
    }
}

async fn no_secret_is_shown(_: Setup) {
    let mut workplace = Workplace::new();
    write(&workplace, 0o600, &format!("token-key = \"{KEY}\"\n"));
    let of_the_file = show(&workplace, &["--config", NAME]);
    assert_eq!(shown(&of_the_file, "token-key"), ("\"(hidden)\"", NAME));
    workplace.set("REFERRAL_EVENTS_HASH_KEY", KEY);
    let of_the_environment = show(&workplace, &[]);
    assert_eq!(shown(&of_the_environment, "hash-key"), ("\"(hidden)\"", "REFERRAL_EVENTS_HASH_KEY"));
    for (url, expected) in [
        ("postgres://ann:opensesame@host/events", "postgres://ann:…@host/events"),
        ("postgres://ann:opense@same@host:5432/events", "postgres://ann:…@host:5432/events"),
        ("postgres://ann:open/opensesame?@host/events", "postgres://ann:…@host/events"),
        (
            "postgres://host/events?password=opensesame&sslmode=require&sslkey=-----BEGIN%20opensesame",
            "postgres://host/events?password=…&sslmode=require&sslkey=…",
        ),
        ("postgresql://:opensesame@host/events", "postgresql://:…@host/events"),
    ] {
        let text = show(&workplace, &["--database-url", url, "--token-key", KEY]);
        let quoted = format!("\"{expected}\"");
        assert_eq!(shown(&text, "database-url"), (quoted.as_str(), "command line"));
        assert_eq!(shown(&text, "token-key"), ("\"(hidden)\"", "command line"));
        for secret in [KEY, "opensesame"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    assert!(!of_the_file.contains(KEY) && !of_the_environment.contains(KEY));
}

async fn the_file_of_the_readme_can_be_used(_: Setup) {
    let workplace = Workplace::new();
    let blocks = blocks(&document("README.md"));
    let example = blocks.iter().find(|block| block.language == "toml").expect("an example");
    write(&workplace, 0o640, &example.text);
    let text = show(&workplace, &["--config", NAME]);
    let lines: Vec<&str> = example.text.lines().collect();
    assert!(lines.len() >= 3);
    for line in lines {
        let (name, _) = line.split_once(" = ").expect("a setting");
        assert_eq!(shown(&text, name).1, NAME);
    }
}
