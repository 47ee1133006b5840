//! Old events go to a file that has all that is told of them, and are gone once they are in it.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

use chrono::{DateTime, TimeDelta, Utc};
use referral_events::storage::entity::referral_event::Model;
use serde_json::{Value, json};

use crate::support::{
    Server, Setup, Workplace,
    archiving::{archive, arguments, beside, numbers, read, stored_numbers, text, unfinished},
    event,
    examples::{blocks, document},
    tests,
};

tests! {
    Rest:
        the_file_has_all_that_looking_back_tells,
        the_file_and_what_is_left_are_what_a_model_says,
        an_event_that_was_cancelled_since_it_was_written_stays,
        what_is_no_whole_archive_of_this_organisation_removes_nothing,
        of_referrals_in_force_the_rules_forget_only_when_told_to,
        the_commands_of_the_document_work;
    Once: a_date_or_a_name_that_cannot_be_meant_is_refused;
}

/// An event with an attribute of each kind.
fn full_event(referred: &str) -> Value {
    let mut full = event("1", referred, "02");
    for (name, value) in [
        ("classification_identifier", json!({"alternative_code": "CL1"})),
        ("description", json!("a \"quoted\" text, with\na line end; and 🎈")),
        ("external_system", json!("CRM")),
        ("external_system_reference_number", json!(format!("R{referred}"))),
        ("udf_string_1", json!("one")),
        ("udf_float_2", json!(0.1)),
        ("udf_date_3", json!("2020-02-29T01:02:03.000004")),
    ] {
        full[name] = value;
    }
    full
}

async fn the_file_has_all_that_looking_back_tells(setup: Setup) {
    let server = Server::start(setup).await;
    let workplace = beside(&server);
    let mut events = BTreeMap::new();
    for (referred, is_cancelled) in [("03", true), ("04", false), ("05", true)] {
        let created = server.create(json!({}), full_event(referred)).await;
        let number = created.data["number"].as_str().unwrap_or_else(|| panic!("{created:?}")).to_owned();
        if is_cancelled {
            let identifier = json!({"number": number});
            let reason = "a reason";
            let request =
                json!({"token": server.token, "customer_event_identifier": identifier, "cancellation_reason": reason});
            assert_eq!(server.cancel_with(request).await.code, "OK");
        }
        events.insert(number.clone(), server.get(json!({"number": number})).await.data);
    }
    let told: Vec<&Value> = events.values().collect();
    let is_cancelled = |event: &&Value| event["life_cycle_state"] == "CANCELLED";
    let (cancelled, posted): (Vec<&Value>, Vec<&Value>) = told.iter().partition(|event| is_cancelled(event));

    let said = archive(&workplace, Utc::now(), &["--dry-run"]);
    assert_eq!(said.stdout, "would archive 2 events; nothing was changed\n");
    assert_eq!(server.stored_events().await.len(), 3);
    let said = archive(&workplace, Utc::now(), &["--output", "cancelled.ndjson.zst"]);
    assert_eq!(
        (said.stdout.as_str(), said.stderr.as_str()),
        ("wrote 2 events to cancelled.ndjson.zst\nremoved 2 events\n", "")
    );
    let mode = fs::metadata(workplace.path("cancelled.ndjson.zst")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let archived = read(&workplace, "cancelled.ndjson.zst");
    assert_eq!(archived.iter().collect::<Vec<_>>(), cancelled);
    // Whoever has zstd needs no program of ours.
    let unpacked = Command::new("zstd").arg("-dcq").arg(workplace.path("cancelled.ndjson.zst")).output().expect("zstd");
    let unpacked = String::from_utf8(unpacked.stdout).expect("UTF-8");
    assert_eq!(unpacked, workplace.run_well(&["events", "read", "cancelled.ndjson.zst"], "").stdout);
    for event in &cancelled {
        server.get(json!({"number": event["number"]})).await.assert_refused("CustomerEventNotFound");
    }
    assert_eq!(&server.get(json!({"number": posted[0]["number"]})).await.data, posted[0]);

    // As CSV, each attribute in a column.
    archive(&workplace, Utc::now(), &["--state", "posted", "--output", "posted.csv"]);
    let mut rows = csv::Reader::from_path(workplace.path("posted.csv")).expect("a file");
    let header = rows.headers().expect("a header").clone();
    let rows: Vec<csv::StringRecord> = rows.records().collect::<Result<_, _>>().expect("rows");
    assert_eq!(rows.len(), 1);
    let mut cells: BTreeMap<&str, &str> = header.iter().zip(&rows[0]).filter(|(_, cell)| !cell.is_empty()).collect();
    let mut expected = BTreeMap::new();
    flatten("", posted[0], &mut expected);
    for (name, value) in &expected {
        assert_eq!(cells.remove(name.as_str()), Some(value.as_str()), "{name}");
    }
    assert_eq!(cells, BTreeMap::new(), "nothing is in it besides");
    assert!(expected.contains_key("referred_accounts_receivable.number") && expected.len() > 20, "{expected:?}");
    assert_eq!(server.stored_events().await, []);
    let said = archive(&workplace, Utc::now(), &["--state", "all", "--output", "more.csv"]);
    assert_eq!(said.stdout, "there are no such events; no file was made\n");
    assert!(!workplace.path("more.csv").exists());
}

fn flatten(name: &str, value: &Value, cells: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(parts) => {
            for (part, value) in parts {
                flatten(&if name.is_empty() { part.clone() } else { format!("{name}.{part}") }, value, cells);
            }
        }
        Value::String(text) => _ = cells.insert(name.to_owned(), text.clone()),
        value => _ = cells.insert(name.to_owned(), value.to_string()),
    }
}

