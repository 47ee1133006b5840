//! The databases that the tests run on.

use tempfile::TempDir;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
}

/// A database of a test's own, gone when it is dropped.
pub struct TestDatabase {
    pub url: String,
    _directory: TempDir,
}

impl Engine {
    pub const ALL: [Self; 1] = [Self::Sqlite];

    pub fn create_database(self) -> TestDatabase {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let url = format!("sqlite:{}", directory.path().join("test.db").display());
        TestDatabase { url, _directory: directory }
    }
}
