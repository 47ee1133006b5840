//! The demo: a world of its own, as its document has it.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::support::{
    Process, Setup, Workplace,
    examples::{self, blocks, document},
    tests,
};

tests! {
    Once:
        the_demo_has_a_database_and_keys_of_its_own_whatever_the_environment_says,
        settings_of_another_database_are_refused_beside_the_demo,
        the_demo_says_where_everything_is_and_what_to_try,
        the_document_has_every_row_of_the_demo,
        the_document_has_every_event_of_the_demo,
        the_demo_answers_as_its_document_says;
}

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

async fn login(demo: &Process) -> String {
    demo.login_as("demo", "demo", "demo").await
}

async fn the_demo_has_a_database_and_keys_of_its_own_whatever_the_environment_says(_: Setup) {
    for url in ["sqlite:shop.db", "postgres://user:pw@127.0.0.1:1/shop", "mysql://shop", "sqlite::memory:", ""] {
        let mut workplace = Workplace::new();
        workplace.run_script("echo 'this is of another program' > shop.db");
        workplace.set("DATABASE_URL", url);
        workplace.set("REFERRAL_EVENTS_TOKEN_KEY", "nonsense");
        workplace.set("REFERRAL_EVENTS_HASH_KEY", KEY);
        // One that is asked for twice is new each time.
        for _ in 0..2 {
            let mut demo = workplace.serve(&["--demo"]);
            let listed = demo.post("customer_events/referrals/list", &json!({"token": login(&demo).await})).await;
            assert_eq!(listed.data["customer_events_set"].as_array().expect("a set").len(), 7, "{url}");
            let (_, file) =
                demo.output().split_once("database: ").map(|(_, rest)| ((), rest.to_owned())).expect("a file");
            let file = file.split(" (").next().expect("a path").to_owned();
            let folder = Path::new(&file).parent().expect("a folder");
            assert!(Path::new(&file).exists(), "{file}");
            demo.terminate();
            assert!(demo.ended().await.success());
            assert!(!folder.exists(), "{file} is left");
        }
        let left = fs::read_to_string(workplace.path("shop.db")).expect("a file");
        assert_eq!(left, "this is of another program\n");
        assert_eq!(fs::read_dir(workplace.path(".")).expect("a folder").count(), 1);
    }
}

async fn settings_of_another_database_are_refused_beside_the_demo(_: Setup) {
    let workplace = Workplace::new();
    for (flag, value) in [("--database-url", "sqlite:shop.db"), ("--token-key", KEY), ("--hash-key", KEY)] {
        for arguments in [vec![flag, value, "serve", "--demo"], vec!["serve", "--demo", flag, value]] {
            let ended = workplace.run(&arguments);
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{arguments:?}: {ended:?}");
            let sentence =
                format!("error: --demo has a database and keys of its own, made new each time: leave {flag} out\n");
            assert!(ended.stderr.starts_with(&sentence), "{ended:?}");
        }
    }
    assert_eq!(fs::read_dir(workplace.path(".")).expect("a folder").count(), 0);
}

async fn the_demo_says_where_everything_is_and_what_to_try(_: Setup) {
    let demo = Workplace::new().serve(&["--demo"]);
    let output = demo.output();
    let said: Vec<&str> = output.lines().filter(|line| !line.contains(" INFO ")).collect();
    let [served, database, user, to_try, last] = said[..] else { panic!("{output}") };
    assert_eq!(served, format!("the demo is served on {}", demo.address));
    assert!(database.starts_with("database: /") && database.ends_with("/demo.db (removed at the end)"), "{database}");
    assert_eq!(user, "user: demo of the organisation demo, password demo");
    assert_eq!(last, format!("serving gRPC and REST on {}", demo.address));
    // The line works as it is pasted.
    let line = to_try.strip_prefix("try: ").expect("a line to try");
    assert!(line.len() < 180, "{line}");
    let prepared = line.replace(&demo.address.to_string(), "127.0.0.1:50051");
    let example = examples::examples(&format!("```sh\nTOKEN=$({prepared} | cut -d '\"' -f 6)\n```\n"));
    examples::Shell::at(demo.address).run(example).await;
}

/// The first cells of the rows of the tables that follow a heading, without what makes them code.
fn rows(document: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, section) = document.split_once(&format!("## {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let section = section.split("\n## ").next().expect("a section");
    let rows = section.lines().filter(|line| line.starts_with("| ") && !line.contains("---"));
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect()).collect()
}

async fn the_document_has_every_row_of_the_demo(_: Setup) {
    let text = document("docs/demo.md");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
    let mut rows = 0;
    for file in fs::read_dir(folder).expect("a folder") {
        let path = file.expect("a file").path();
        let content = fs::read_to_string(&path).expect("a file");
        let mut lines = content.lines();
        let columns: Vec<&str> = lines.next().expect("a header").split(',').collect();
        for line in lines {
            rows += 1;
            for (column, value) in columns.iter().zip(line.split(',')).filter(|(_, value)| !value.is_empty()) {
                // The first twenty parties are told as a range.
                let number: Option<u32> = value.get(value.len().saturating_sub(10)..).and_then(|end| end.parse().ok());
                let is_in_range = number.is_some_and(|n| (1..=20).contains(&n)) && !value.starts_with("AT");
                let is_told_otherwise = ["state", "is_default"].contains(column)
                    || column.contains("effective_")
                    || column.ends_with("_on");
                let is_told = text.contains(&format!("`{value}`"));
                assert!(is_told || is_in_range || is_told_otherwise, "{value} of {}", path.display());
            }
        }
    }
    assert!(rows > 50, "{rows} rows");
}

async fn the_document_has_every_event_of_the_demo(_: Setup) {
    let demo = Workplace::new().serve(&["--demo"]);
    let request = json!({"token": login(&demo).await});
    let listed = demo.post("customer_events/referrals/list", &request).await;
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut events: Vec<Vec<String>> = listed.data["customer_events_set"]
        .as_array()
        .expect("a set")
        .iter()
        .map(|event| {
            let party = |party: &str| text(&event[format!("{party}_rewards_participant")]["number"]);
            vec![text(&event["number"]), party("referred"), party("referred_by"), text(&event["life_cycle_state"])]
        })
        .collect();
    events.reverse();
    assert_eq!(rows(&document("docs/demo.md"), "Events")[1..], events);
}

async fn the_demo_answers_as_its_document_says(_: Setup) {
    let demo = Workplace::new().serve(&["--demo"]);
    let token = login(&demo).await;
    let document = document("docs/demo.md");
    let event = blocks(&document).into_iter().find(|block| block.language == "json").expect("an event");
    let event = examples::json(&event.text);
    let rows = rows(&document, "What they are answered");
    let mut cases = vec![("{}".to_owned(), "created".to_owned())];
    cases.extend(rows[1..].iter().map(|row| (format!("{{{}}}", row[0]), row[1].clone())));
    assert!(cases.len() > 20);
    for (with, expected) in cases {
        let mut event = event.clone();
        let with = examples::json(&with);
        event.as_object_mut().expect("an object").extend(with.as_object().expect("an object").clone());
        let request = json!({"token": token, "validate_only": true, "referral_customer_events_set": [event]});
        let answer = demo.post("customer_events/bulk/referrals/create", &request).await;
        let failed = &answer.data["unprocessed_customer_events_set"][0]["error_code"];
        assert_eq!(failed.as_str().unwrap_or("created"), expected, "{with}: {answer:?}");
    }
}