async fn the_file_and_what_is_left_are_what_a_model_says(setup: Setup) {
    let server = Server::start(setup).await;
    let workplace = beside(&server);
    let day = |days: i64| Utc::now() - TimeDelta::days(1000 - days);
    // A clock that goes on, is set back by an hour, and by many days.
    let moments = [day(0), day(1), day(1) - TimeDelta::hours(1), day(5), day(40), day(3), day(41), day(42)];
    let calls: Vec<(DateTime<Utc>, usize)> = moments.into_iter().zip([300, 1, 260, 7, 250, 20, 3, 400]).collect();
    server.create_at(&calls).await;
    let mut left = server.stored_events().await;
    for event in left.iter().filter(|event| event.number.0 % 3 == 0) {
        assert_eq!(server.cancel(json!({"number": event.number.to_string()})).await.code, "OK");
    }
    left = server.stored_events().await;
    let states = [("cancelled", Some(false)), ("posted", Some(true)), ("all", None)];
    for (round, (moment, (name, in_force))) in [day(0), day(1), day(4), day(41), day(43)]
        .into_iter()
        .flat_map(|day| states.map(|state| (day, state)))
        .enumerate()
    {
        let file = format!("{round}.ndjson");
        let is_archived = |event: &Model| {
            event.created_on < moment && in_force.is_none_or(|in_force| event.in_force.is_some() == in_force)
        };
        let expected: Vec<Model> = left.extract_if(.., |event| is_archived(event)).collect();
        let said = archive(&workplace, moment, &["--state", name, "--output", &file]).stdout;
        if expected.is_empty() {
            assert_eq!(said, "there are no such events; no file was made\n", "{round}");
        } else {
            let count = expected.len();
            assert_eq!(said, format!("wrote {count} events to {file}\nremoved {count} events\n"));
            assert_eq!(numbers(&read(&workplace, &file)), stored_numbers(&expected), "{round}");
        }
        assert_eq!(server.stored_events().await, left, "{round}");
        // Lists go on, across what is not there any more.
        let request = json!({"number_of_results": 100, "order": "OLDEST_FIRST"});
        assert_eq!(server.list_all(&request).await.0, stored_numbers(&left), "{round}");
    }
    assert_eq!(left, []);
    assert_eq!(unfinished(&workplace), Vec::<PathBuf>::new());
}

