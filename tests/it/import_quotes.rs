//! Quotes in CSV: the lines that one swallows are accounted for, and the counts add up to the rows of the file.

use crate::support::{Importer, Setup, counts, tests};

tests! {
    NoCalls:
        a_quote_that_nothing_ends_refuses_the_file_and_is_named,
        a_quote_that_swallows_lines_is_named_and_the_lines_in_it_are_rows,
        a_file_of_one_column_loses_no_line_to_a_quote,
        a_cell_of_several_lines_is_one_row,
        a_quote_inside_a_cell_is_a_character_of_it,
        a_quote_that_is_open_for_too_long_refuses_the_rest;
}

/// Accounts A1 to A59999, each on the line after its number's, with these cells in place of some.
fn accounts(spoilt: &[(usize, &str)]) -> String {
    let mut file = "number,state\n".to_owned();
    for n in 1..60_000 {
        match spoilt.iter().find(|(row, _)| *row == n) {
            Some((_, cells)) => file.push_str(cells),
            None => file.push_str(&format!("A{n},ACTIVE")),
        }
        file.push('\n');
    }
    file
}

async fn a_quote_that_nothing_ends_refuses_the_file_and_is_named(setup: Setup) {
    let acme = Importer::new(setup);
    let open = "error: line 51: a quote begins here that nothing ends: the file ends inside it, after 59950 lines; take \
                the quote away, or write it twice in a quoted cell; if the file was cut off, get the whole of it";
    let file = accounts(&[(50, "\"A50,ACTIVE")]);
    acme.load("accounts_receivable", &file).assert(1, &counts(0, 0, 0, 0), &format!("{open}\n"));
    // Where the last line has no end, too.
    acme.load("accounts_receivable", file.trim_end()).assert(1, &counts(0, 0, 0, 0), &format!("{open}\n"));
    // What was imported before is counted truly, and what was rejected is named.
    let file = accounts(&[(7, "A7,OPEN"), (3000, ",ACTIVE"), (50_000, "A50000,\"ACTIVE")]);
    let ended = acme.load("accounts_receivable", file);
    assert_eq!((ended.code, ended.counts()), (Some(1), counts(47_998, 0, 0, 2).as_str()));
    ended.assert_says(&[
        "line 8: state: not one of ACTIVE, SUSPENDED, TERMINATED",
        "line 3001: number: missing",
        "of the first 48000 rows of the file 47998 are in and 2 were rejected; the rest is not in. To go on, import the \
         whole file again: rows that are in already count as unchanged",
    ]);
    assert!(ended.stderr.contains("error: line 50001: a quote begins here that nothing ends"), "{}", ended.stderr);
}

async fn a_quote_that_swallows_lines_is_named_and_the_lines_in_it_are_rows(setup: Setup) {
    let acme = Importer::new(setup);
    // The second quote ends the first: as CSV has it, 51 lines are one cell.
    let ended = acme.load("accounts_receivable", accounts(&[(50, "\"A50,ACTIVE"), (100, "A100\",ACTIVE")]));
    assert_eq!((ended.code, ended.counts()), (Some(1), counts(59_998, 0, 0, 1).as_str()));
    ended.assert_says(&[
        "line 51: a quote that begins here takes 51 lines, to line 101; those after this one are read as rows of their \
         own",
        "1 × a quote that swallows lines: write a quote that belongs to a text twice, and quote the whole cell",
    ]);
    // A quote within the lines takes no others with it.
    let ended = acme.load("accounts_receivable", accounts(&[(50, "\"A50,ACTIVE"), (100, "\"A100,ACTIVE")]));
    assert_eq!((ended.code, ended.counts()), (Some(1), counts(0, 0, 59_997, 2).as_str()));
    ended.assert_says(&["line 101: a quote on this line does not end on it"]);
    let file = "number,state\n\"C1,ACTIVE\n\"C2,ACTIVE\nC3,\"ACTIVE\nC4,ACTIVE\n\"C5,ACTIVE\nC6,ACTIVE\n";
    let ended = acme.load("accounts_receivable", file);
    assert_eq!((ended.code, ended.counts()), (Some(1), counts(2, 0, 0, 4).as_str()));
    // A bad row among the lines is rejected by itself, and CRLF is one line end.
    let file =
        "number,state\r\nB1,ACTIVE\r\n\"B2,ACTIVE\r\nB3,ACTIVE\r\nB4,OPEN\r\nB5,ACTIVE\r\n\"B6\",ACTIVE\r\nB7\r\n";
    let ended = acme.load("accounts_receivable", file);
    assert_eq!((ended.code, ended.counts()), (Some(1), counts(4, 0, 0, 3).as_str()));
    ended.assert_says(&[
        "line 3: a quote that begins here takes 5 lines, to line 7; those after this one are read as rows of their own",
        "line 5: state: not one of ACTIVE, SUSPENDED, TERMINATED",
        "line 8: 1 cells where the header has 2",
    ]);
}

async fn a_file_of_one_column_loses_no_line_to_a_quote(setup: Setup) {
    let acme = Importer::new(setup);
    let ended = acme.load("accounts_receivable", "number\nA1\n\" A2\nA3\nA4\"\nA5\n");
    assert_eq!((ended.code, ended.counts()), (Some(1), counts(4, 0, 0, 1).as_str()));
    ended.assert_says(&[
        "line 3: a quote that begins here takes 3 lines, to line 5; those after this one are read as rows of their own",
    ]);
    assert!(!ended.stderr.contains("blanks"), "{}", ended.stderr);
}

async fn a_cell_of_several_lines_is_one_row(setup: Setup) {
    let acme = Importer::new(setup);
    let file = "code,name\n\"B1\",\"Shop\nat the\r\nriver\"\n\"B2\",\"Two\n\n\"\nB3,Three\n";
    // A name has no line ends inside it; those at its end are blanks, which are cut.
    acme.load("business_units", file).assert(
        1,
        &counts(2, 0, 0, 1),
        "line 2: name: holds a control character; a quoted cell takes the 3 lines from here\n\
         rejected rows by reason:\n\
         1 × name: a control character: correct the text\n\
         blanks around 1 cells were cut\n",
    );
}

async fn a_quote_inside_a_cell_is_a_character_of_it(setup: Setup) {
    let acme = Importer::new(setup);
    acme.load("business_units", "code,name\nB1,12\" pipe\nB2,\"12\"\" pipes, \"\nB3,\"\"\n").assert(
        0,
        &counts(3, 0, 0, 0),
        "blanks around 1 cells were cut\n",
    );
    acme.load(
        "business_units",
        "{\"code\": \"B1\", \"name\": \"12\\\" pipe\"}\n{\"code\": \"B2\", \"name\": \"12\\\" pipes,\"}\n",
    )
    .assert(0, &counts(0, 0, 2, 0), "");
}

async fn a_quote_that_is_open_for_too_long_refuses_the_rest(setup: Setup) {
    let acme = Importer::new(setup);
    let rows: String = (0..90_000).map(|n| format!("B{n},ACTIVE\n")).collect();
    let ended = acme.load("accounts_receivable", format!("number,state\nA1,ACTIVE\n\"A2,ACTIVE\n{rows}"));
    assert_eq!((ended.code, ended.counts()), (Some(1), counts(0, 0, 0, 0).as_str()));
    let reason = "line 3: the row is longer than 1048576 bytes; a quote on that line may be open\n";
    assert!(ended.stderr.ends_with(reason), "{}", ended.stderr);
}
