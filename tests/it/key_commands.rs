//! Making keys and looking at them, and where they may come from.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::{Ended, Setup, Workplace, tests};

tests! {
    NoCalls: what_is_said_of_keys_that_are_set;
    Once:
        a_key_is_made_for_its_owners_eyes_alone,
        the_keys_beside_sqlite_are_rotated,
        keys_are_read_from_files,
        a_file_that_others_may_read_is_refused,
        keys_that_cannot_be_meant_are_refused,
        a_key_on_the_command_line_is_warned_of,
        no_command_shows_a_key_that_is_in_use;
}

const PASSWORD: &str = "seven green kettles";
const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];
const FILE: &str = "referral-events.db.keys";

fn is_key(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn mode(workplace: &Workplace, file: &str) -> u32 {
    fs::metadata(workplace.path(file)).expect("a file").permissions().mode() & 0o777
}

fn write(workplace: &Workplace, file: &str, text: &str, mode: u32) {
    fs::write(workplace.path(file), text).expect("a file");
    fs::set_permissions(workplace.path(file), fs::Permissions::from_mode(mode)).expect("a mode");
}

#[track_caller]
fn assert_failed(ended: &Ended, message: &str) {
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), message), "{ended:?}");
}

async fn a_key_is_made_for_its_owners_eyes_alone(_: Setup) {
    let workplace = Workplace::new();
    let keys: Vec<String> = (0..2).map(|_| workplace.run_well(&["key", "new"], "").stdout).collect();
    assert!(keys.iter().all(|key| is_key(key.trim_end())));
    assert_ne!(keys[0], keys[1]);
    let made = workplace.run_well(&["key", "new", "token.key"], "").stdout;
    assert_eq!(made, "made token.key, which its owner alone may read\n");
    let key = fs::read_to_string(workplace.path("token.key")).expect("a file");
    assert!(is_key(key.trim_end()));
    assert_eq!(mode(&workplace, "token.key"), 0o600);
    assert_failed(&workplace.run(&["key", "new", "token.key"]), "error: token.key is there already\n");
    assert_eq!(fs::read_to_string(workplace.path("token.key")).expect("a file"), key);
    let ended = workplace.run(&["key", "new", "nowhere/token.key"]);
    assert!(ended.stderr.starts_with("error: nowhere/token.key cannot be made: "), "{ended:?}");
}