async fn an_event_that_was_cancelled_since_it_was_written_stays(setup: Setup) {
    let server = Server::start(setup).await;
    let workplace = beside(&server);
    let mut lines = Vec::new();
    for referred in ["03", "04"] {
        let created = server.create(json!({}), event("1", referred, "02")).await.data;
        lines.push(json!({"id": created["id"], "life_cycle_state": "POSTED"}).to_string());
    }
    fs::write(workplace.path("old.ndjson"), lines.join("\n")).expect("a file");
    assert_eq!(server.cancel(json!({"number": "1"})).await.code, "OK");
    let run = || archive(&workplace, Utc::now(), &["--output", "old.ndjson"]).stdout;
    let there = "old.ndjson is there, with 2 events: they are removed, and no others are archived\n";
    let stays = "1 were cancelled after they were written, and stay: archive them once more\n";
    assert_eq!(run(), format!("{there}removed 1 events\n{stays}"));
    assert_eq!(stored_numbers(&server.stored_events().await), [1]);
    assert_eq!(run(), format!("{there}removed 0 events\n{stays}"));
    archive(&workplace, Utc::now(), &["--output", "again.ndjson"]);
    assert_eq!(read(&workplace, "again.ndjson")[0]["life_cycle_state"], "CANCELLED");
    assert_eq!(run(), format!("{there}removed 0 events\n"));
}

async fn what_is_no_whole_archive_of_this_organisation_removes_nothing(setup: Setup) {
    let server = Server::start(setup).await;
    let workplace = beside(&server);
    let created = server.create(json!({}), event("1", "03", "02")).await.data;
    assert_eq!(server.cancel(json!({"number": "1"})).await.code, "OK");
    let line = json!({"id": created["id"], "life_cycle_state": "CANCELLED"}).to_string();
    let packed = |text: &str| zstd::encode_all(text.as_bytes(), 0).expect("a pack");
    let whole = packed(&format!("{line}\n").repeat(1000));
    let cases: [(&str, Vec<u8>); 6] = [
        ("cut.ndjson.zst", whole[..whole.len() - 4].to_vec()),
        ("cut.ndjson", format!("{line}\n{}", &line[..20]).into_bytes()),
        ("other.ndjson", format!("{line}\n{{\"id\": \"1\", \"life_cycle_state\": \"CANCELLED\"}}\n").into_bytes()),
        ("state.ndjson", format!("{line}\n{}", line.replace("CANCELLED", "LOST")).into_bytes()),
        ("plain.csv.zst", line.clone().into_bytes()),
        ("header.csv", format!("number,id\n1,{}\n", created["id"]).into_bytes()),
    ];
    for (name, content) in cases {
        fs::write(workplace.path(name), content).expect("a file");
        let before = text(Utc::now());
        let ended = workplace.run(&arguments(&before, &["--output", name]));
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{name}: {ended:?}");
        assert!(ended.stderr.contains(&format!("error: {name} cannot be read")), "{name}: {ended:?}");
        assert_eq!(server.stored_events().await.len(), 1, "{name}");
    }
    let ended = workplace.run(&["events", "read", "cut.ndjson.zst"]);
    let cut = "error: cut.ndjson.zst cannot be read to its end: it was cut short";
    assert_eq!((ended.code, ended.stderr.starts_with(cut)), (Some(1), true), "{ended:?}");
    fs::write(workplace.path("old.ndjson"), format!("{line}\n")).expect("a file");
    let before = text(Utc::now());
    let of_other = ["events", "archive", "--organisation", "other", "--before", &before, "--output", "old.ndjson"];
    assert!(workplace.run_well(&of_other, "").stdout.ends_with("removed 0 events\n"));
    assert_eq!(server.stored_events().await.len(), 1);
    assert!(archive(&workplace, Utc::now(), &["--output", "old.ndjson"]).stdout.ends_with("removed 1 events\n"));
}

