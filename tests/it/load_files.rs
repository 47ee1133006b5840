//! What files of events may be like, and what their rows become; `load --check` tells it without a server.

use std::fs;

use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

use crate::support::{Ended, Setup, Workplace, gzip, leaves, tests};

tests! {
    Once:
        csv_is_read_however_it_was_saved,
        objects_become_what_rows_of_csv_become,
        a_files_own_names_are_mapped,
        dates_are_read_in_the_form_and_the_zone_of_the_file,
        a_hash_names_the_same_row_in_any_file,
        the_template_and_the_attributes_are_those_of_the_contract,
        secrets_are_not_shown,
        the_check_is_a_table_for_people,
        cells_are_read_as_they_were_written;
}

/// What the rows of a file become.
fn check(name: &str, bytes: impl AsRef<[u8]>, options: &[&str]) -> (Vec<Value>, Ended) {
    let workplace = Workplace::new();
    fs::write(workplace.path(name), bytes).expect("a file");
    let ended = workplace.run(&[&["load", "--check", "--json", name], options].concat());
    let rows = ended.objects().into_iter().filter(|row| row["line"].is_number()).collect();
    (rows, ended)
}

/// The events of a file that has no other rows.
#[track_caller]
fn events(name: &str, bytes: impl AsRef<[u8]>, options: &[&str]) -> Vec<Value> {
    let (rows, ended) = check(name, bytes, options);
    assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
    rows.into_iter().map(|row| row["event"].clone()).collect()
}

const ROWS: &str = "performed_on;description;udf_float_1\r\n2016-06-22T15:00:00;Café, \"au\" lait;1.5\r\n\r\n;;\r\n2016-06-23T15:00:00;\"Été; pluie\";\r\n";

fn expected() -> Vec<Value> {
    vec![
        json!({"request_unique_identifier": "1", "performed_on": "2016-06-22T15:00:00Z", "description": "Café, \"au\" lait", "udf_float_1": "1.5"}),
        json!({"request_unique_identifier": "2", "performed_on": "2016-06-23T15:00:00Z", "description": "Été; pluie"}),
    ]
}

