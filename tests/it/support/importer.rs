//! The import as a command, for organisation acme in a database of its own.

use std::{
    fs,
    process::{Child, Stdio},
};

use super::{Ended, Setup, TestDatabase, Workplace};

pub struct Importer {
    pub workplace: Workplace,
    _database: TestDatabase,
}

impl Importer {
    pub fn new(setup: Setup) -> Self {
        let database = setup.engine.create_database();
        let mut workplace = Workplace::new();
        workplace.set("DATABASE_URL", &database.url);
        workplace.set("REFERRAL_EVENTS_TOKEN_KEY", &"01".repeat(32));
        workplace.set("REFERRAL_EVENTS_HASH_KEY", &"02".repeat(32));
        workplace.run_well(&["migrate"], "");
        workplace.run_well(&["organisation", "add", "acme"], "");
        Self { workplace, _database: database }
    }

    pub fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.workplace.path(file), bytes).expect("a file");
    }

    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.workplace.path(file)).expect("a file")
    }

    /// Imports a file that is there, or `-` for the input.
    pub fn import(&self, kind: &str, file: &str, input: &str) -> Ended {
        self.workplace.run_with_input(&["import", "--organisation", "acme", kind, file], input)
    }

    /// Imports these bytes from a file.
    pub fn load(&self, kind: &str, bytes: impl AsRef<[u8]>) -> Ended {
        self.load_with(kind, bytes, &[])
    }

    pub fn load_with(&self, kind: &str, bytes: impl AsRef<[u8]>, options: &[&str]) -> Ended {
        self.write("rows.csv", bytes);
        self.workplace.run(&[&["import", "--organisation", "acme", kind, "rows.csv"], options].concat())
    }

    /// Begins to import what is written to the process's input.
    pub fn begin(&self, kind: &str) -> Child {
        self.workplace.spawn_with_input(
            &["import", "--organisation", "acme", kind, "-"],
            Stdio::piped(),
            Stdio::piped(),
        )
    }
}

impl Ended {
    /// What became of the rows, as the last line has it.
    pub fn counts(&self) -> &str {
        self.stdout.lines().last().unwrap_or_default()
    }

    #[track_caller]
    pub fn assert(&self, code: i32, counts: &str, stderr: &str) {
        assert_eq!((self.code, self.counts(), self.stderr.as_str()), (Some(code), counts, stderr));
    }

    /// Asserts that standard error has these lines, in this order, among others.
    #[track_caller]
    pub fn assert_says(&self, lines: &[&str]) {
        let mut said = self.stderr.lines();
        for line in lines {
            assert!(said.any(|other| other == *line), "{line} is missing: {}", self.stderr);
        }
    }
}

/// Counts as the command prints them: inserted, updated, unchanged, rejected.
pub fn counts(inserted: u64, updated: u64, unchanged: u64, rejected: u64) -> String {
    let read = inserted + updated + unchanged + rejected;
    format!("inserted {inserted}, updated {updated}, unchanged {unchanged}, rejected {rejected}: {read} rows read")
}