async fn the_keys_beside_sqlite_are_rotated(_: Setup) {
    let workplace = Workplace::new();
    let none = "error: no key is set, and there is no key file referral-events.db.keys: `serve` makes it\n";
    for command in [&["key", "check"][..], &["key", "rotate", "token"], &["key", "rotate", "hash"]] {
        assert_failed(&workplace.run(command), none);
    }
    workplace.add_caller(PASSWORD);
    for (kind, rows) in [
        ("accounts_receivable", "number\nB1\n"),
        ("rewards_participants", "number,accounts_receivable_number\nR1,B1\n"),
        ("access_tokens", "identifier,authentication_code,rewards_participant_number\nT1,code-1,R1\n"),
    ] {
        workplace.run_well(&["import", "--organisation", "acme", kind, "-"], rows);
    }
    let old = {
        let server = workplace.serve(&[]);
        server.login(PASSWORD).await
    };
    let accepts = async |token: &str| {
        let server = workplace.serve(&[]);
        let request = serde_json::json!({"token": token, "referral_customer_events_set": [{}]});
        server.post("customer_events/bulk/referrals/create", &request).await.code == "OK"
    };
    let rotate = |which: &str| workplace.run_well(&["key", "rotate", which], "").stdout;
    let check = || workplace.run_well(&["key", "check"], "").stdout;
    let beside = "from the key file referral-events.db.keys beside the database";
    assert_eq!(
        check(),
        format!(
            "token key 1 signs: {beside}\nhash key 1 hashes: {beside}\n1 codes are hashed with the hash key 1\nthe keys \
             fit the database\n"
        )
    );
    let said = rotate("token");
    let first = "the token key 2 is the first in referral-events.db.keys now; token key 1 is accepted too\n";
    assert!(said.starts_with(first), "{said}");
    assert_eq!(mode(&workplace, FILE), 0o600);
    assert!(accepts(&old).await);
    // Twice: the key that is known to others is gone, and its tokens have ended.
    let said = rotate("token");
    assert!(said.contains("the token key 3 is the first") && said.contains("the token key 1 is gone\n"), "{said}");
    assert!(!accepts(&old).await);

    assert!(rotate("hash").starts_with("the hash key 2 is the first"));
    assert!(check().contains(&format!("hash key 2 hashes, key 1 is accepted too: {beside}\n")));
    drop(workplace.serve(&[]));
    // A key that codes need does not go.
    let before = fs::read_to_string(workplace.path(FILE)).expect("a file");
    let sentence = "error: there are two hash keys, and 1 codes are hashed with the older one, 1, still: import these access \
                    tokens again, with their codes, before it goes\n";
    assert_failed(&workplace.run(&["key", "rotate", "hash"]), sentence);
    assert_eq!(fs::read_to_string(workplace.path(FILE)).expect("a file"), before);
    let rows = "identifier,authentication_code,rewards_participant_number\nT1,code-1,R1\n";
    workplace.run_well(&["import", "--organisation", "acme", "access_tokens", "-"], rows);
    let said = rotate("hash");
    assert!(said.contains("the hash key 3 is the first") && said.contains("the hash key 1 is gone\n"), "{said}");
    // A server that runs hashes with the key that would go next, and nothing else has it then.
    let before = fs::read_to_string(workplace.path(FILE)).expect("a file");
    let sentence =
        "error: the hash key 3 is not in use yet: start `serve` again for it to take effect, and rotate after that\n";
    let import = ["import", "--organisation", "acme", "accounts_receivable", "-"];
    // Nor does an import make it one that is in use.
    for dry_run in [&[][..], &["--dry-run"]] {
        let ended = workplace.run_with_input(&[&import, dry_run].concat(), "number\nB2\n");
        assert_eq!((ended.code, ended.stderr), (Some(1), sentence.replace("rotate after", "import after")));
        assert_failed(&workplace.run(&["key", "rotate", "hash"]), sentence);
    }
    assert_eq!(fs::read_to_string(workplace.path(FILE)).expect("a file"), before);
    drop(workplace.serve(&[]));
    assert!(check().contains("1 codes are hashed with the hash key 2\n"));
}

async fn what_is_said_of_keys_that_are_set(setup: Setup) {
    let mut workplace = Workplace::over(setup.engine.create_database());
    workplace.run_well(&["migrate"], "");
    let checked = workplace.run_well(&["key", "check"], "").stdout;
    let expected = "token key 1 signs: from REFERRAL_EVENTS_TOKEN_KEY\nhash key 1 hashes: from REFERRAL_EVENTS_HASH_KEY\n\
                    the hash key 1 is new to the database, which knows it once a server has started\nthe keys fit the \
                    database\n";
    assert_eq!(checked, expected);
    drop(workplace.serve(&[]));
    assert!(!workplace.run_well(&["key", "check"], "").stdout.contains("is new"));

    // It prints the new key and the steps, and none of the keys that there are.
    for which in ["token", "hash"] {
        let said = workplace.run_well(&["key", "rotate", which], "").stdout;
        let mut lines = said.lines();
        assert_eq!(lines.next(), Some(format!("a new {which} key, which is nowhere yet:").as_str()));
        let key = lines.next().and_then(|line| line.strip_prefix("2:")).expect("a key");
        assert!(is_key(key), "{said}");
        let steps: Vec<&str> = lines.map(|line| line.split(' ').next().expect("a number")).collect();
        assert_eq!(steps, ["1.", "2.", "3."], "{said}");
        assert!(!said.contains(&"70".repeat(32)) && !said.contains(&"4a".repeat(32)));
        // The key that it prints can be set as it says.
        let name = format!("REFERRAL_EVENTS_{}_KEY", which.to_uppercase());
        let old = if which == "token" { "70" } else { "4a" }.repeat(32);
        workplace.set(&name, &format!("1:{old},2:{key}"));
        drop(workplace.serve(&[]));
        let checked = workplace.run_well(&["key", "check"], "").stdout;
        assert!(
            checked.contains(&format!(
                "{which} key 1 {}, key 2 is accepted too: from {name}\n",
                match which {
                    "token" => "signs",
                    _ => "hashes",
                }
            )),
            "{checked}"
        );
        let said = workplace.run_well(&["key", "rotate", which], "").stdout;
        assert!(said.starts_with(&format!("0. take the {which} key 2 out")) && said.contains("\n3:"), "{said}");
    }
    workplace.set("REFERRAL_EVENTS_HASH_KEY", &"5c".repeat(32));
    let ended = workplace.run(&["key", "check"]);
    let sentence = "error: the codes in the database were hashed with another key and would match nothing: set \
                    REFERRAL_EVENTS_HASH_KEY to the key that was used so far\n";
    assert_failed(&ended, sentence);
}

