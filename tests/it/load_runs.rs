//! Loads into a server: what becomes of the rows, and what is left in files.

use std::{collections::BTreeMap, fmt::Write, fs};

use serde_json::{Value, json};

use crate::support::{Ended, Loader, Setup, referrals, tests};

tests! {
    NoCalls:
        known_faults_are_counted_by_code_and_load_once_they_are_mended,
        a_rehearsal_says_the_same_and_creates_nothing,
        a_load_that_has_ended_is_not_done_again,
        only_the_same_file_read_in_the_same_way_goes_on;
    Sqlite:
        failed_objects_load_once_they_are_mended,
        standard_input_is_loaded_with_the_files_that_are_named,
        rows_that_are_loaded_again_are_known_by_their_hashes;
}

const COUNTS: &str = "load.csv.load.json";

/// A row of a file with known faults, and the code that it fails with.
fn faulty(n: usize) -> (String, Option<&'static str>) {
    let row = |date: &str, referred: &str, referrer: &str| format!("U,{date},{referred},{referrer}");
    let date = "2016-06-22T15:00:00";
    let own = format!("A{n}");
    match n % 25 {
        3 => (row(date, &format!("X{n}"), "REF"), Some("AccountsReceivableNotFoundException")),
        7 => (row(date, &own, &own), Some("SelfReferralException")),
        11 => (row(date, &format!("A{}", n - 1), "REF"), Some("ReferralAlreadyExistsException")),
        13 => (row(date, &format!("A{}", n - 1), "A1"), Some("ReferredByAnotherParticipantException")),
        15 => (row("22.6.2016", &own, "REF"), Some("NOT_A_DATE")),
        17 => (row("", &own, "REF"), Some("MissingMandatoryAttributeException")),
        19 => (row(date, &own, "\"REF"), Some("OPEN_QUOTE")),
        21 => (row(date, &own, "REF,more"), Some("CELL_COUNT")),
        _ => (row(date, &own, "REF"), None),
    }
}

/// How often each code is there.
fn by_code<'a>(codes: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, u64> {
    codes.fold(BTreeMap::new(), |mut counts, code| {
        *counts.entry(code).or_default() += 1;
        counts
    })
}