async fn csv_is_read_however_it_was_saved(_: Setup) {
    let utf16: Vec<u8> = "\u{feff}".encode_utf16().chain(ROWS.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let latin: Vec<u8> = ROWS.chars().map(|c| u8::try_from(u32::from(c)).expect("latin")).collect();
    let plain = ROWS.as_bytes().to_vec();
    let told = format!("sep=|\n{}", ROWS.replace(';', "|"));
    let packed = zstd::encode_all(ROWS.as_bytes(), 3).expect("a text");
    let cases: [(&str, Vec<u8>, &[&str]); 10] = [
        ("rows.csv", plain.clone(), &[]),
        ("rows.csv", format!("\u{feff}{ROWS}").into_bytes(), &[]),
        ("rows.csv", ROWS.replace("\r\n", "\n").into_bytes(), &[]),
        ("rows.csv", told.into_bytes(), &[]),
        ("rows.csv", ROWS.replace(';', "^").into_bytes(), &["--delimiter", "^"]),
        ("rows.csv", utf16, &[]),
        ("rows.csv", latin, &["--encoding", "windows-1252"]),
        ("rows.csv.gz", gzip(&plain), &[]),
        ("rows.csv.zst", packed, &[]),
        // What it is counts, and not what it is called.
        ("rows", gzip(&plain), &[]),
    ];
    for (name, bytes, options) in cases {
        // The delimiter in a text is another one where all of them were replaced.
        let mut expected = expected();
        for delimiter in ["|", "^"] {
            if String::from_utf8_lossy(&bytes).contains(&format!("Été{delimiter}")) {
                expected[1]["description"] = json!(format!("Été{delimiter} pluie"));
            }
        }
        assert_eq!(events(name, bytes, options), expected, "{name} {options:?}");
    }
    let tabs = ROWS.replace("; pluie", " pluie").replace(';', "\t");
    for options in [&[][..], &["--delimiter", "tab"]] {
        assert_eq!(events("rows.tsv", &tabs, options).len(), 2);
    }
    let input = Workplace::new().run_with_input(&["load", "--check", "--json", "-"], ROWS);
    assert_eq!(input.objects().into_iter().filter(|row| row["line"].is_number()).count(), 2, "{input:?}");
}

async fn objects_become_what_rows_of_csv_become(_: Setup) {
    let event = json!({
        "performed_on": "2016-06-22T15:00:00", "description": "a [\"brace\"] } of text", "udf_float_1": 1.50,
        "referred_rewards_participant_identifier": {"number": 18, "id": null},
        "udf_string_1": true, "udf_string_2": "", "error_code": "NOT_A_DATE",
    });
    let expected = json!({
        "performed_on": "2016-06-22T15:00:00Z", "description": "a [\"brace\"] } of text", "udf_float_1": "1.5",
        "referred_rewards_participant_identifier.number": "18", "udf_string_1": "true",
        "request_unique_identifier": "1",
    });
    let other = json!({"request_unique_identifier": "x", "description": "y"});
    let body = json!({"fields_set": ["id"], "referral_customer_events_set": [event, other], "token": "t"});
    let files = [
        format!("{event}\n\n{other}\n"),
        format!("\n  {event}\r\n{other}"),
        body.to_string(),
        format!("{body:#}\n"),
        json!([event, other]).to_string(),
        format!("{:#}", json!({"token": "t", "referral_customer_events_set": [event, other]})),
    ];
    for file in files {
        assert_eq!(events("rows.json", &file, &[]), [expected.clone(), other.clone()], "{file}");
    }
    let packed = gzip(body.to_string().as_bytes());
    assert_eq!(events("rows.json.gz", packed, &[]), [expected, other]);
    // The lines of a body are those on which its events begin.
    let (rows, _) = check("rows.json", "{\"referral_customer_events_set\": [\n{},\n {\n}, [1],\n5]}", &[]);
    let lines: Vec<&Value> = rows.iter().map(|row| &row["line"]).collect();
    assert_eq!(lines, [2, 3, 4, 5]);
}

async fn a_files_own_names_are_mapped(_: Setup) {
    let workplace = Workplace::new();
    let file = "Kunde;Wann;Egal;a=b\n18;22.06.2016;x;y\n";
    let map = "\"Kunde\" = \"referred_rewards_participant_identifier.number\"\n\"egal\" = \"\"\n";
    fs::write(workplace.path("rows.csv"), file).expect("a file");
    fs::write(workplace.path("map.toml"), map).expect("a file");
    let ended = workplace.run(&[
        "load",
        "--check",
        "--json",
        "rows.csv",
        "--map",
        "map.toml",
        "--column",
        "WANN=performed_on",
        "--column",
        "a=b=description",
        "--set",
        "performed_by_unit_identifier.name=Web = Shop",
        "--date-format",
        "%d.%m.%Y",
    ]);
    let objects = ended.objects();
    assert_eq!(
        objects[..4],
        [
            json!({"column": "Kunde", "attributes": ["referred_rewards_participant_identifier.number"]}),
            json!({"column": "Wann", "attributes": ["performed_on"]}),
            json!({"column": "Egal", "attributes": []}),
            json!({"column": "a=b", "attributes": ["description"]}),
        ]
    );
    let expected = json!({
        "referred_rewards_participant_identifier.number": "18", "performed_on": "2016-06-22T00:00:00Z",
        "description": "y", "performed_by_unit_identifier.name": "Web = Shop", "request_unique_identifier": "1",
    });
    assert_eq!(objects[4], json!({"line": 2, "event": expected}));
    // What is passed over may be whatever it is.
    let ndjson = "{\"kunde\": {\"nummer\": 18}, \"Egal\": [1]}\n";
    let rows = events("rows.ndjson", ndjson, &["--column", "kunde.nummer=udf_string_1", "--column", "Egal="]);
    assert_eq!(rows, [json!({"udf_string_1": "18", "request_unique_identifier": "1"})]);
}

async fn dates_are_read_in_the_form_and_the_zone_of_the_file(_: Setup) {
    let athens = ["--time-zone", "Europe/Athens"];
    let forms = ["--date-format", "%d/%m/%Y %H:%M"];
    let both = [&forms[..], &athens[..]].concat();
    let twelve = ["--date-format", "%m/%d/%y %I:%M %p"];
    let cases: [(&[&str], &str, Result<&str, &str>); 15] = [
        (&[], "2016-06-22T15:00:00+02:00", Ok("2016-06-22T13:00:00Z")),
        (&athens, "2016-06-22T15:00:00", Ok("2016-06-22T12:00:00Z")),
        (&athens, "2016-12-22T15:00:00", Ok("2016-12-22T13:00:00Z")),
        (&athens, "2016-06-22T15:00:00Z", Ok("2016-06-22T15:00:00Z")),
        (&forms, "22/06/2016 15:00", Ok("2016-06-22T15:00:00Z")),
        (&both, "22/06/2016 15:00", Ok("2016-06-22T12:00:00Z")),
        // Of two moments that the clock shows, the first; of those that it passes over, none.
        (&both, "30/10/2016 03:30", Ok("2016-10-30T00:30:00Z")),
        (&both, "27/03/2016 03:30", Err("clocks in Europe/Athens were set forward past \"27/03/2016 03:30\"")),
        (&["--date-format", "%Y%m%d"], "20160622", Ok("2016-06-22T00:00:00Z")),
        (&twelve, "06/22/16 03:00 PM", Ok("2016-06-22T15:00:00Z")),
        (&["--date-format", "%s"], "1466607600", Ok("2016-06-22T15:00:00Z")),
        (&["--date-format", "%Y-%m-%d %H:%M:%S %z"], "2016-06-22 15:00:00 +0200", Ok("2016-06-22T13:00:00Z")),
        (&forms, "06/22/2016 15:00", Err("\"06/22/2016 15:00\" is not a date like %d/%m/%Y %H:%M")),
        (&forms, "31/02/2016 15:00", Err("\"31/02/2016 15:00\" is not a date like %d/%m/%Y %H:%M")),
        (&[], "22.6.2016", Err("\"22.6.2016\" is not a date and time like 2016-06-22T15:00:00")),
    ];
    for (options, given, expected) in cases {
        let (rows, ended) = check("rows.csv", format!("performed_on\n{given}\n"), options);
        match expected {
            Ok(moment) => assert_eq!(rows[0]["event"]["performed_on"], moment, "{options:?} {given}: {ended:?}"),
            Err(reason) => {
                assert_eq!(rows[0]["error_code"], "NOT_A_DATE", "{options:?} {given}: {rows:?}");
                let told = rows[0]["error_description"].as_str().expect("a sentence");
                assert!(told.starts_with(&format!("performed_on: {reason}")), "{options:?} {given}: {told}");
            }
        }
    }
}

async fn a_hash_names_the_same_row_in_any_file(_: Setup) {
    let hash = ["--reference-from", "hash"];
    let reference = |file: &str, bytes: &str, options: &[&str]| {
        let events = events(file, bytes, &[&hash[..], options].concat());
        let reference = |event: &Value| event["external_system_reference_number"].as_str().expect("a text").to_owned();
        events.iter().map(reference).collect::<Vec<_>>()
    };
    let rows = reference("rows.csv", "performed_on,description\n2016-06-22T15:00:00,x\n2016-06-22T15:00:00,y\n", &[]);
    assert!(rows[0] != rows[1] && rows.iter().all(|hash| hash.len() == 32), "{rows:?}");
    // Whatever the order of columns, the row's number and the format.
    let own = ["--column", "A=description", "--column", "B=performed_on", "--date-format", "%Y/%m/%d %H"];
    let others = [
        reference("rows.csv", "description;performed_on\ny;2016-06-22T15:00:00\nx;2016-06-22T17:00:00+02:00\n", &[]),
        reference("rows.csv", "B\tA\n2016/06/22 15\ty\n2016/06/22 15\tx\n", &own),
        reference(
            "rows.json",
            "[{\"description\":\"y\",\"performed_on\":\"2016-06-22T15:00:00\"},\
             {\"performed_on\":\"2016-06-22T15:00:00Z\",\"description\":\"x\",\"request_unique_identifier\":\"z\"}]",
            &[],
        ),
    ];
    for other in others {
        assert_eq!([&other[1], &other[0]], [&rows[0], &rows[1]]);
    }
    let column = ["--reference-from", "request_unique_identifier", "--set", "external_system=Shop"];
    let events = events("rows.csv", "request_unique_identifier\n17\n", &column);
    let expected = json!({
        "request_unique_identifier": "17", "external_system": "Shop", "external_system_reference_number": "17",
    });
    assert_eq!(events, [expected]);
}

async fn the_template_and_the_attributes_are_those_of_the_contract(_: Setup) {
    let workplace = Workplace::new();
    let printed = workplace.run_well(&["load", "--attributes"], "").stdout;
    let printed: Vec<&str> = printed.lines().filter_map(|line| line.split(' ').next()).collect();
    let expected: Vec<String> = leaves().into_iter().map(|(path, _)| path).collect();
    assert_eq!(printed, expected);
    let template = workplace.run_well(&["load", "--template"], "").stdout;
    assert_eq!(events("rows.csv", template, &[]).len(), 1);
}

async fn secrets_are_not_shown(_: Setup) {
    let path = "referred_rewards_participant_identifier.access_token_identifier";
    let file = format!("{path}.one_time_password,{path}.identifier\nopensesame,ann\n");
    for options in [&[][..], &["--json"]] {
        let workplace = Workplace::new();
        fs::write(workplace.path("rows.csv"), &file).expect("a file");
        let ended = workplace.run(&[&["load", "--check", "rows.csv"], options].concat());
        assert!(ended.stdout.contains("(secret)") && ended.stdout.contains("ann"), "{ended:?}");
        assert!(!format!("{ended:?}").contains("opensesame"), "{ended:?}");
    }
    // Nor can they be found out by a hash that everybody sees.
    let (_, ended) = check("rows.csv", file, &["--reference-from", "hash"]);
    assert_eq!(ended.code, Some(2));
    let (rows, _) = check(
        "rows.ndjson",
        "{\"referred_rewards_participant_identifier\":{\"access_token_identifier\":{\"pass_code\":\"opensesame\"}}}",
        &["--reference-from", "hash"],
    );
    assert_eq!(rows[0]["error_code"], "SECRET_IN_HASH");
}

async fn the_check_is_a_table_for_people(_: Setup) {
    let workplace = Workplace::new();
    let file = "Kunde;Wann\n18;22.06.2016 15:00\n19;\n20;22.6.\n";
    fs::write(workplace.path("rows.csv"), file).expect("a file");
    let options = ["--column", "Kunde=referred_accounts_receivable_identifier.number", "--column", "Wann=performed_on"];
    let ended =
        workplace.run(&[&["load", "--check", "rows.csv", "--date-format", "%d.%m.%Y %H:%M"], &options[..]].concat());
    assert_eq!(
        ended.stdout,
        "Kunde  referred_accounts_receivable_identifier.number\n\
         Wann   performed_on\n\
         \n\
         line  request_unique_identifier  Wann                  Kunde\n\
         2     1                          2016-06-22T15:00:00Z  18\n\
         3     2                          -                     19\n\
         \n\
         line 4: NOT_A_DATE: performed_on: \"22.6.\" is not a date like %d.%m.%Y %H:%M\n\
         \n\
         3 rows looked at, 1 of them no events\n"
    );
    assert_eq!(ended.code, Some(3));
}

/// A cell as any program quotes it: where it must be, and where it need not.
fn quoted(cell: &str, always: bool) -> String {
    let must = cell.contains(['"', ';', '\n', '\r']);
    if must || always { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

async fn cells_are_read_as_they_were_written(_: Setup) {
    // Of blanks at their ends cells are cut; a line in them that could be a row makes a quote suspect.
    let cell = "[a-c\"é,|]{0,3}(\n?[a-c\" é,]{1,3}){0,2}";
    let row = (cell, cell, prop::bool::ANY, prop::bool::ANY);
    let rows = prop::collection::vec(row, 1..40);
    let end = prop_oneof![Just("\n"), Just("\r\n"), Just("\r")];
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() });
    let outcome = runner.run(&(rows, end), |(rows, end)| {
        let mut file = format!("udf_string_1;udf_string_2;udf_string_3{end}");
        let mut expected = Vec::new();
        for (first, second, quotes_first, quotes_second) in &rows {
            let number = expected.len() + 1;
            file += &format!("{number};{};{}{end}", quoted(first, *quotes_first), quoted(second, *quotes_second));
            let mut event =
                json!({"request_unique_identifier": number.to_string(), "udf_string_1": number.to_string()});
            for (name, cell) in [("udf_string_2", first), ("udf_string_3", second)] {
                if !cell.trim().is_empty() {
                    event[name] = json!(cell.trim());
                }
            }
            expected.push(event);
        }
        prop_assert_eq!(events("rows.csv", file, &[]), expected);
        Ok(())
    });
    outcome.expect("cells as they were");
}
