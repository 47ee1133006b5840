//! The file of rejected rows: all of them, to be mended and imported again.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::{Importer, Setup, counts, tests};

tests! {
    NoCalls:
        all_rejected_rows_are_written_and_can_be_mended_and_imported,
        what_is_not_mended_is_rejected_again,
        rejected_rows_keep_the_delimiter_and_the_byte_order_mark,
        rejected_lines_of_ndjson_stay_lines_of_ndjson,
        the_file_of_rejected_rows_is_for_its_owner_and_gone_where_none_was,
        rejected_rows_are_never_written_over_the_file_that_is_imported,
        a_summary_says_how_many_rows_failed_for_each_reason_and_what_helps;
}

const REJECTED: [&str; 2] = ["--rejected", "rejected.csv"];

async fn all_rejected_rows_are_written_and_can_be_mended_and_imported(setup: Setup) {
    let acme = Importer::new(setup);
    let mut file = "number,state\n".to_owned();
    for n in 0..9000 {
        file.push_str(&format!("A{n},{}\n", if n % 3 == 0 { "OPEN" } else { "ACTIVE" }));
    }
    let ended = acme.load_with("accounts_receivable", file, &REJECTED);
    assert_eq!((ended.code, ended.counts()), (Some(1), counts(6000, 0, 0, 3000).as_str()));
    let rejected = acme.read("rejected.csv");
    assert_eq!(rejected.lines().count(), 3001);
    let mut lines = rejected.lines();
    assert_eq!(lines.next(), Some("error_code,error_description,number,state"));
    let first = "UNKNOWN_STATE,\"state: not one of ACTIVE, SUSPENDED, TERMINATED\",A0,OPEN";
    assert_eq!(lines.next(), Some(first));
    assert_eq!(lines.last(), Some(first.replace("A0", "A8997").as_str()));

    acme.load("accounts_receivable", rejected.replace(",OPEN", ",active")).assert(0, &counts(3000, 0, 0, 0), "");
}

async fn what_is_not_mended_is_rejected_again(setup: Setup) {
    let acme = Importer::new(setup);
    let file = "name,code\n\"Shop, \"\"big\"\"\",\nOne\nx,B1,y\n\"Two,B2\nThree,B3\"\nFour,B4,\"\n\"\nFive,B5\n";
    let ended = acme.load_with("business_units", file, &REJECTED);
    assert_eq!((ended.code, ended.counts()), (Some(1), counts(2, 0, 0, 6).as_str()));
    let quote = |line: u64| {
        format!(
            "\"a quote that begins here takes 2 lines, to line {line}; those after this one are read as rows of their own\""
        )
    };
    let rows = [
        "error_code,error_description,name,code",
        "MISSING,code: missing,\"Shop, \"\"big\"\"\",",
        "CELL_COUNT,1 cells where the header has 2,One",
        "CELL_COUNT,3 cells where the header has 2,x,B1,y",
        &format!("OPEN_QUOTE,{},\"\"\"Two,B2\"", quote(6)),
        &format!("OPEN_QUOTE,{},\"Four,B4,\"\"\"", quote(8)),
        "OPEN_QUOTE,a quote on this line does not end on it,\"\"\"\"",
    ];
    assert_eq!(acme.read("rejected.csv").lines().collect::<Vec<_>>(), rows);
    // The columns for errors count neither as columns of the kind nor twice.
    let again = acme.load_with("business_units", acme.read("rejected.csv"), &["--rejected", "again.csv"]);
    assert_eq!((again.code, again.counts()), (Some(1), counts(0, 0, 0, 6).as_str()));
    let again = acme.read("again.csv");
    let again: Vec<&str> = again.lines().collect();
    assert_eq!(again[..2], rows[..2]);
    assert_eq!(again[2], "CELL_COUNT,3 cells where the header has 4,One");
    assert_eq!(again[4], "CELL_COUNT,3 cells where the header has 4,\"\"\"Two,B2\"");

    let ended = acme.load_with("accounts_receivable", "number\nA1\n\"A2\nA3\n\"A4\n", &REJECTED);
    assert_eq!((ended.code, ended.counts()), (Some(1), counts(2, 0, 0, 2).as_str()));
    let again = acme.load("accounts_receivable", acme.read("rejected.csv"));
    assert_eq!((again.code, again.counts()), (Some(1), counts(0, 0, 0, 2).as_str()));
}