async fn known_faults_are_counted_by_code_and_load_once_they_are_mended(setup: Setup) {
    const ROWS: usize = 2600;
    let loader = Loader::new(setup, ROWS);
    let header = referrals([]);
    let rows: Vec<(String, Option<&str>)> = (1..=ROWS).map(faulty).collect();
    let lines: Vec<&str> = rows.iter().map(|(row, _)| row.as_str()).collect();
    loader.write("load.csv", format!("{header}{}\n", lines.join("\n")));
    let ended = loader.load(&["load.csv", "--created", "ids.csv", "--json"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let expected = by_code(rows.iter().filter_map(|(_, code)| *code));
    let failed: u64 = expected.values().sum();
    let summary = ended.summary();
    let created = ROWS as u64 - failed;
    assert_eq!(
        (&summary["rows"], &summary["created"], &summary["already_there"], &summary["failed"], &summary["exit_code"]),
        (&json!(ROWS), &json!(created), &json!(0), &json!(failed), &json!(3)),
        "{summary:#}"
    );
    let told = summary["failed_by_code"].as_array().expect("a list");
    let told =
        told.iter().map(|row| (row["error_code"].as_str().expect("a code"), row["count"].as_u64().expect("a count")));
    assert_eq!(told.collect::<BTreeMap<_, _>>(), expected);
    assert_eq!(loader.events().await.len() as u64, created);

    // Each created event has its line, and each failed row stands as it was, beside its code.
    let ids = loader.read("ids.csv");
    let of_lines: Vec<usize> =
        ids.lines().skip(1).map(|line| line.split(',').next().expect("a cell").parse().expect("a line")).collect();
    let expected: Vec<usize> = (0..ROWS).filter(|n| rows[*n].1.is_none()).map(|n| n + 2).collect();
    assert_eq!(of_lines, expected);
    let text = loader.read("load.csv.failed.csv");
    let mut failed_rows = text.lines();
    assert_eq!(failed_rows.next().expect("a header"), format!("error_code,error_description,{}", header.trim_end()));
    let codes: Vec<&str> = failed_rows.map(|row| row.split(',').next().expect("a cell")).collect();
    assert_eq!(codes, rows.iter().filter_map(|(_, code)| *code).collect::<Vec<_>>());

    // Mended, row by row, it loads clean; the code and the sentence are passed over.
    let mut mended = String::new();
    for (line, n) in text.lines().zip([0].into_iter().chain((1..=ROWS).filter(|n| rows[n - 1].1.is_some()))) {
        if n == 0 {
            writeln!(mended, "{line}").expect("a line");
            continue;
        }
        writeln!(mended, "{},,U,2016-06-22T15:00:00,A{n},REF", codes[0]).expect("a line");
    }
    loader.write("load.csv.failed.csv", mended);
    let ended = loader.load(&["load.csv.failed.csv"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout, format!("created {failed}, already there 0, failed 0: {failed} rows\n"));
    assert_eq!(loader.events().await.len(), ROWS);
    assert!(!loader.workplace.path("load.csv.failed.csv.failed.csv").exists());
}

async fn failed_objects_load_once_they_are_mended(setup: Setup) {
    let loader = Loader::new(setup, 3);
    let event = |account: &str| {
        json!({
            "performed_by_unit_identifier": {"alternative_code": "U"}, "performed_on": "2016-06-22T15:00:00",
            "referred_accounts_receivable_identifier": {"number": account},
            "referred_by_accounts_receivable_identifier": {"number": "REF"},
        })
    };
    let mut wrong = event("A3");
    wrong["performed_on"] = json!("22.6.2016");
    let body = json!({"referral_customer_events_set": [event("A1"), event("X2"), wrong]});
    loader.write("load.json", format!("{body:#}"));
    let ended = loader.load(&["load.json"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), "created 1, already there 0, failed 2: 3 rows\n"));
    let hint = "NOT_A_DATE                           first on line";
    assert!(ended.stderr.contains(hint) && ended.stderr.contains("load.json.failed.ndjson: mend it"), "{ended:?}");
    let failed = loader.read("load.json.failed.ndjson");
    let codes: Vec<Value> = failed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("an object")["error_code"].clone())
        .collect();
    assert_eq!(codes, ["AccountsReceivableNotFoundException", "NOT_A_DATE"]);
    loader.write("load.json.failed.ndjson", failed.replace("X2", "A2").replace("22.6.2016", "2016-06-22T15:00:00"));
    assert_eq!(loader.load(&["load.json.failed.ndjson"]).code, Some(0));
    assert_eq!(loader.events().await.len(), 3);
}

async fn a_rehearsal_says_the_same_and_creates_nothing(setup: Setup) {
    let loader = Loader::new(setup, 1500);
    loader.write("load.csv", referrals((1..=1500).chain([9999])));
    for _ in 0..2 {
        let ended = loader.load(&["load.csv", "--dry-run"]);
        assert_eq!(ended.code, Some(3), "{ended:?}");
        assert_eq!(
            ended.stdout,
            "rehearsed, nothing was created: created 1500, already there 0, failed 1: 1501 rows\n"
        );
    }
    assert_eq!(loader.read("load.csv.rehearsed.csv").lines().count(), 2);
    assert!(!loader.workplace.path(COUNTS).exists() && !loader.workplace.path("load.csv.failed.csv").exists());
    assert!(loader.events().await.is_empty());
    let ended = loader.load(&["load.csv"]);
    assert_eq!(ended.stdout, "created 1500, already there 0, failed 1: 1501 rows\n");
}

async fn a_load_that_has_ended_is_not_done_again(setup: Setup) {
    let mut loader = Loader::new(setup, 1200);
    loader.write("load.csv", referrals(1..=1100));
    let first = loader.load(&["load.csv", "--created", "ids.csv"]);
    assert_eq!((first.code, first.stdout.as_str()), (Some(0), "created 1100, already there 0, failed 0: 1100 rows\n"));
    let ids = loader.read("ids.csv");
    // No server is asked.
    let address = loader.server.address.to_string();
    loader.server.kill();
    let again = loader.load(&["load.csv", "--created", "ids.csv"]);
    assert_eq!((again.code, again.stdout), (Some(0), first.stdout), "{}", again.stderr);
    let nothing = "the file was loaded before, and has no further rows; nothing was sent\n";
    assert!(again.stderr.starts_with(nothing), "{}", again.stderr);
    assert_eq!(loader.read("ids.csv"), ids);
    // A file to which rows were added goes on with them.
    loader.server = loader.workplace.serve_on(&address, &[]);
    loader.write("load.csv", referrals(1..=1200));
    let ended = loader.load(&["load.csv", "--created", "ids.csv"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "created 1200, already there 0, failed 0: 1200 rows\n"));
    assert_eq!(loader.read("ids.csv").lines().count(), 1201);
    assert_eq!(loader.events().await.len(), 1200);
}

async fn only_the_same_file_read_in_the_same_way_goes_on(setup: Setup) {
    let loader = Loader::new(setup, 10);
    let file = referrals(1..=3);
    loader.write("load.csv", &file);
    assert_eq!(loader.load(&["load.csv"]).code, Some(0));
    let refused = |ended: Ended, sentence: &str| {
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
        assert!(ended.stderr.contains(sentence), "{ended:?}");
    };
    for other in
        [referrals(4..=9), referrals(1..=2), referrals([1, 2, 4, 5]), file.replace("performed_on", "udf_date_1")]
    {
        loader.write("load.csv", other);
        refused(loader.load(&["load.csv"]), "the journal is of another file: the first 3 rows of that one were loaded");
    }
    loader.write("load.csv", &file);
    let set = ["load.csv", "--set", "description=x"];
    refused(
        loader.load(&set),
        "load.csv.load.json is of a load with nothing for --set description, and this command has \"x\": say the same to go on",
    );
    // Another journal is another load, whose failed rows are not written over the first one's.
    loader.write("load.csv.failed.csv", "mended");
    refused(
        loader.load(&["load.csv", "--journal", "other.json"]),
        "load.csv.failed.csv is there from an earlier load: move it away",
    );
    assert_eq!(loader.read("load.csv.failed.csv"), "mended");
    fs::remove_file(loader.workplace.path("load.csv.failed.csv")).expect("a file");
    let ended = loader.load(&["load.csv", "--journal", "other.json"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), "created 0, already there 0, failed 3: 3 rows\n"));
    loader.write("load.csv.load.json", "{\"version\": 1");
    refused(loader.load(&["load.csv"]), "load.csv.load.json is no journal of a load");
    assert_eq!(loader.events().await.len(), 3);
}

