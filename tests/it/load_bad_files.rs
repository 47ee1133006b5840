//! Files that cannot be loaded as they are: each is answered with a sentence that mends it.

use std::fs;

use serde_json::Value;

use crate::support::{Ended, Setup, Workplace, gzip, tests};

tests! {
    Once:
        a_header_that_is_no_header_of_events_is_refused_with_what_mends_it,
        a_command_that_means_nothing_is_refused_with_what_would,
        a_row_that_is_no_event_is_told_with_its_line_and_stops_nothing,
        an_open_quote_takes_no_line_but_its_own,
        a_file_that_cannot_be_read_on_tells_what_comes_before,
        a_line_of_any_length_takes_no_memory;
}

fn check(bytes: impl AsRef<[u8]>, options: &[&str]) -> Ended {
    let workplace = Workplace::new();
    fs::write(workplace.path("rows.csv"), bytes).expect("a file");
    workplace.run(&[&["load", "--check", "rows.csv"], options].concat())
}

/// The lines of the rows that are no events, each with its code; the others are events.
fn faults(bytes: impl AsRef<[u8]>, options: &[&str]) -> Vec<(u64, String)> {
    let ended = check(bytes, &[&["--json"], options].concat());
    let rows = ended.objects();
    let fault = |row: &Value| Some((row["line"].as_u64()?, row["error_code"].as_str().unwrap_or("event").to_owned()));
    rows.iter().filter_map(fault).collect()
}

async fn a_header_that_is_no_header_of_events_is_refused_with_what_mends_it(_: Setup) {
    let cases: [(&str, &[&str], &str); 13] = [
        ("", &[], "the file is empty"),
        ("\n\n", &[], "the file is empty"),
        (
            "preformed_on,description\n",
            &[],
            "line 1: the column \"preformed_on\": an event has no attribute \"preformed_on\"; performed_on is probably \
             meant. Say what it is with --column 'preformed_on=ATTRIBUTE' (load --attributes has them), or pass over it \
             with --column 'preformed_on='",
        ),
        (
            "performed_on,referred_rewards_participant_identifier\n",
            &[],
            "referred_rewards_participant_identifier has attributes, and no value of its own: say which, of \
             referred_rewards_participant_identifier.id, referred_rewards_participant_identifier.number, ",
        ),
        ("performed_on^description\n", &[], "a delimiter other than , ; and tab is told by --delimiter"),
        ("performed_on,Performed_On\n", &[], "the columns \"performed_on\" and \"Performed_On\" are both performed_on"),
        (
            "performed_on\n",
            &["--set", "performed_on=2016-06-22T15:00:00"],
            "the column \"performed_on\" is performed_on, which --set gives too: leave one out",
        ),
        (
            "performed_on,description\n",
            &["--column", "Kunde=udf_string_1"],
            "the file has no column \"Kunde\"; it has \"performed_on\", \"description\"",
        ),
        (
            "performed_on\n",
            &["--reference-from", "number"],
            "the file has no column \"number\"; it has \"performed_on\"",
        ),
        (
            "performed_on,number\n",
            &["--reference-from", "number"],
            "numbers of a column are numbers of some system: say which with --set external_system=NAME",
        ),
        (
            "external_system_reference_number\n",
            &["--reference-from", "hash"],
            "the file has external_system_reference_number itself: leave --reference-from out",
        ),
        ("PK\x03\x04", &[], "a workbook (.xlsx or .ods), or another zip archive"),
        (
            "{\"validate_only\": true, \"referral_customer_events_set\": []}",
            &[],
            "the file asks for validate_only, which no load does from a file: leave it out, and say --dry-run",
        ),
    ];
    for (file, options, sentence) in cases {
        let ended = check(file, options);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{file:?}: {ended:?}");
        assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains(sentence), "{file:?}: {ended:?}");
    }
}

