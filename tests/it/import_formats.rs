//! Files as spreadsheets save them: delimiters, encodings, line ends, headers, blanks.

use crate::support::{Ended, Importer, Setup, counts, tests};

tests! {
    NoCalls:
        the_delimiter_is_found,
        a_first_line_can_tell_the_delimiter,
        utf16_is_read_where_a_byte_order_mark_or_an_option_says_so,
        latin1_is_read_where_an_option_says_so,
        a_byte_order_mark_is_believed_rather_than_the_option,
        lines_are_numbered_whatever_ends_them,
        names_of_columns_and_states_are_read_in_any_case,
        blanks_around_cells_are_cut_and_counted,
        blank_rows_are_passed_over_and_counted,
        a_workbook_is_recognised_and_told_how_to_be_saved,
        a_cell_that_holds_a_delimiter_is_suspected_where_there_is_one_column,
        a_file_of_another_kind_is_suspected_by_its_columns_and_values;
}

/// Business unit B1 is called Café, and B2 Été; whoever imports them again changes nothing.
fn assert_units(acme: &Importer, ended: &Ended) {
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!([counts(2, 0, 0, 0), counts(0, 0, 2, 0)].iter().any(|counts| counts == ended.counts()), "{ended:?}");
    let same = "{\"code\":\"B1\",\"name\":\"Café\"}\n{\"code\":\"B2\",\"name\":\"Été\"}\n";
    acme.load("business_units", same).assert(0, &counts(0, 0, 2, 0), "");
}

const UNITS: &str = "code;name\r\nB1;Café\r\nB2;Été\r\n";

async fn the_delimiter_is_found(setup: Setup) {
    let acme = Importer::new(setup);
    for delimiter in [";", ",", "\t"] {
        assert_units(&acme, &acme.load("business_units", UNITS.replace(';', delimiter)));
        assert_units(&acme, &acme.load("business_units", format!("\u{feff}{}", UNITS.replace(';', delimiter))));
    }
    // The delimiters that are not meant are characters of the cells.
    let file = "\"code\";\"name\"\nB3;\"Shop; big, red\"\nB4;Shop, small\n";
    acme.load("business_units", file).assert(0, &counts(2, 0, 0, 0), "");
    acme.load("business_units", "{\"code\":\"B3\",\"name\":\"Shop; big, red\"}").assert(0, &counts(0, 0, 1, 0), "");
    let ended = acme.load("business_units", "code|name\nB1|Café\n");
    assert!(
        ended.stderr.contains("a delimiter other than , ; and tab is told by a first line such as sep=|"),
        "{ended:?}"
    );
    let ended = acme.load("business_units", "colour;size\nred;2\n");
    assert!(ended.stderr.contains("line 1: business_units have no column \"colour\""), "{ended:?}");
}

async fn a_first_line_can_tell_the_delimiter(setup: Setup) {
    let acme = Importer::new(setup);
    for delimiter in [";", ",", "\t", "|"] {
        let file = format!("sep={delimiter}\r\n{}", UNITS.replace(';', delimiter));
        assert_units(&acme, &acme.load("business_units", file));
    }
    let ended = acme.load("business_units", "SEP=|\ncode|name\nB1\n");
    ended.assert_says(&["line 3: 1 cells where the header has 2"]);
}

fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(to_bytes).collect()
}

async fn utf16_is_read_where_a_byte_order_mark_or_an_option_says_so(setup: Setup) {
    let acme = Importer::new(setup);
    for to_bytes in [u16::to_le_bytes, u16::to_be_bytes] {
        assert_units(&acme, &acme.load("business_units", utf16(&format!("\u{feff}{UNITS}"), to_bytes)));
        let without = utf16(UNITS, to_bytes);
        assert_units(&acme, &acme.load_with("business_units", &without, &["--encoding", "utf-16"]));
        let ended = acme.load("business_units", without);
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains("say --encoding utf-16"), "{ended:?}");
    }
    // Longer than any buffer, and cut off in the middle of a character.
    let mut long = "\u{feff}code\r\n".to_owned();
    long.extend((0..40_000).map(|n| format!("C{n}\r\n")));
    let mut long = utf16(&long, u16::to_le_bytes);
    acme.load("business_units", &long).assert(0, &counts(40_000, 0, 0, 0), "");
    long.push(b'x');
    let ended = acme.load("business_units", long);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.ends_with("error: the file cannot be read on: it is not UTF-16LE\n"), "{ended:?}");
}

