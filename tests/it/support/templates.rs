//! Databases that are made once and copied for each test: to make one takes longer than most tests do.

use std::{
    fs,
    path::Path,
    sync::{LazyLock, OnceLock},
};

use referral_events::{config::Keys, secret::CodeHasher, storage::Database};

use super::{
    postgres::{self, apart},
    world,
};

/// The keys of all servers in this process, by which the codes in the templates are hashed.
pub static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys::generate().expect("keys"));

static OF_SQLITE: [OnceLock<Vec<u8>>; 2] = [OnceLock::new(), OnceLock::new()];
static OF_POSTGRES: [OnceLock<String>; 2] = [OnceLock::new(), OnceLock::new()];

/// What is in a database to begin with.
#[derive(Clone, Copy, Debug)]
pub enum Beginning {
    Schema,
    World,
}

/// Brings an empty database so far.
pub async fn fill(url: &str, beginning: Beginning) {
    let database = Database::connect(url).await.expect("a database");
    database.migrate().await.expect("a schema");
    if let Beginning::World = beginning {
        world::populate(&database, &CodeHasher::new(&KEYS.hash)).await;
    }
    database.close().await.expect("a close");
}

/// Makes a SQLite file.
pub fn write_sqlite(file: &Path, beginning: Beginning) {
    let template = OF_SQLITE[beginning as usize].get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("template.db");
        apart(fill(&format!("sqlite:{}", file.display()), beginning));
        // The last connection has brought the log into it.
        fs::read(file).expect("a file")
    });
    fs::write(file, template).expect("a file");
}

/// Makes a PostgreSQL database and answers its URL.
pub fn create_postgres(beginning: Beginning) -> String {
    let template = OF_POSTGRES[beginning as usize].get_or_init(|| {
        let url = postgres::create_template();
        apart(fill(&url, beginning));
        url.rsplit('/').next().expect("a name").to_owned()
    });
    postgres::create_copy(template)
}
