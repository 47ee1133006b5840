//! The databases that the tests run on.

use tempfile::TempDir;

use super::postgres;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// A database of a test's own.
pub struct TestDatabase {
    pub url: String,
    /// The folder of a file database, gone when this is dropped.
    _directory: Option<TempDir>,
}

impl TestDatabase {
    /// One that another keeps.
    pub fn at(url: String) -> Self {
        Self { url, _directory: None }
    }
}

impl Engine {
    pub const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    pub fn create_database(self) -> TestDatabase {
        match self {
            Self::Sqlite => {
                let directory = tempfile::tempdir().expect("a temporary directory");
                let url = format!("sqlite:{}", directory.path().join("test.db").display());
                TestDatabase { url, _directory: Some(directory) }
            }
            Self::Postgres => TestDatabase::at(postgres::create_database()),
        }
    }

    /// Why the tests cannot run on it here, if so.
    pub fn missing(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => postgres::missing(),
        }
    }
}
