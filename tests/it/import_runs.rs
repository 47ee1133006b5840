//! How an import runs and ends: without writing, stopped, in parts; and what helps before it.

use std::io::{Read, Write};

use crate::support::{Importer, Setup, counts, signal, tests};

tests! {
    NoCalls:
        a_dry_run_says_what_would_become_of_the_rows_and_writes_nothing,
        a_dry_run_sees_what_earlier_rows_would_have_written,
        an_import_that_is_told_to_stop_says_how_many_rows_are_in,
        rows_that_change_nothing_are_unchanged,
        a_row_that_is_told_twice_is_named_with_the_line_of_the_first,
        the_template_of_every_kind_can_be_imported,
        the_columns_of_a_kind_are_told_without_a_database;
}

fn accounts(name: &str, count: usize) -> String {
    let rows: String = (0..count).map(|n| format!("{name}{n}\n")).collect();
    format!("number\n{rows}")
}

async fn a_dry_run_says_what_would_become_of_the_rows_and_writes_nothing(setup: Setup) {
    let acme = Importer::new(setup);
    acme.load("accounts_receivable", "number,state\nA1,ACTIVE\nA2,ACTIVE\n");
    let file = "number,state\nA1,ACTIVE\nA2,SUSPENDED\nA3,ACTIVE\nA4,OPEN\n";
    let options = ["--dry-run", "--rejected", "rejected.csv"];
    let ended = acme.load_with("accounts_receivable", file, &options);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.counts(), format!("dry run, nothing was written: {}", counts(1, 1, 1, 1)));
    ended.assert_says(&["line 5: state: not one of ACTIVE, SUSPENDED, TERMINATED"]);
    assert!(acme.read("rejected.csv").contains(",A4,OPEN"));
    // The same again, and in earnest.
    assert_eq!(acme.load_with("accounts_receivable", file, &options).counts(), ended.counts());
    assert_eq!(acme.load("accounts_receivable", file).counts(), counts(1, 1, 1, 1));
    let well = acme.load_with("accounts_receivable", "number\nA5\n", &["--dry-run"]);
    well.assert(0, &format!("dry run, nothing was written: {}", counts(1, 0, 0, 0)), "");
}

async fn a_dry_run_sees_what_earlier_rows_would_have_written(setup: Setup) {
    let acme = Importer::new(setup);
    // The last row is of another batch than the first, whose id it changes.
    let mut file = "id,code\n".to_owned();
    file.extend((0..9000).map(|n| format!("b{n},B{n}\n")));
    file.push_str("b1,B0\nb0,X\nb1,B0\n");
    let expected = counts(9000, 2, 0, 1);
    let dry = acme.load_with("business_units", &file, &["--dry-run"]);
    assert_eq!(dry.counts(), format!("dry run, nothing was written: {expected}"));
    assert_eq!(acme.load("business_units", &file).counts(), expected);
}

async fn an_import_that_is_told_to_stop_says_how_many_rows_are_in(setup: Setup) {
    let acme = Importer::new(setup);
    for told in ["INT", "TERM"] {
        let mut import = acme.begin("accounts_receivable");
        let mut input = import.stdin.take().expect("an input");
        // Two batches are full, and the import waits for more input once they are in.
        input.write_all(accounts(told, 9000).as_bytes()).expect("room");
        let last = format!("number\n{told}7999\n");
        while !acme.load_with("accounts_receivable", &last, &["--dry-run"]).stdout.contains("unchanged 1") {}
        signal(told, &[import.id()]);
        let (mut stdout, mut stderr) = (String::new(), String::new());
        import.stdout.take().expect("an output").read_to_string(&mut stdout).expect("a text");
        import.stderr.take().expect("an output").read_to_string(&mut stderr).expect("a text");
        assert_eq!(import.wait().expect("an end").code(), Some(130));
        drop(input);
        let says = "of the first 8000 rows of the file 8000 are in and 0 were rejected; the rest is not in. To go on, \
                    import the whole file again: rows that are in already count as unchanged\n";
        assert!(stderr.ends_with(says), "{stderr}");
        assert_eq!(stdout.lines().last(), Some(counts(8000, 0, 0, 0).as_str()));
        acme.load("accounts_receivable", accounts(told, 9000)).assert(0, &counts(1000, 0, 8000, 0), "");
    }
}

