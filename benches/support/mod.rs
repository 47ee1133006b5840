//! What the benches share.
// Each bench uses a part of it.
#![allow(dead_code)]

#[path = "../../tests/it/support/bytes_codec.rs"]
mod bytes_codec;
pub mod floor;
#[path = "../../tests/it/support/postgres.rs"]
pub mod postgres;
pub mod server;
pub mod world;

use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Duration,
};

use chrono::Utc;
use referral_events::{
    auth::password,
    config::Keys,
    id::OrganisationId,
    secret::{CodeHasher, KeyRing, Secret},
    storage::{Database, PoolOptions, entity::user, users},
};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;
use world::ORGANISATION;

/// The keys of every server.
pub const KEYS: [&str; 2] = [
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
];

/// Whether `name` is to be measured: an argument says so, or none says anything of its kind.
pub fn is_chosen(name: &str, kind: &[&str]) -> bool {
    let is_given = |name: &str| std::env::args().any(|argument| argument.eq_ignore_ascii_case(name));
    is_given(name) || !kind.iter().any(|other| is_given(other))
}

#[derive(Clone, Copy, Debug)]
pub enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    /// Those that are chosen and here.
    pub fn chosen() -> Vec<Self> {
        let mut engines = vec![Self::Sqlite, Self::Postgres];
        engines.retain(|engine| is_chosen(engine.name(), &["SQLite", "PostgreSQL"]));
        if let Some(reason) = postgres::missing() {
            println!("no PostgreSQL: {reason}");
            engines.retain(|engine| matches!(engine, Self::Sqlite));
        }
        engines
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// The way to the database by its Unix socket, where it is on this machine.
async fn by_socket(url: String) -> String {
    let mut connection = PgConnection::connect(&url).await.expect("a connection");
    let folders: String =
        sqlx::query_scalar("SHOW unix_socket_directories").fetch_one(&mut connection).await.expect("a setting");
    let options: PgConnectOptions = url.parse().expect("a URL");
    let folder = Path::new(folders.split(',').next().unwrap_or_default());
    match folder.join(format!(".s.PGSQL.{}", options.get_port())).exists() {
        true => format!("{url}?host={}", folder.display()),
        false => url,
    }
}

/// A database of its own, with the schema, an organisation and a caller.
pub struct Bench {
    pub url: String,
    pub keys: Keys,
    pub organisation_id: OrganisationId,
    /// The file of SQLite.
    pub file: Option<PathBuf>,
    _directory: TempDir,
}

impl Bench {
    pub async fn new(engine: Engine) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (url, file) = match engine {
            Engine::Sqlite => {
                let file = directory.path().join("bench.db");
                (format!("sqlite:{}", file.display()), Some(file))
            }
            Engine::Postgres => {
                postgres::MEASURES.store(true, Ordering::Relaxed);
                (by_socket(postgres::create_database()).await, None)
            }
        };
        let database = Database::connect(&url).await.expect("a database");
        database.migrate().await.expect("a schema");
        let organisation_id = add_organisation(&database, ORGANISATION).await;
        database.close().await.expect("a close");
        let [token, hash] = KEYS.map(|key| KeyRing::read(key).expect("a key"));
        let keys = Keys { token, hash };
        Self { url, keys, organisation_id, file, _directory: directory }
    }

    /// With time for the statements about large tables.
    pub async fn connect(&self) -> Database {
        let patient = PoolOptions { time_limit: Duration::from_secs(24 * 3600), ..PoolOptions::DEFAULT };
        Database::connect_with(&self.url, patient).await.expect("a database")
    }

    pub fn hasher(&self) -> CodeHasher {
        CodeHasher::new(&self.keys.hash)
    }

    /// The size of the database, in bytes.
    pub async fn size(&self) -> u64 {
        if let Some(file) = &self.file {
            return file.metadata().expect("the file").len();
        }
        let mut connection = PgConnection::connect(&self.url).await.expect("a connection");
        let size: i64 = sqlx::query_scalar("SELECT pg_database_size(current_database())")
            .fetch_one(&mut connection)
            .await
            .expect("a size");
        size.unsigned_abs()
    }
}

/// Adds an organisation with a caller; answers its id.
pub async fn add_organisation(database: &Database, name: &str) -> OrganisationId {
    let organisation_id = users::add_organisation(database, name, Utc::now()).await.expect("an organisation");
    let user = user::Model {
        organisation_id,
        id: "U".to_owned(),
        name: "u".to_owned(),
        password_hash: password::hash(Secret::new("p")).await.expect("a hash"),
        role: "caller".to_owned(),
        default_unit_id: None,
        created_on: Utc::now(),
        disabled_on: None,
        token_generation: 0,
    };
    users::add_user(database.writer(), user).await.expect("a user");
    organisation_id
}

/// The value below which a share of the times lie.
pub fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort();
    times[((times.len() - 1) as f64 * share).round() as usize]
}

pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
