//! The databases that the tests run on.

use std::any::Any;

use super::{
    citus::{self, ClusterDatabase},
    pgbouncer::{self, Bouncer},
    postgres::{self, apart},
    templates::{Beginning, create_postgres, fill, write_sqlite},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
    /// PostgreSQL behind PgBouncer in transaction mode, with fewer sessions than callers.
    Pgbouncer,
    /// PostgreSQL with Citus, on several machines.
    Citus,
}

/// A database of a test's own.
pub struct TestDatabase {
    pub url: String,
    /// The folder of a file database, or the pooler in between; gone when this is dropped.
    _keeper: Option<Box<dyn Any + Send + Sync>>,
}

impl TestDatabase {
    /// One that another keeps.
    pub fn at(url: String) -> Self {
        Self { url, _keeper: None }
    }
}

impl Engine {
    /// Those that a test runs on which concerns any database.
    pub const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    /// An empty one.
    pub fn create_database(self) -> TestDatabase {
        self.create(None)
    }

    /// One that has the schema and nothing else.
    pub fn create_schema(self) -> TestDatabase {
        self.create(Some(Beginning::Schema))
    }

    /// One with the directory that the tests' events name.
    pub fn create_world(self) -> TestDatabase {
        self.create(Some(Beginning::World))
    }

    fn create(self, beginning: Option<Beginning>) -> TestDatabase {
        let of_postgres = || beginning.map_or_else(postgres::create_database, create_postgres);
        match self {
            Self::Sqlite => {
                let directory = tempfile::tempdir().expect("a temporary directory");
                let file = directory.path().join("test.db");
                if let Some(beginning) = beginning {
                    write_sqlite(&file, beginning);
                }
                TestDatabase { url: format!("sqlite:{}", file.display()), _keeper: Some(Box::new(directory)) }
            }
            Self::Postgres => TestDatabase::at(of_postgres()),
            Self::Pgbouncer => {
                let bouncer = Bouncer::start(&of_postgres(), "");
                TestDatabase { url: bouncer.url.clone(), _keeper: Some(Box::new(bouncer)) }
            }
            Self::Citus => {
                let database = ClusterDatabase::create();
                if let Some(beginning) = beginning {
                    apart(fill(&database.url(), beginning));
                }
                TestDatabase { url: database.url(), _keeper: Some(Box::new(database)) }
            }
        }
    }

    /// Why the tests cannot run on it here, if so.
    pub fn missing(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => postgres::missing(),
            Self::Pgbouncer => postgres::missing().or_else(pgbouncer::missing),
            Self::Citus => citus::missing(),
        }
    }
}