async fn of_referrals_in_force_the_rules_forget_only_when_told_to(setup: Setup) {
    let server = Server::start(setup).await;
    let workplace = beside(&server);
    let by_password = |referrer: &str| {
        let mut by_password = event("1", "03", referrer);
        by_password.as_object_mut().expect("an object").retain(|name, _| !name.starts_with("referred_rewards"));
        by_password["referred_rewards_participant_identifier"] =
            json!({"access_token_identifier": {"one_time_password": "020020"}});
        by_password
    };
    assert_eq!(server.create(json!({}), by_password("02")).await.code, "OK");
    assert_eq!(server.create(json!({}), event("1", "03", "02")).await.code, "OK");
    assert_eq!(server.cancel(json!({"number": "1"})).await.code, "OK");
    let said = archive(&workplace, Utc::now(), &["--output", "cancelled.ndjson"]);
    assert_eq!(
        (said.stdout.as_str(), said.stderr.as_str()),
        ("wrote 1 events to cancelled.ndjson\nremoved 1 events\n", "")
    );
    // A one-time password stays used, and who is referred stays so.
    server.create(json!({}), by_password("04")).await.assert_refused("InvalidAccessToken");
    server.create(json!({}), event("1", "03", "04")).await.assert_refused("ReferredByAnotherParticipant");

    let said = archive(&workplace, Utc::now(), &["--state", "posted", "--output", "posted.ndjson"]);
    assert!(said.stderr.starts_with("warning: the rules forget referrals in force that are archived"), "{said:?}");
    let again = server.create(json!({}), event("1", "03", "04")).await;
    assert_eq!(again.data["number"], "3", "numbers go on: {again:?}");
}

async fn the_commands_of_the_document_work(setup: Setup) {
    let server = Server::start(setup).await;
    let workplace = beside(&server);
    server.create_at(&[("2024-06-22T15:00:00Z".parse().expect("a date"), 3), (Utc::now(), 2)]).await;
    for number in 1..=5 {
        assert_eq!(server.cancel(json!({"number": number.to_string()})).await.code, "OK");
    }
    let document = document("docs/retention.md");
    let commands: Vec<String> =
        blocks(&document).into_iter().filter(|block| block.language == "sh").map(|block| block.text).collect();
    let [archive, read] = &commands[..] else { panic!("{commands:?}") };
    let environment = format!("export DATABASE_URL='{}'\n", server.database_url());
    let said = workplace.run_script(&format!("{environment}{archive}"));
    let expected =
        "would archive 3 events; nothing was changed\nwrote 3 events to cancelled-2024.ndjson.zst\nremoved 3 events\n";
    assert_eq!(said, expected);
    assert_eq!(workplace.run_script(read).lines().count(), 3);
    assert_eq!(stored_numbers(&server.stored_events().await), [4, 5]);
}

async fn a_date_or_a_name_that_cannot_be_meant_is_refused(_: Setup) {
    let workplace = Workplace::new();
    workplace.run_well(&["organisation", "add", "acme"], "");
    let tomorrow = text(Utc::now() + TimeDelta::days(1));
    for (before, more, code, message) in [
        ("yesterday", &["--output", "old.csv"][..], 2, "it takes a day like 2016-06-22, or a date and time"),
        ("2016-02-30", &["--output", "old.csv"], 2, "it takes a day like 2016-06-22, or a date and time"),
        (&tomorrow, &["--output", "old.csv"], 1, "--before is later than now"),
        ("2016-06-22", &["--output", "old.zip"], 1, "let it end in .ndjson or .csv"),
        ("2016-06-22", &["--output", "nowhere/old.csv"], 1, "nowhere/old.csv cannot be written"),
        ("2016-06-22", &[], 2, "--output"),
    ] {
        let ended = workplace.run(&arguments(before, more));
        assert_eq!(ended.code, Some(code), "{before} {more:?}: {ended:?}");
        assert!(ended.stderr.contains(message), "{before} {more:?}: {ended:?}");
    }
    let other = ["events", "archive", "--organisation", "none", "--before", "2016-06-22", "--dry-run"];
    assert!(workplace.run(&other).stderr.contains("error: there is no organisation \"none\"; `organisation list` has"));
}