async fn standard_input_is_loaded_with_the_files_that_are_named(setup: Setup) {
    let loader = Loader::new(setup, 3);
    let file = referrals([1, 99, 2]);
    let ended = loader.load_input(&file, &["-", "--failed", "failed.csv", "--journal", "journal.json"]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(3), "created 2, already there 0, failed 1: 3 rows\n"),
        "{ended:?}"
    );
    assert!(loader.read("failed.csv").contains("U,2016-06-22T15:00:00,A99,REF"));
    let ended = loader.load_input(&file, &["-", "--failed", "failed.csv", "--journal", "journal.json"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), "created 2, already there 0, failed 1: 3 rows\n"));
    let ended = loader.load_input(&referrals([3]), &["-"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "created 1, already there 0, failed 0: 1 rows\n"));
}

async fn rows_that_are_loaded_again_are_known_by_their_hashes(setup: Setup) {
    let loader = Loader::new(setup, 5);
    loader.write("load.csv", referrals(1..=3));
    assert_eq!(loader.load(&["load.csv", "--reference-from", "hash"]).code, Some(0));
    loader.write("next.csv", referrals(2..=5));
    let ended = loader.load(&["next.csv", "--reference-from", "hash"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "created 2, already there 2, failed 0: 4 rows\n"));
    assert_eq!(loader.events().await.len(), 5);
}
