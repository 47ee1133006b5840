//! Whatever becomes of SQLite's files: nothing is acknowledged that nobody would find, and the service says so; nor is one
//! made by the way.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;
use sqlx::{Connection, Executor, SqliteConnection};

use crate::support::{
    Server, Setup, Workplace,
    faults::{assert_creation_unavailable, assert_readable, assert_unavailable, assert_well},
    method, tests,
};

tests! {
    Sqlite:
        a_lock_that_another_holds_for_long_makes_the_service_unavailable,
        nothing_is_acknowledged_into_a_file_that_is_gone,
        nothing_is_acknowledged_into_a_file_that_another_took_the_place_of,
        nothing_is_acknowledged_into_a_log_that_is_gone;
    Once:
        a_command_that_looks_makes_no_database;
}

async fn a_lock_that_another_holds_for_long_makes_the_service_unavailable(setup: Setup) {
    let mut server = Server::start(setup).await;
    let mut other = SqliteConnection::connect(&server.database_url()).await.expect("a connection");
    other.execute("BEGIN IMMEDIATE").await.expect("the lock");
    assert_creation_unavailable(&server, 1).await;
    let sentence = server.wait_until_ready(false).await;
    assert_eq!(sentence, "Another program holds the database; try again.");
    assert_readable(&mut server).await;
    other.execute("ROLLBACK").await.expect("a rollback");
    server.wait_until_ready(true).await;
    assert_well(&mut server, [1, 2]).await;
}

const GONE: &str = "The database's file is gone or is another one; the operator has to restart the service.";

/// Does something to the files of a server that is well, and undoes it. In between nothing is acknowledged.
async fn without_its_files(setup: Setup, take_away: impl FnOnce(&Path), bring_back: impl FnOnce(&Path)) {
    let mut server = Server::start(setup).await;
    assert_well(&mut server, [1, 2]).await;
    let release = json!({"token": server.login("acme", "rita").await});
    let file = PathBuf::from(server.database_url().trim_start_matches("sqlite:"));
    take_away(&file);
    // Not one call later.
    assert_creation_unavailable(&server, 3).await;
    assert_unavailable(&server, &method("ReleaseToken"), &release).await;
    assert_eq!(server.wait_until_ready(false).await, GONE);
    assert_unavailable(&server, &method("ListReferralEvents"), &json!({"token": server.token})).await;
    bring_back(&file);
    server.wait_until_ready(true).await;
    assert_well(&mut server, [3, 4]).await;
    assert_eq!(server.release_token(release).await.code, "OK");
}

fn aside(file: &Path) -> PathBuf {
    file.with_extension("aside")
}

fn log_of(file: &Path) -> PathBuf {
    file.with_extension("db-wal")
}

async fn nothing_is_acknowledged_into_a_file_that_is_gone(setup: Setup) {
    let take_away = |file: &Path| fs::rename(file, aside(file)).expect("a file");
    without_its_files(setup, take_away, |file| fs::rename(aside(file), file).expect("a file")).await;
}

async fn nothing_is_acknowledged_into_a_file_that_another_took_the_place_of(setup: Setup) {
    let replace = |file: &Path| {
        fs::rename(file, aside(file)).expect("a file");
        fs::copy(aside(file), file).expect("a file");
    };
    without_its_files(setup, replace, |file| fs::rename(aside(file), file).expect("a file")).await;
}

async fn nothing_is_acknowledged_into_a_log_that_is_gone(setup: Setup) {
    let take_away = |file: &Path| fs::rename(log_of(file), aside(file)).expect("a file");
    without_its_files(setup, take_away, |file| fs::rename(aside(file), log_of(file)).expect("a file")).await;
}

async fn a_command_that_looks_makes_no_database(_: Setup) {
    let workplace = Workplace::new();
    for command in [
        "organisation list",
        "organisation disable acme",
        "user list --organisation acme",
        "audit list --organisation acme",
        "events archive --organisation acme --before 2020-01-01 --dry-run",
        "import --organisation acme units --dry-run -",
        "backup copy.db",
    ] {
        let ended = workplace.run(&command.split(' ').collect::<Vec<_>>());
        let sentence = "error: there is no database referral-events.db: --database-url names it\n";
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), sentence), "{command}");
        assert_eq!(fs::read_dir(workplace.path("")).expect("a folder").count(), 0, "{command}");
    }
}
