//! Codes are hashed with a key that the database does not hold; a database and a key that do not belong together are
//! not served, for every code would be refused.

use std::{
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{Engine, Setup, TestDatabase, Workplace, event, tests};

tests! {
    Once: a_database_that_is_restored_without_its_key_file_is_refused;
    NoCalls: another_hash_key_is_refused_and_another_token_key_is_not,
        of_servers_with_different_keys_one_gets_a_new_database;
}

const IMPORT: [&str; 5] = ["import", "--organisation", "acme", "units", "-"];
const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

/// A caller, two parties, and an access token of one of them.
fn fill(workplace: &Workplace) {
    workplace.add_caller("seven green kettles");
    for (kind, rows) in [
        ("units", "name,alternative_code\nAdmin Unit,U1\n"),
        ("accounts_receivable", "number\nACR01\nACR02\n"),
        ("rewards_participants", "number,accounts_receivable_number\nRP01,ACR01\nRP02,ACR02\n"),
        (
            "access_tokens",
            "identifier,authentication_code,state,rewards_participant_number\nT1,s3cret,EFFECTIVE,RP02\n",
        ),
    ] {
        workplace.run_well(&["import", "--organisation", "acme", kind, "-"], rows);
    }
}

/// Serves and has an event created whose referrer is named by the code.
async fn expect_the_code_to_match(workplace: &Workplace) {
    let server = workplace.serve(&[]);
    let mut event = event("1", "01", "02");
    event.as_object_mut().expect("an object").retain(|name, _| !name.starts_with("referred_by_"));
    event["referred_by_accounts_receivable_identifier"] =
        json!({"access_token_identifier": {"authentication_code": "s3cret"}});
    let request = json!({"token": server.login("seven green kettles").await, "referral_customer_events_set": [event],
                         "validate_only": true});
    server.post("customer_events/bulk/referrals/create", &request).await.assert_outcome(&["1"], &[]);
}

#[track_caller]
fn expect_refusals(workplace: &Workplace, message: &str) {
    for command in [&SERVE[..], &IMPORT] {
        let ended = workplace.run_with_input(command, "name,alternative_code\nOther Unit,U2\n");
        assert_eq!((ended.code, ended.stderr.as_str(), ended.stdout.as_str()), (Some(1), message, ""), "{command:?}");
    }
}

async fn a_database_that_is_restored_without_its_key_file_is_refused(_: Setup) {
    let mut workplace = Workplace::new();
    fill(&workplace);
    expect_the_code_to_match(&workplace).await;
    let file = workplace.path("referral-events.db.keys");
    let keys = fs::read_to_string(&file).expect("a key file");

    fs::remove_file(&file).expect("a file");
    expect_refusals(
        &workplace,
        "error: the key file referral-events.db.keys is not there, and the codes in the database match nothing without \
         its key: put the file back, or set REFERRAL_EVENTS_HASH_KEY to the key that was used so far\n",
    );
    assert!(!file.exists());
    // What needs no key works.
    workplace.run_well(&["organisation", "add", "other"], "");

    fs::write(&file, &keys).expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
    expect_the_code_to_match(&workplace).await;

    // The file of another database.
    let other = Workplace::new();
    fill(&other);
    fs::copy(other.path("referral-events.db.keys"), &file).expect("a copy");
    expect_refusals(
        &workplace,
        "error: the codes in the database were hashed with another key and would match nothing: put the key file \
         referral-events.db.keys back that was there\n",
    );

    // The keys can be set instead.
    fs::remove_file(&file).expect("a file");
    let hash_key = keys.lines().find_map(|line| line.strip_prefix("REFERRAL_EVENTS_HASH_KEY=")).expect("a key");
    workplace.set("REFERRAL_EVENTS_HASH_KEY", hash_key);
    expect_the_code_to_match(&workplace).await;
}

async fn another_hash_key_is_refused_and_another_token_key_is_not(setup: Setup) {
    let mut workplace = Workplace::over(setup.engine.create_database());
    workplace.run_well(&["migrate"], "");
    fill(&workplace);
    expect_the_code_to_match(&workplace).await;
    let mut serving = workplace.serve(&[]);

    workplace.set("REFERRAL_EVENTS_HASH_KEY", &"5b".repeat(32));
    expect_refusals(
        &workplace,
        "error: the codes in the database were hashed with another key and would match nothing: set \
         REFERRAL_EVENTS_HASH_KEY to the key that was used so far\n",
    );
    // Whoever has the right one notices nothing.
    serving.login("seven green kettles").await;
    serving.kill();

    workplace.set("REFERRAL_EVENTS_HASH_KEY", &"4a".repeat(32));
    workplace.set("REFERRAL_EVENTS_TOKEN_KEY", &"5b".repeat(32));
    expect_the_code_to_match(&workplace).await;
}

async fn of_servers_with_different_keys_one_gets_a_new_database(setup: Setup) {
    for _ in 0..4 {
        let database = setup.engine.create_database();
        let servers: Vec<Workplace> = ["4a", "5b", "6c"]
            .iter()
            .map(|key| {
                let mut workplace = Workplace::over(TestDatabase::at(database.url.clone()));
                workplace.set("REFERRAL_EVENTS_HASH_KEY", &key.repeat(32));
                workplace
            })
            .collect();
        if setup.engine == Engine::Postgres {
            servers[0].run_well(&["migrate"], "");
        }
        let start = |workplace: &Workplace| workplace.spawn(&SERVE, Stdio::piped(), Stdio::piped());
        let mut running: Vec<Child> = servers.iter().map(start).collect();
        let mut refused = Vec::new();
        let started = Instant::now();
        while refused.len() < servers.len() - 1 {
            assert!(started.elapsed() < Duration::from_secs(60), "{} were refused", refused.len());
            running.retain_mut(|server| match server.try_wait().expect("a status") {
                Some(status) => {
                    refused.push((status.code(), read(server.stderr.take())));
                    false
                }
                None => true,
            });
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for (code, message) in refused {
            assert_eq!(code, Some(1));
            assert!(message.contains("error: the codes in the database were hashed with another key"), "{message}");
        }
        let mut winner = running.pop().expect("one that serves");
        let mut line = [0; 7];
        winner.stdout.take().expect("an output").read_exact(&mut line).expect("a line");
        assert_eq!(&line, b"serving");
        winner.kill().expect("a kill");
        winner.wait().expect("an end");
    }
}

fn read(source: Option<impl Read>) -> String {
    let mut text = String::new();
    source.expect("an output").read_to_string(&mut text).expect("UTF-8");
    text
}