async fn keys_are_read_from_files(_: Setup) {
    let mut workplace = Workplace::new();
    workplace.add_caller(PASSWORD);
    workplace.run_well(&["key", "new", "hash.key"], "");
    write(&workplace, "token.key", &format!("2:{}\n1:{}\n", "71".repeat(32), "70".repeat(32)), 0o400);
    let flags = ["--plaintext", "--token-key-file", "token.key", "--hash-key-file", "hash.key"];
    // On a public address, where keys must be set.
    let mut server = workplace.serve_on("0.0.0.0:0", &flags);
    server.address.set_ip([127, 0, 0, 1].into());
    let token = server.login(PASSWORD).await;
    assert!(!workplace.path(FILE).exists());
    drop(server);
    workplace.set("REFERRAL_EVENTS_TOKEN_KEY_FILE", "token.key");
    workplace.set("REFERRAL_EVENTS_HASH_KEY_FILE", "hash.key");
    let server = workplace.serve(&[]);
    let request = serde_json::json!({"token": token, "referral_customer_events_set": [{}]});
    assert_eq!(server.post("customer_events/bulk/referrals/create", &request).await.code, "OK");
    let checked = workplace.run_well(&["key", "check"], "").stdout;
    assert!(checked.starts_with("token key 2 signs, key 1 is accepted too: from the file token.key\n"), "{checked}");
    assert!(checked.contains("hash key 1 hashes: from the file hash.key\n"), "{checked}");

    workplace.set("REFERRAL_EVENTS_TOKEN_KEY", &"70".repeat(32));
    let sentence = "error: REFERRAL_EVENTS_TOKEN_KEY and --token-key-file are both set: leave one of them out\n";
    assert_failed(&workplace.run(&SERVE), sentence);
}

async fn a_file_that_others_may_read_is_refused(_: Setup) {
    let workplace = Workplace::new();
    workplace.add_caller(PASSWORD);
    let key = "71".repeat(32);
    for mode in [0o644, 0o604, 0o660, 0o666, 0o620, 0o602, 0o601, 0o610] {
        write(&workplace, "token.key", &key, mode);
        let ended = workplace.run(&[&SERVE[..], &["--token-key-file", "token.key"]].concat());
        let sentence = format!(
            "error: the key file token.key is open to others (its mode is {mode:03o}): chmod 600 token.key, and make new \
             keys if others may have read these\n"
        );
        assert_failed(&ended, &sentence);
    }
    for mode in [0o600, 0o400, 0o700] {
        write(&workplace, "token.key", &key, mode);
        drop(workplace.serve(&["--token-key-file", "token.key"]));
    }
    // So is the file beside the database.
    fs::set_permissions(workplace.path(FILE), fs::Permissions::from_mode(0o644)).expect("a mode");
    let ended = workplace.run(&SERVE);
    assert!(ended.stderr.starts_with(&format!("error: the key file {FILE} is open to others")), "{ended:?}");
    fs::set_permissions(workplace.path(FILE), fs::Permissions::from_mode(0o600)).expect("a mode");
    drop(workplace.serve(&[]));

    let ended = workplace.run(&[&SERVE[..], &["--token-key-file", "nowhere.key"]].concat());
    assert!(ended.stderr.starts_with("error: the key file nowhere.key cannot be used: "), "{ended:?}");
    let ended = workplace.run(&[&SERVE[..], &["--token-key-file", "."]].concat());
    assert!(ended.stderr.starts_with("error: the key file . cannot be used: "), "{ended:?}");
}

