//! The import as a command: where it reads, what it prints and how it ends.

use std::fs;

use crate::support::{Ended, Setup, TestDatabase, Workplace, tests};

tests! {
    NoCalls:
        the_command_reads_a_file_or_its_input_and_counts_the_rows,
        the_command_fails_where_a_row_was_rejected,
        the_command_names_what_it_cannot_find;
}

/// Where the program finds organisation acme in a database of the setup's engine.
struct Acme {
    workplace: Workplace,
    _database: TestDatabase,
}

impl Acme {
    fn new(setup: Setup) -> Self {
        let database = setup.engine.create_database();
        let mut workplace = Workplace::new();
        workplace.set("DATABASE_URL", &database.url);
        workplace.set("REFERRAL_EVENTS_TOKEN_KEY", &"01".repeat(32));
        workplace.set("REFERRAL_EVENTS_HASH_KEY", &"02".repeat(32));
        workplace.run_well(&["migrate"], "");
        workplace.run_well(&["organisation", "add", "acme"], "");
        Self { workplace, _database: database }
    }

    fn write(&self, file: &str, rows: &str) {
        fs::write(self.workplace.path(file), rows).expect("a file");
    }

    fn import(&self, kind: &str, file: &str, input: &str) -> Ended {
        self.workplace.run_with_input(&["import", "--organisation", "acme", kind, file], input)
    }
}

#[track_caller]
fn assert_ended(ended: &Ended, code: i32, stdout: &str, stderr: &str) {
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(code), stdout, stderr));
}

async fn the_command_reads_a_file_or_its_input_and_counts_the_rows(setup: Setup) {
    let acme = Acme::new(setup);
    acme.write("units.csv", "alternative_code\nU1\nU2\n");
    assert_ended(&acme.import("units", "units.csv", ""), 0, "inserted 2, updated 0, rejected 0\n", "");
    let input = "{\"alternative_code\": \"U2\", \"name\": \"Shop\"}\n{\"alternative_code\": \"U3\"}\n";
    assert_ended(&acme.import("units", "-", input), 0, "inserted 1, updated 1, rejected 0\n", "");
    // What came from the input is there for the next, and a file is not read from it.
    assert_ended(&acme.import("units", "units.csv", input), 0, "inserted 0, updated 2, rejected 0\n", "");
    assert_ended(
        &acme.import("devices", "-", "code,unit_alternative_code\nD1,U3\n"),
        0,
        "inserted 1, updated 0, rejected 0\n",
        "",
    );
}

async fn the_command_fails_where_a_row_was_rejected(setup: Setup) {
    let acme = Acme::new(setup);
    let rows = "alternative_code,name\nU1,One\n,Shop\nU2,\nU3,a\tb\n";
    let reasons = "line 3: alternative_code: missing\nline 5: name: holds a control character\n";
    acme.write("units.csv", rows);
    assert_ended(&acme.import("units", "units.csv", ""), 1, "inserted 2, updated 0, rejected 2\n", reasons);
    assert_ended(&acme.import("units", "-", rows), 1, "inserted 0, updated 2, rejected 2\n", reasons);
    // More than are named are counted.
    let rows = format!("alternative_code,name\n{}", ",Shop\n".repeat(1002));
    let ended = acme.import("units", "-", &rows);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), "inserted 0, updated 0, rejected 1002\n"));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 1001);
    assert_eq!(lines[999..], ["line 1001: alternative_code: missing", "and 2 more"]);
}

async fn the_command_names_what_it_cannot_find(setup: Setup) {
    let acme = Acme::new(setup);
    let ended = acme.import("units", "units.csv", "");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.starts_with("error: units.csv cannot be read: "), "{ended:?}");

    acme.write("units.csv", "alternative_code\nU1\n");
    let ended = acme.workplace.run(&["import", "--organisation", "nobody", "units", "units.csv"]);
    let message = "error: there is no organisation \"nobody\"; `organisation add` makes one\n";
    assert_ended(&ended, 1, "", message);
    // Nothing of it went anywhere.
    assert_ended(&acme.import("units", "units.csv", ""), 0, "inserted 1, updated 0, rejected 0\n", "");

    let ended = acme.import("shops", "units.csv", "");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains("'shops'") && ended.stderr.contains("access_tokens"), "{ended:?}");
}