async fn a_command_that_means_nothing_is_refused_with_what_would(_: Setup) {
    let cases: [(&[&str], &str); 10] = [
        (&["--column", "Kunde"], "it takes NAME=ATTRIBUTE"),
        (&["--set", "performed_on="], "it takes ATTRIBUTE=VALUE"),
        (&["--time-zone", "Europe/Athen"], "Europe/Athens is probably meant"),
        (&["--delimiter", "::"], "it takes one character of ASCII, or tab"),
        (&["--encoding", "ebcdic"], "the encoding is one of"),
        (&["--date-format", "%d/%Q"], "\"%d/%Q\" is no form of dates; one is %d/%m/%Y %H:%M"),
        (&["--column", "Kunde=descripton"], "an event has no attribute \"descripton\"; description is probably meant"),
        (&["--set", "udf_float_1=many"], "--set udf_float_1: udf_float_1: \"many\" is not a number like 12.5"),
        (&["--map", "nowhere.toml"], "nowhere.toml: cannot be read: "),
        (&["--username", "ann"], "--organisation"),
    ];
    for (options, sentence) in cases {
        let ended = check("performed_on\n", options);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{options:?}: {ended:?}");
        assert!(ended.stderr.contains(sentence), "{options:?}: {ended:?}");
    }
    let workplace = Workplace::new();
    let ended = workplace.run(&["load", "nowhere.csv"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.starts_with("error: nowhere.csv cannot be read: "), "{ended:?}");
    fs::write(workplace.path("map.toml"), "a.b = \"description\"\n").expect("a file");
    fs::write(workplace.path("rows.csv"), "a.b\n").expect("a file");
    let ended = workplace.run(&["load", "--check", "rows.csv", "--map", "map.toml"]);
    assert!(ended.stderr.contains("map.toml: a is no text; a line is \"NAME\" = \"ATTRIBUTE\""), "{ended:?}");
    // Nobody who has no token is asked for a server.
    fs::write(workplace.path("rows.csv"), "performed_on\n2016-06-22T15:00:00\n").expect("a file");
    let ended = workplace.run(&["load", "rows.csv"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("there is no token: give one in REFERRAL_EVENTS_TOKEN or --token-file"), "{ended:?}");
}

async fn a_row_that_is_no_event_is_told_with_its_line_and_stops_nothing(_: Setup) {
    let file = b"performed_on,udf_float_1,description\n\
        2016-06-22T15:00:00,1,x\n\
        22.6.2016,1,x\n\
        2016-06-22T15:00:00,many,x\n\
        2016-06-22T15:00:00,1,x,y\n\
        2016-06-22T15:00:00,1\n\
        2016-06-22T15:00:00,1,caf\xe9\n\
        2016-06-22T15:00:00,1,\"two\n\nlines\"\n\
        2016-06-22T15:00:00,2,x\n";
    let codes = ["event", "NOT_A_DATE", "NOT_A_NUMBER", "CELL_COUNT", "CELL_COUNT", "WRONG_ENCODING", "event", "event"];
    let expected: Vec<(u64, String)> = [2, 3, 4, 5, 6, 7, 8, 11].into_iter().zip(codes.map(str::to_owned)).collect();
    assert_eq!(faults(file, &[]), expected);
    assert_eq!(check(file, &[]).code, Some(3));

    let file = "{\"performed_on\": \"2016-06-22T15:00:00\"}\n\
        {\"performed_on\": \"22.6.2016\"}\n\
        {\"performed_on\": \n\
        [1]\n\
        {\"perform\": 1}\n\
        {\"description\": [1]}\n\
        {\"description\": \"x\", \"description\": \"y\"}\n\
        {\"classification_identifier\": 5}\n";
    let codes = [
        "event",
        "NOT_A_DATE",
        "NOT_AN_OBJECT",
        "NOT_AN_OBJECT",
        "UNKNOWN_ATTRIBUTE",
        "WRONG_TYPE",
        "REPEATED_ATTRIBUTE",
        "UNKNOWN_ATTRIBUTE",
    ];
    let of_lines: Vec<(u64, String)> = (1..).zip(codes.map(str::to_owned)).filter(|(line, _)| *line != 4).collect();
    // A file that begins with an array is an array of events, so this one begins with an object.
    assert_eq!(faults(file.replace("[1]\n{", "\n{"), &[]), of_lines);
}

async fn an_open_quote_takes_no_line_but_its_own(_: Setup) {
    let row = "2016-06-22T15:00:00,x\n";
    let stray = "2016-06-22T15:00:00,\"x\n";
    // In the middle, where another quote ends it, and at the end, where nothing does.
    for (file, bad) in [
        (format!("{row}{stray}{row}{stray}{row}"), vec![3, 5]),
        (format!("{row}{stray}{row}{row}"), vec![3]),
        (format!("{row}{}", stray.trim_end()), vec![3]),
    ] {
        let expected: Vec<(u64, String)> = (2..=1 + file.lines().count() as u64)
            .map(|line| (line, if bad.contains(&line) { "OPEN_QUOTE" } else { "event" }.to_owned()))
            .collect();
        assert_eq!(faults(format!("performed_on,description\n{file}"), &[]), expected, "{file}");
    }
    // Of so many lines that no row has as many bytes.
    let file = format!("performed_on,description\n{stray}{}", row.repeat(100_000));
    let found = faults(file, &[]);
    assert_eq!(found[0], (2, "OPEN_QUOTE".to_owned()));
    assert!(found.len() == 1000 && found[1..].iter().all(|(_, code)| code == "event"), "{:?}", &found[..3]);
}

async fn a_file_that_cannot_be_read_on_tells_what_comes_before(_: Setup) {
    let body = "{\"referral_customer_events_set\": [{\"description\": \"x\"},\n{\"description\": \"y\"},\n{\"descr";
    let ended = check(body, &[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("2 rows looked at"), "{ended:?}");
    assert!(ended.stderr.contains("the file cannot be read on: ") && ended.stderr.contains("line 3"), "{ended:?}");
    // A file of which the end is missing, packed.
    let rows = (0..20_000).map(|n| format!("{{\"description\": \"{n}\"}}\n")).collect::<String>();
    let packed = gzip(rows.as_bytes());
    let ended = check(&packed[..packed.len() / 20], &[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("the file cannot be read on: "), "{ended:?}");
}

async fn a_line_of_any_length_takes_no_memory(_: Setup) {
    for length in [1 << 20, 1_500_000, 2_000_000, 5 << 20] {
        let long = "x".repeat(length);
        let file = format!("performed_on,description\n2016-06-22T15:00:00,{long}\n2016-06-22T15:00:00,x\n");
        assert_eq!(faults(&file, &[]), [(2, "ROW_TOO_LONG".to_owned()), (3, "event".to_owned())], "{length}");
        let last = file.split_inclusive('\n').take(2).collect::<String>();
        assert_eq!(faults(last, &[]), [(2, "ROW_TOO_LONG".to_owned())], "{length}");
    }
    let long = "x".repeat(5 << 20);
    let file = format!("{{\"description\": \"{long}\"}}\n{{\"description\": \"x\"}}\n");
    assert_eq!(faults(file, &[]), [(1, "ROW_TOO_LONG".to_owned()), (2, "event".to_owned())]);
    let file = format!("[{{\"description\": \"x\"}},\n{{\"description\": \"{long}\"}}]");
    let ended = check(file, &[]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("what is before line 2 is longer than 1048576 bytes"), "{ended:?}");
}
