//! The files that a load writes: it writes over none that is not its own.

use std::{fs, os::unix::fs::symlink};

use serde_json::json;

use crate::support::{Ended, Loader, Setup, referrals, tests};

tests! {
    Once:
        a_load_writes_over_no_file_but_its_own,
        files_of_a_load_are_several,
        failed_rows_that_were_mended_stay_as_they_are_where_the_load_goes_on,
        a_folder_that_takes_no_file_is_named_before_anything_is_sent,
        failed_rows_of_an_input_are_kept_where_it_is_said_and_told_if_nowhere,
        a_body_that_asks_for_a_rehearsal_after_its_events_creates_none;
}

fn assert_refused(ended: Ended, sentence: &str) {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
    assert!(ended.stderr.contains(sentence), "{ended:?}");
}

async fn a_load_writes_over_no_file_but_its_own(setup: Setup) {
    let loader = Loader::new(setup, 9);
    loader.write("load.csv", referrals([1]));
    loader.write("notes.txt", "mine");
    symlink("load.csv", loader.workplace.path("link")).expect("a link");
    let assert_untouched = |file: &str| {
        assert_eq!((loader.read("load.csv").as_str(), loader.read("notes.txt").as_str()), (file, "mine"));
    };
    for taken in ["load.csv", "notes.txt", "link"] {
        assert_refused(loader.load(&["load.csv", "--dry-run", "--failed", taken]), "is there from an earlier load");
        assert_refused(loader.load(&["load.csv", "--failed", taken]), "is there from an earlier load");
        assert_refused(loader.load(&["load.csv", "--created", taken]), "is there from an earlier load");
        assert_untouched(&referrals([1]));
    }
    // Nor does one that goes on.
    assert_eq!(loader.load(&["load.csv"]).code, Some(0));
    let longer = referrals([1, 2, 99]);
    loader.write("load.csv", &longer);
    for taken in ["load.csv", "notes.txt", "link"] {
        assert_refused(loader.load(&["load.csv", "--failed", taken]), "is there from an earlier load");
        assert_refused(loader.load(&["load.csv", "--created", taken]), "is there from an earlier load");
        assert_untouched(&longer);
    }
    assert_eq!(loader.load(&["load.csv"]).code, Some(3));
    let failed = loader.read("load.csv.failed.csv");
    assert_refused(loader.load(&["load.csv", "--failed", "load.csv"]), "load.csv is part of this load and cannot be");
    assert_untouched(&longer);
    assert_eq!(loader.read("load.csv.failed.csv"), failed);
}

async fn files_of_a_load_are_several(setup: Setup) {
    let loader = Loader::new(setup, 9);
    loader.write("load.csv", referrals([1, 99, 2]));
    for (files, sentence) in [
        (["--failed", "out", "--created", "out"], "--failed and --created are both out: name another one"),
        (["--failed", "x.json", "--journal", "x.json"], "--journal and --failed are both x.json: name another one"),
        (["--created", "x.json", "--journal", "./x.json"], "--journal and --created are both x.json"),
    ] {
        assert_refused(loader.load(&[&["load.csv"], &files[..]].concat()), sentence);
    }
    assert_eq!(loader.events().await.len(), 0);
}

async fn failed_rows_that_were_mended_stay_as_they_are_where_the_load_goes_on(setup: Setup) {
    let loader = Loader::new(setup, 9);
    loader.write("load.csv", referrals([1, 99]));
    assert_eq!(loader.load(&["load.csv"]).code, Some(3));
    let failed = loader.read("load.csv.failed.csv");
    let mended = failed.replace(",A99,", ",A2,");
    let longer = failed.clone() + ",,U,2016-06-22T15:00:00,A4,REF\r\n";
    loader.write("load.csv", referrals([1, 99, 3, 98]));
    for mended in [&longer, &mended[..10], &mended] {
        loader.write("load.csv.failed.csv", mended);
        assert_refused(
            loader.load(&["load.csv"]),
            "it is not as the load left it. If it was mended, move it away and load it by itself",
        );
        assert_eq!(loader.read("load.csv.failed.csv"), *mended);
    }
    fs::rename(loader.workplace.path("load.csv.failed.csv"), loader.workplace.path("mended.csv")).expect("a file");
    let ended = loader.load(&["load.csv"]);
    assert_eq!(ended.stdout, "created 2, already there 0, failed 2: 4 rows\n", "{ended:?}");
    let failed = loader.read("load.csv.failed.csv");
    assert!(failed.lines().count() == 2 && failed.contains(",A98,") && failed.starts_with("error_code,"), "{failed}");
    assert_eq!(loader.load(&["mended.csv"]).code, Some(0));
    assert_eq!(loader.events().await.len(), 3);
}

async fn a_folder_that_takes_no_file_is_named_before_anything_is_sent(setup: Setup) {
    let loader = Loader::new(setup, 9);
    loader.write("load.csv", referrals([1]));
    for file in ["--failed", "--created"] {
        assert_refused(loader.load(&["load.csv", file, "nowhere/file.csv"]), "no file can be made in nowhere (");
    }
    assert_eq!(loader.events().await.len(), 0);
}

async fn failed_rows_of_an_input_are_kept_where_it_is_said_and_told_if_nowhere(setup: Setup) {
    let loader = Loader::new(setup, 9);
    let ended = loader.load_input(&referrals([1, 99]), &["-"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("the failed rows are kept nowhere; --failed FILE keeps them\n"), "{ended:?}");
}

async fn a_body_that_asks_for_a_rehearsal_after_its_events_creates_none(setup: Setup) {
    let loader = Loader::new(setup, 9);
    let event = json!({
        "performed_by_unit_identifier": {"alternative_code": "U"},
        "performed_on": "2016-06-22T15:00:00",
        "referred_accounts_receivable_identifier": {"number": "A1"},
        "referred_by_accounts_receivable_identifier": {"number": "REF"},
    });
    for flag in ["validate_only", "all_or_nothing"] {
        let body = format!("{{\"referral_customer_events_set\":[{event}],\"{flag}\":true}}");
        loader.write("body.json", &body);
        assert_refused(loader.load(&["body.json"]), &format!("the file asks for {flag}, which no load does"));
        assert!(!loader.workplace.path("body.json.load.json").exists());
        // An input can be read but once.
        let ended = loader.load_input(&body, &["-", "--failed", &format!("{flag}.csv")]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("the events before it are loaded"), "{ended:?}");
        assert!(ended.stdout.ends_with(": 1 rows\n"), "{ended:?}");
    }
}
