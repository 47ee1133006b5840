//! What the program says of itself.

use std::{fs, path::Path};

use crate::support::{Setup, Workplace, tests};

tests! {
    Once:
        the_short_help_is_short_and_the_long_one_has_every_setting_in_its_group,
        the_examples_of_the_help_work,
        the_version_has_the_commit_that_was_built;
}

/// In the order of somebody who begins, who can try the example of each; `serve` does not end.
const TRIED: [&str; 35] = [
    "organisation",
    "organisation add",
    "organisation list",
    "user",
    "user add",
    "user list",
    "user password",
    "user role",
    "user disable",
    "user enable",
    "token",
    "token release",
    "audit",
    "audit list",
    "organisation disable",
    "organisation enable",
    "import",
    "load",
    "key",
    "key new",
    "key check",
    "key rotate",
    "migrate",
    "backup",
    "events",
    "events read",
    "events archive",
    "doctor",
    "config",
    "config show",
    "describe",
    "completions",
    "man",
    "serve",
    "",
];
/// Health asks a server that is there, and there is nothing yet to show.
const OTHERS: [&str; 5] = ["health", "show", "show request", "show event", "show participant"];
/// Those that have the settings of serve.
const OF_SERVE: [&str; 3] = ["serve", "doctor", "config show"];

fn help(command: &str, flag: &str) -> String {
    let arguments: Vec<&str> = command.split_whitespace().chain([flag]).collect();
    Workplace::new().run_well(&arguments, "").stdout
}

/// The settings under a heading of the help.
fn settings<'a>(help: &'a str, heading: &str) -> Vec<&'a str> {
    let lines = help.lines().skip_while(|line| *line != format!("{heading}:")).skip(1);
    let group = lines.take_while(|line| line.is_empty() || line.starts_with(' '));
    group
        .filter_map(|line| line.trim_start().strip_prefix("--"))
        .map(|rest| rest.split(' ').next().expect("a name"))
        .collect()
}

async fn the_short_help_is_short_and_the_long_one_has_every_setting_in_its_group(_: Setup) {
    for command in TRIED.into_iter().chain(OTHERS) {
        let (short, long) = (help(command, "-h"), help(command, "--help"));
        // That of the program lists all commands.
        assert!(short.lines().count() <= if command.is_empty() { 40 } else { 30 }, "{short}");
        assert!(short.lines().count() < long.lines().count());
        let of_the_database =
            ["database-url", "database-connections", "database-acquire-timeout", "database-idle-timeout"];
        assert_eq!(settings(&long, "Settings of the database"), of_the_database, "{long}");
        assert_eq!(
            settings(&long, "Settings of all commands"),
            ["token-key", "token-key-file", "hash-key", "hash-key-file", "log", "log-format", "config"],
            "{long}"
        );
        assert_eq!(settings(&short, "Settings of the database"), ["database-url"]);
        assert_eq!(settings(&short, "Settings of all commands"), ["log", "config"]);
        let own = settings(&long, "Settings of serve");
        assert_eq!(own.is_empty(), !OF_SERVE.contains(&command), "{long}");
        let shown = settings(&short, "Settings of serve");
        assert!(shown.iter().all(|setting| own.contains(setting)));
        if command == "serve" {
            assert_eq!(shown, ["listen", "demo", "allow-circles", "release", "always-ok"]);
        }
    }
}

async fn the_examples_of_the_help_work(_: Setup) {
    let workplace = Workplace::new();
    fs::write(workplace.path("units.csv"), "name,alternative_code\nMain Street,MAIN\n").expect("a file");
    // An archive without events, packed by zstd.
    let nothing = b"\x28\xb5\x2f\xfd\x24\x00\x01\x00\x00\x99\xe9\xd8\x51";
    fs::write(workplace.path("2019.ndjson.zst"), nothing).expect("a file");
    for command in TRIED {
        for flag in ["-h", "--help"] {
            let help = help(command, flag);
            let (_, example) = help.split_once("Example:\n").unwrap_or_else(|| panic!("{command} has no example"));
            let example = example.trim();
            assert!(example.contains(&format!("referral-events {command}")), "{example}");
            // Those of the groups are those of their commands.
            if flag == "-h" && !["organisation", "user", "token", "audit", "key", "events"].contains(&command) {
                match example.strip_prefix("referral-events serve") {
                    Some(arguments) => {
                        let arguments = arguments.replace("127.0.0.1:50051", "127.0.0.1:0");
                        drop(workplace.start_with(&arguments));
                    }
                    None => _ = workplace.run_script(example),
                }
            }
        }
    }
}

async fn the_version_has_the_commit_that_was_built(_: Setup) {
    let version = Workplace::new().run_well(&["--version"], "").stdout;
    let (name, commit) = match version.trim_end().strip_suffix(')') {
        Some(version) => version.split_once(" (").expect("a commit"),
        None => (version.trim_end(), ""),
    };
    assert_eq!(name, format!("referral-events {}", env!("CARGO_PKG_VERSION")));
    let is_checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join(".git").exists();
    assert_eq!(!commit.is_empty(), is_checkout, "{version}");
    assert!(
        commit.is_empty() || commit.len() == 12 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{version}"
    );
}