async fn rows_that_change_nothing_are_unchanged(setup: Setup) {
    let acme = Importer::new(setup);
    for (kind, file, other) in [
        ("business_units", "id,code,name\nb1,BU1,Shop\n", "id,code,name\nb1,BU2,Shop\n"),
        ("business_units", "id,code,name\nb1,BU1,\n", "code,name\nBU1,Shop\n"),
        ("units", "alternative_code,business_unit_code\nU1,BU1\n", "alternative_code,business_unit_code\nU1,\n"),
        ("taps", "code,business_unit_code,is_default\nT1,BU1,true\n", "code,is_default\nT1,false\n"),
        ("taps", "code,business_unit_code,is_default\nT1,BU1,\n", "code,is_default\nT1,true\n"),
        ("taps", "code,unit_alternative_code,is_default\nT2,U1,1\n", "code,is_default\nT2,0\n"),
        (
            "taps",
            "code,business_unit_code,unit_alternative_code\nT2,,U1\n",
            "code,business_unit_code,unit_alternative_code\nT2,BU1,\n",
        ),
        ("devices", "code,unit_alternative_code\nD1,U1\n", "code,unit_alternative_code\nD1,\n"),
        ("classifications", "alternative_code,name\nC1,One\n", "alternative_code,name\nC1,Two\n"),
        ("accounts_receivable", "number,state\nA1,ACTIVE\nA2,ACTIVE\n", "number,state\nA1,SUSPENDED\nA2,TERMINATED\n"),
        (
            "rewards_participants",
            "number,accounts_receivable_number,state\nR1,A1,EFFECTIVE\n",
            "number,accounts_receivable_number\nR1,A2\n",
        ),
        ("access_tokens", TOKEN, &TOKEN.replace("AUTH", "OTHER")),
        ("access_tokens", TOKEN, &TOKEN.replace("0123", "0124")),
        ("access_tokens", TOKEN, &TOKEN.replace("0042", "0043")),
        ("access_tokens", TOKEN, &TOKEN.replace("15:00:00Z", "15:00:01Z")),
        ("access_tokens", TOKEN, &TOKEN.replace("23:59:59,", "23:59:58,")),
        ("access_tokens", TOKEN, "identifier,one_time_password\nme,\n"),
    ] {
        let rows = file.lines().count() as u64 - 1;
        acme.load(kind, file);
        acme.load(kind, file).assert(0, &counts(0, 0, rows, 0), "");
        acme.load(kind, other).assert(0, &counts(0, rows, 0, 0), "");
        acme.load(kind, other).assert(0, &counts(0, 0, rows, 0), "");
        acme.load(kind, file).assert(0, &counts(0, rows, 0, 0), "");
    }
    // The same moment in another offset is the same.
    acme.load("access_tokens", TOKEN.replace("15:00:00Z", "17:00:00+0200")).assert(0, &counts(0, 0, 1, 0), "");
}

const TOKEN: &str = "identifier,authentication_code,pass_code,state,effective_from,effective_to,\
                     rewards_participant_number,one_time_password,one_time_password_expires_on\n\
                     me,AUTH,0123,EFFECTIVE,2016-06-22T15:00:00Z,2030-12-31T23:59:59,R1,0042,2031-01-01T00:00:00.5\n";

async fn a_row_that_is_told_twice_is_named_with_the_line_of_the_first(setup: Setup) {
    let acme = Importer::new(setup);
    acme.load("accounts_receivable", "number,state\nA1,ACTIVE\nA2,\nA1,ACTIVE\nA1,SUSPENDED\n").assert(
        0,
        &counts(2, 1, 1, 0),
        "line 4: the account receivable \"A1\" is on line 2 already; what comes last holds\n\
         line 5: the account receivable \"A1\" is on line 2 already; what comes last holds\n",
    );
    acme.load("business_units", "id,code\nb1,B1\nb2,B2\nb1,B3\n").assert(
        0,
        &counts(2, 1, 0, 0),
        "line 4: the business unit with the id \"b1\" is on line 2 already; what comes last holds\n",
    );
    // In other batches, too, and more than are named are counted.
    let twice = format!("{}{}", accounts("A", 5000), accounts("A", 5000).trim_start_matches("number\n"));
    let ended = acme.load("accounts_receivable", twice);
    assert_eq!((ended.code, ended.counts()), (Some(0), counts(4998, 0, 5002, 0).as_str()));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 1001);
    assert_eq!(lines[0], "line 5002: the account receivable \"A0\" is on line 2 already; what comes last holds");
    assert_eq!(lines[1000], "and 4000 more");
}

const KINDS: [&str; 8] = [
    "business_units",
    "units",
    "taps",
    "devices",
    "classifications",
    "accounts_receivable",
    "rewards_participants",
    "access_tokens",
];

async fn the_template_of_every_kind_can_be_imported(setup: Setup) {
    let acme = Importer::new(setup);
    for kind in KINDS {
        let template = acme.workplace.run_well(&["import", "--template", kind], "").stdout;
        acme.load(kind, &template).assert(0, &counts(1, 0, 0, 0), "");
        // It has every column, and a value in each but the id.
        let columns = acme.workplace.run_well(&["import", "--columns", kind], "").stdout;
        let names: Vec<&str> = columns.lines().filter_map(|line| line.split_whitespace().next()).collect();
        let (header, row) = template.split_once('\n').expect("two lines");
        assert_eq!(header.split(',').collect::<Vec<_>>(), names);
        assert_eq!(row.split(',').filter(|cell| cell.is_empty()).count(), 1, "{row}");
    }
}

async fn the_columns_of_a_kind_are_told_without_a_database(setup: Setup) {
    let mut acme = Importer::new(setup);
    acme.workplace.set("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");
    let told = acme.workplace.run_well(&["import", "--columns", "rewards_participants"], "").stdout;
    let expected = "\
id                          an id of at most 64 characters; a new row gets one where there is none; no two rows have the same
number                      a text of at most 255 characters; a new row needs it; no two rows have the same
accounts_receivable_number  the number of a row of accounts_receivable; a new row needs it; no two rows have the same
state                       one of EFFECTIVE, NOT_EFFECTIVE, in any case; EFFECTIVE where a new row has none
";
    assert_eq!(told, expected);
    let told = acme.workplace.run_well(&["import", "--template", "accounts_receivable"], "").stdout;
    assert_eq!(told, "id,number,state\n,ACR0000000001,ACTIVE\n");
    for arguments in [
        &["import", "--columns", "units", "--template", "units"][..],
        &["import", "--columns", "units", "--organisation", "acme"],
        &["import", "units", "rows.csv"],
        &["import", "--columns", "shops"],
    ] {
        assert_eq!(acme.workplace.run(arguments).code, Some(2), "{arguments:?}");
    }
}