async fn latin1_is_read_where_an_option_says_so(setup: Setup) {
    let acme = Importer::new(setup);
    let latin1: Vec<u8> = UNITS.chars().map(|c| c as u8).collect();
    for encoding in ["latin1", "windows-1252", "ISO-8859-1"] {
        assert_units(&acme, &acme.load_with("business_units", &latin1, &["--encoding", encoding]));
    }
    acme.load("business_units", &latin1).assert(
        1,
        &counts(0, 0, 0, 2),
        "line 2: name: not UTF-8\n\
         line 3: name: not UTF-8\n\
         rejected rows by reason:\n\
         2 × name: not UTF-8: save the file as CSV UTF-8, or say --encoding windows-1252\n",
    );
    let ended = acme.load_with("business_units", &latin1, &["--encoding", "klingon"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("the encoding is one of utf-8, utf-16, windows-1252 and latin1"), "{ended:?}");
}

async fn a_byte_order_mark_is_believed_rather_than_the_option(setup: Setup) {
    let acme = Importer::new(setup);
    let ended = acme.load_with("business_units", format!("\u{feff}{UNITS}"), &["--encoding", "latin1"]);
    assert_units(&acme, &ended);
}

async fn lines_are_numbered_whatever_ends_them(setup: Setup) {
    let acme = Importer::new(setup);
    for end in ["\n", "\r\n", "\r"] {
        let file = ["", "number,state", "A1,", "", "A2,OPEN", "\"A3\",\"\"", ",ACTIVE", "A4,SHUT", ""].join(end);
        let ended = acme.load("accounts_receivable", file);
        assert_eq!(ended.code, Some(1));
        ended.assert_says(&[
            "line 5: state: not one of ACTIVE, SUSPENDED, TERMINATED",
            "line 7: number: missing",
            "line 8: state: not one of ACTIVE, SUSPENDED, TERMINATED",
        ]);
    }
    // A carriage return and the line feed after it are one line end even where a buffer ends between them.
    for padding in 0..64 {
        let mut file = format!("number,state\r\nA{:060},OPEN\r\n", 1);
        file.push_str(&format!("A1{},ACTIVE\r\n", "x".repeat(padding)));
        while file.len() < 70_000 {
            file.push_str(&format!("A{:056},ACTIVE\r\n", 1));
        }
        let lines = file.lines().count();
        let ended = acme.load_with("accounts_receivable", format!("{file}A2,SHUT\r\n"), &["--dry-run"]);
        ended.assert_says(&[&format!("line {}: state: not one of ACTIVE, SUSPENDED, TERMINATED", lines + 1)]);
    }
}

async fn names_of_columns_and_states_are_read_in_any_case(setup: Setup) {
    let acme = Importer::new(setup);
    let file = " Number ,\"STATE\"\nA1,active\nA2,Suspended\nA3,TERMINATED\n";
    acme.load("accounts_receivable", file).assert(0, &counts(3, 0, 0, 0), "");
    let same = "number,state\nA1,ACTIVE\nA2,SUSPENDED\nA3,TERMINATED\n";
    acme.load("accounts_receivable", same).assert(0, &counts(0, 0, 3, 0), "");
}

async fn blanks_around_cells_are_cut_and_counted(setup: Setup) {
    let acme = Importer::new(setup);
    let file = "code,name\n B1 ,Shop\u{a0}\nB2,\"  Big shop\t\"\n   B3,Other\n";
    acme.load("business_units", file).assert(0, &counts(3, 0, 0, 0), "blanks around 4 cells were cut\n");
    let same = "code,name\nB1,Shop\nB2,Big shop\nB3,Other\n";
    acme.load("business_units", same).assert(0, &counts(0, 0, 3, 0), "");
    // A cell of blanks is empty.
    acme.load("business_units", "code,name\nB1,  \n").assert(
        0,
        &counts(0, 1, 0, 0),
        "blanks around 1 cells were cut\n",
    );
    acme.load("business_units", "{\"code\":\"B1\",\"name\":null}").assert(0, &counts(0, 0, 1, 0), "");
}

async fn blank_rows_are_passed_over_and_counted(setup: Setup) {
    let acme = Importer::new(setup);
    let file = "code;name\n;\nB1;Shop\n\n ; \nB2;\n\"\";\"\"\n";
    acme.load("business_units", file).assert(0, &counts(2, 0, 0, 0), "3 rows without a value were passed over\n");
}

async fn a_workbook_is_recognised_and_told_how_to_be_saved(setup: Setup) {
    let acme = Importer::new(setup);
    for (first, what) in [("PK\u{3}\u{4}".as_bytes(), ".xlsx or .ods"), (b"\xD0\xCF\x11\xE0\xA1\xB1", ".xls")] {
        let ended = acme.load("business_units", [first, b"\0\0\0rest of it"].concat());
        assert_eq!((ended.code, ended.counts()), (Some(1), counts(0, 0, 0, 0).as_str()));
        let advice = "open it there and save it as \"CSV UTF-8 (Comma delimited) (*.csv)\"\n";
        assert!(ended.stderr.contains(what) && ended.stderr.ends_with(advice), "{ended:?}");
    }
}

async fn a_cell_that_holds_a_delimiter_is_suspected_where_there_is_one_column(setup: Setup) {
    let acme = Importer::new(setup);
    acme.load("accounts_receivable", "number\nA1\nA2;ACTIVE\nA3;\n").assert(
        0,
        &counts(3, 0, 0, 0),
        "2 cells hold a ';', the first on line 3: are they several cells? The header has one column\n",
    );
    acme.load("accounts_receivable", "number,state\nA4;x,ACTIVE\n").assert(0, &counts(1, 0, 0, 0), "");
}

async fn a_file_of_another_kind_is_suspected_by_its_columns_and_values(setup: Setup) {
    let acme = Importer::new(setup);
    let ended = acme.load("accounts_receivable", "number,accounts_receivable_number\nR1,A1\n");
    assert_eq!(ended.code, Some(1));
    let suspicion = "; these are columns of rewards_participants: is that the kind that is meant?\n";
    assert!(ended.stderr.ends_with(suspicion), "{ended:?}");

    let ended = acme.load("rewards_participants", "number,state\nA1,ACTIVE\nA2,SUSPENDED\nA3,EFFECTIVE\n");
    assert_eq!((ended.code, ended.counts()), (Some(1), counts(0, 0, 0, 3).as_str()));
    ended.assert_says(&[
        "2 × state: no such state: write EFFECTIVE, NOT_EFFECTIVE; are these accounts_receivable?",
        "1 × accounts_receivable_number: missing: a new row needs it",
        "the columns are those of accounts_receivable: is that the kind that is meant, rather than \
         rewards_participants?",
    ]);
    let ended = acme.load("units", "{\"code\":\"T1\",\"unit_alternative_code\":\"U1\"}\n");
    ended.assert_says(&["1 × no such column: see: import --columns units; are these taps?"]);
}
