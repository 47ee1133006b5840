//! The import as a command: where it reads, what it prints and how it ends.

use crate::support::{Importer, Setup, counts, tests};

tests! {
    NoCalls:
        the_command_reads_a_file_or_its_input_and_counts_the_rows,
        the_command_fails_where_a_row_was_rejected,
        the_command_names_what_it_cannot_find;
}

async fn the_command_reads_a_file_or_its_input_and_counts_the_rows(setup: Setup) {
    let acme = Importer::new(setup);
    acme.write("units.csv", "alternative_code\nU1\nU2\n");
    acme.import("units", "units.csv", "").assert(0, &counts(2, 0, 0, 0), "");
    let input = "{\"alternative_code\": \"U2\", \"name\": \"Shop\"}\n{\"alternative_code\": \"U3\"}\n";
    acme.import("units", "-", input).assert(0, &counts(1, 1, 0, 0), "");
    // What came from the input is there for the next, and a file is not read from it.
    acme.import("units", "units.csv", input).assert(0, &counts(0, 0, 2, 0), "");
    acme.import("devices", "-", "code,unit_alternative_code\nD1,U3\n").assert(0, &counts(1, 0, 0, 0), "");
}

async fn the_command_fails_where_a_row_was_rejected(setup: Setup) {
    let acme = Importer::new(setup);
    let rows = "alternative_code,name\nU1,One\n,Shop\nU2,\nU3,a\tb\n";
    let reasons = "line 3: alternative_code: missing\n\
                   line 5: name: holds a control character\n\
                   rejected rows by reason:\n\
                   1 × name: a control character: correct the text\n\
                   1 × alternative_code: missing: a new row needs it\n";
    acme.write("units.csv", rows);
    acme.import("units", "units.csv", "").assert(1, &counts(2, 0, 0, 2), reasons);
    acme.import("units", "-", rows).assert(1, &counts(0, 0, 2, 2), reasons);
    // More than are named are counted.
    let rows = format!("alternative_code,name\n{}", ",Shop\n".repeat(1002));
    let ended = acme.import("units", "-", &rows);
    assert_eq!((ended.code, ended.counts()), (Some(1), counts(0, 0, 0, 1002).as_str()));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    let last = [
        "line 1001: alternative_code: missing",
        "and 2 more: --rejected FILE writes all of them",
        "rejected rows by reason:",
        "1002 × alternative_code: missing: a new row needs it",
    ];
    assert_eq!(lines[999..], last);
}

async fn the_command_names_what_it_cannot_find(setup: Setup) {
    let acme = Importer::new(setup);
    let ended = acme.import("units", "units.csv", "");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.starts_with("error: units.csv cannot be read: "), "{ended:?}");

    acme.write("units.csv", "alternative_code\nU1\n");
    let ended = acme.workplace.run(&["import", "--organisation", "nobody", "units", "units.csv"]);
    let sentence = "error: there is no organisation \"nobody\"; `organisation list` has those that there are, \
                    `organisation add` makes one\n";
    ended.assert(1, "", sentence);
    // Nothing of it went anywhere.
    acme.import("units", "units.csv", "").assert(0, &counts(1, 0, 0, 0), "");

    let ended = acme.import("shops", "units.csv", "");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains("'shops'") && ended.stderr.contains("access_tokens"), "{ended:?}");
}