async fn rejected_rows_keep_the_delimiter_and_the_byte_order_mark(setup: Setup) {
    let acme = Importer::new(setup);
    for (file, begin) in [
        ("\u{feff}code;name\r\n;Café\r\n".as_bytes().to_vec(), "\u{feff}"),
        ("code;name\n;Café\n".as_bytes().to_vec(), ""),
        ("\u{feff}code;name\n;Café\n".encode_utf16().flat_map(u16::to_be_bytes).collect(), "\u{feff}"),
    ] {
        acme.load_with("business_units", file, &REJECTED);
        let expected = format!("{begin}error_code;error_description;code;name\r\nMISSING;code: missing;;Café\r\n");
        assert_eq!(acme.read("rejected.csv"), expected);
    }
}

async fn rejected_lines_of_ndjson_stay_lines_of_ndjson(setup: Setup) {
    let acme = Importer::new(setup);
    let file = "{\"code\":\"B1\"}\n{\"name\":\"Café\"}\n{ \"code\":\"B2\", \"size\":123456789012345678901234567890 }\n\
                {\"code\":\"B3\"\n[]\n{}\n";
    let ended = acme.load_with("business_units", file, &["--rejected", "rejected.ndjson"]);
    assert_eq!((ended.code, ended.counts()), (Some(1), counts(1, 0, 0, 5).as_str()));
    let rejected = acme.read("rejected.ndjson");
    let lines: Vec<&str> = rejected.lines().collect();
    let error = |code: &str, text: &str| format!("{{\"error_code\":\"{code}\",\"error_description\":\"{text}\"");
    let expected = [
        format!("{},\"name\":\"Café\"}}", error("MISSING", "code: missing")),
        format!(
            "{},\"code\":\"B2\",\"size\":123456789012345678901234567890}}",
            error("UNKNOWN_COLUMN", "\\\"size\\\": no such column")
        ),
        format!("{},\"code\":\"B3\"", error("NOT_AN_OBJECT", "not a JSON object (column 12)")),
        format!("{},[]", error("NOT_AN_OBJECT", "not a JSON object")),
        format!("{}}}", error("MISSING", "code: missing")),
    ];
    assert_eq!(lines, expected);
    let mended = format!("{}\n{}}}\n", lines[0].replace("\"name\"", "\"code\":\"B4\",\"name\""), lines[2]);
    let ended = acme.load_with("business_units", mended, &["--rejected", "rejected.ndjson"]);
    ended.assert(0, &counts(2, 0, 0, 0), "");
}

async fn the_file_of_rejected_rows_is_for_its_owner_and_gone_where_none_was(setup: Setup) {
    let acme = Importer::new(setup);
    acme.load_with("business_units", "code,name\n,x\n", &REJECTED);
    let path = acme.workplace.path("rejected.csv");
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
    acme.load_with("business_units", "code,name\nB1,x\n", &REJECTED).assert(0, &counts(1, 0, 0, 0), "");
    assert!(!path.exists());
    let ended = acme.load_with("business_units", "code\nB2\n", &["--rejected", "nowhere/rejected.csv"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with("error: nowhere/rejected.csv cannot be written: "), "{ended:?}");
    acme.load("business_units", "code\nB2\n").assert(0, &counts(1, 0, 0, 0), "");
}

async fn rejected_rows_are_never_written_over_the_file_that_is_imported(setup: Setup) {
    let acme = Importer::new(setup);
    let file = "code,name\n,x\nB1,y\n";
    for other in ["rows.csv", "./rows.csv"] {
        let ended = acme.load_with("business_units", file, &["--rejected", other]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
        assert!(ended.stderr.contains("is the file that is imported"), "{ended:?}");
        assert_eq!(acme.read("rows.csv"), file);
    }
}

async fn a_summary_says_how_many_rows_failed_for_each_reason_and_what_helps(setup: Setup) {
    let acme = Importer::new(setup);
    let mut file = "number,accounts_receivable_number,state\n".to_owned();
    file.extend((0..2998).map(|n| format!("R{n},A{n},\n")));
    file.push_str("R1,,\nR2,A1,DEAD\n");
    let ended = acme.load("rewards_participants", file);
    assert_eq!((ended.code, ended.counts()), (Some(1), counts(0, 0, 0, 3000).as_str()));
    ended.assert_says(&[
        "and 2000 more: --rejected FILE writes all of them",
        "rejected rows by reason:",
        "2998 × accounts_receivable_number: no such account receivable: import accounts_receivable first",
    ]);
    ended.assert_says(&["1 × state: no such state: write EFFECTIVE, NOT_EFFECTIVE"]);
    ended.assert_says(&["1 × accounts_receivable_number: missing: a new row needs it"]);
}