async fn keys_that_cannot_be_meant_are_refused(_: Setup) {
    let (a, b, c) = ("71".repeat(32), "72".repeat(32), "73".repeat(32));
    let number = "has a key whose number is not one from 1 to 65535; the form is NUMBER:KEY";
    let cases = [
        (String::new(), "must be 64 hex digits"),
        (" \n".to_owned(), "must be 64 hex digits"),
        (format!("{a}0"), "must be 64 hex digits"),
        (format!("2:{}", &a[1..]), "must be 64 hex digits"),
        (format!("{a},nonsense"), "must be 64 hex digits"),
        (format!("0:{a}"), number),
        (format!("65536:{a}"), number),
        (format!("x:{a}"), number),
        (format!(":{a}"), number),
        (format!("-1:{a}"), number),
        (format!("1:{a} 2:{b}\n3:{c}"), "has more than two keys"),
        (format!("{a},{b}"), "has two keys of the number 1; of two keys each needs its own, as in 2:KEY"),
        (format!("7:{a},7:{b}"), "has two keys of the number 7; of two keys each needs its own, as in 2:KEY"),
        (format!("2:{a},1:{a}"), "has the same key twice: openssl rand -hex 32 makes one"),
        (format!("2:{}", "0".repeat(64)), "is all zeros, which is no secret: openssl rand -hex 32 makes one"),
    ];
    for (text, fault) in cases {
        for name in ["REFERRAL_EVENTS_TOKEN_KEY", "REFERRAL_EVENTS_HASH_KEY"] {
            let mut workplace = Workplace::new();
            workplace.set(name, &text);
            assert_failed(&workplace.run(&SERVE), &format!("error: {name} {fault}\n"));
            assert!(!workplace.path(FILE).exists());
        }
        let workplace = Workplace::new();
        write(&workplace, "a.key", &text, 0o600);
        let ended = workplace.run(&[&SERVE[..], &["--hash-key-file", "a.key"]].concat());
        assert_failed(&ended, &format!("error: what the key file a.key holds {fault}\n"));
    }
    // A key that is a token key and a hash key, whichever of the two.
    let mut workplace = Workplace::new();
    workplace.set("REFERRAL_EVENTS_TOKEN_KEY", &format!("2:{a},1:{b}"));
    workplace.set("REFERRAL_EVENTS_HASH_KEY", &format!("2:{c},1:{b}"));
    let ended = workplace.run(&SERVE);
    assert!(ended.stderr.contains("must be two keys, and are the same"), "{ended:?}");
}

async fn a_key_on_the_command_line_is_warned_of(_: Setup) {
    let workplace = Workplace::new();
    let key = "71".repeat(32);
    let warning =
        "--token-key stands on the command line, where whoever lists the processes sees it: use --token-key-file";
    let server = workplace.serve(&["--token-key", &key]);
    server.wait_for_output(warning).await;
    assert!(!server.output().contains("--hash-key stands"));
    let checked = workplace.run_well(&["key", "check", "--token-key", &key], "").stdout;
    assert!(checked.contains(warning), "{checked}");
    drop(server);
    let mut workplace = workplace;
    workplace.set("REFERRAL_EVENTS_TOKEN_KEY", &key);
    let server = workplace.serve(&[]);
    assert!(!server.output().contains("command line"), "{}", server.output());
    let help = workplace.run_well(&["serve", "--help"], "").stdout;
    assert!(help.contains("whoever lists the processes sees what stands on the command line"), "{help}");
}

async fn no_command_shows_a_key_that_is_in_use(_: Setup) {
    let mut workplace = Workplace::new();
    workplace.add_caller(PASSWORD);
    let keys = ["71", "72", "73", "74"].map(|byte| byte.repeat(32));
    workplace.set("REFERRAL_EVENTS_TOKEN_KEY", &format!("2:{},1:{}", keys[0], keys[1]));
    workplace.set("REFERRAL_EVENTS_HASH_KEY", &format!("2:{},1:{}", keys[2], keys[3]));
    workplace.set("REFERRAL_EVENTS_LOG", "trace");
    let mut server = workplace.serve(&[]);
    server.login(PASSWORD).await;
    server.terminate();
    server.ended().await;
    let mut shown = server.output();
    for command in [&["key", "check"][..], &["key", "rotate", "token"], &["key", "rotate", "hash"], &["user", "list"]] {
        let ended = workplace.run_well(command, "");
        shown += &(ended.stdout + &ended.stderr);
    }
    for command in ["--help", "key --help", "key rotate --help"] {
        shown += &workplace.run_well(&command.split(' ').collect::<Vec<_>>(), "").stdout;
    }
    for key in &keys {
        assert!(!shown.contains(key.as_str()), "{key}");
    }
}
