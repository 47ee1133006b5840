//! The floor: the same finished rows, loaded by the database's own fastest means into a copy of the table.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use rusqlite::{Connection, types::Value};
use sqlx::{Connection as _, Executor, PgConnection};

/// The floor of either engine.
pub enum Floor {
    Sqlite(SqliteFloor),
    Postgres(PostgresFloor),
}

impl Floor {
    /// Loads the newest `count` rows of the server's table into the copy.
    pub async fn load(&mut self, count: u64) -> Duration {
        match self {
            Self::Sqlite(floor) => floor.load(count),
            Self::Postgres(floor) => floor.load(count).await,
        }
    }
}

/// PostgreSQL: binary COPY, which is a transaction of its own. Over TCP its end would wait some 40 ms for an
/// acknowledgement, for sqlx does not set TCP_NODELAY.
pub struct PostgresFloor(PgConnection);

impl PostgresFloor {
    pub async fn new(url: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.expect("a connection");
        connection.execute("CREATE TABLE floor (LIKE referral_events INCLUDING ALL)").await.expect("a copy");
        Self(connection)
    }

    async fn load(&mut self, count: u64) -> Duration {
        let select =
            format!("SELECT * FROM referral_events WHERE organisation_id = 1 ORDER BY number DESC LIMIT {count}");
        let copy = format!("COPY (SELECT * FROM ({select}) AS s ORDER BY number) TO STDOUT (FORMAT binary)");
        let mut rows = Vec::new();
        let mut chunks = self.0.copy_out_raw(&copy).await.expect("rows");
        while let Some(chunk) = chunks.next().await {
            rows.extend_from_slice(&chunk.expect("a chunk"));
        }
        drop(chunks);
        let started = Instant::now();
        let mut sink = self.0.copy_in_raw("COPY floor FROM STDIN (FORMAT binary)").await.expect("a copy");
        sink.send(rows).await.expect("to send");
        let copied = sink.finish().await.expect("to finish");
        let elapsed = started.elapsed();
        assert_eq!(copied, count);
        elapsed
    }
}

/// SQLite: one prepared INSERT, stepped in one transaction, with the server's pragmas.
pub struct SqliteFloor {
    source: Connection,
    copy: Connection,
    insert: String,
}

impl SqliteFloor {
    /// `source` is the server's database; the copy is made anew beside it, with the same table and indexes.
    pub fn new(source: &Path) -> Self {
        let copy = source.with_extension("floor");
        for file in ["floor", "floor-wal", "floor-shm"] {
            std::fs::remove_file(source.with_extension(file)).ok();
        }
        let (source, copy) = (Connection::open(source).expect("a database"), Connection::open(copy).expect("a copy"));
        copy.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; \
             PRAGMA wal_autocheckpoint = 16384; PRAGMA cache_size = -16000; PRAGMA mmap_size = 33554432",
        )
        .expect("the pragmas");
        let mut schema = source
            .prepare("SELECT sql FROM sqlite_schema WHERE tbl_name = 'referral_events' AND sql IS NOT NULL")
            .expect("the schema");
        let statements: Vec<String> =
            schema.query_map([], |row| row.get(0)).expect("rows").collect::<Result<_, _>>().expect("statements");
        for statement in statements {
            copy.execute_batch(&statement).expect("the table or an index");
        }
        let columns = source.prepare("SELECT * FROM referral_events").expect("the table").column_count();
        let insert = format!("INSERT INTO referral_events VALUES ({})", vec!["?"; columns].join(","));
        drop(schema);
        Self { source, copy, insert }
    }

    fn load(&mut self, count: u64) -> Duration {
        let rows = self.newest_rows(count as usize);
        let mut insert = self.copy.prepare(&self.insert).expect("an insert");
        let started = Instant::now();
        let transaction = self.copy.unchecked_transaction().expect("a transaction");
        for row in &rows {
            insert.execute(rusqlite::params_from_iter(row)).expect("a row");
        }
        transaction.commit().expect("a commit");
        let elapsed = started.elapsed();
        assert_eq!(rows.len() as u64, count);
        elapsed
    }

    /// Inserts and commits the newest `count` rows one by one; answers how long each took.
    pub fn insert_each(&mut self, count: usize) -> Vec<Duration> {
        let rows = self.newest_rows(count);
        let mut insert = self.copy.prepare(&self.insert).expect("an insert");
        let mut times = Vec::with_capacity(rows.len());
        for row in &rows {
            let started = Instant::now();
            insert.execute(rusqlite::params_from_iter(row)).expect("a row");
            times.push(started.elapsed());
        }
        times
    }

    /// In the order of their numbers.
    fn newest_rows(&self, count: usize) -> Vec<Vec<Value>> {
        let select = "SELECT * FROM referral_events WHERE organisation_id = 1 ORDER BY number DESC LIMIT ?";
        let mut select = self.source.prepare(select).expect("a query");
        let columns = select.column_count();
        let mut rows: Vec<Vec<Value>> = select
            .query_map([count as i64], |row| (0..columns).map(|i| row.get(i)).collect())
            .expect("rows")
            .collect::<Result<_, _>>()
            .expect("values");
        rows.reverse();
        rows
    }
}
