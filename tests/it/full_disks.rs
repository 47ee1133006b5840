//! A disk that is full, and then is not: the service says so, and is well again by itself.

use std::{fmt::Write, fs, time::Duration};

use serde_json::{Value, json};
use sqlx::{Connection, Executor, SqliteConnection};

use crate::support::{
    Cluster, Server, Setup, SmallDisk, Workplace,
    faults::{assert_readable, assert_unavailable, assert_well, over, referral},
    method, tests,
};

tests! {
    PostgresOnSmallDisk:
        a_full_disk_of_postgresql_makes_the_service_unavailable;
    SqliteOnSmallDisk:
        a_full_disk_of_sqlite_makes_the_service_unavailable,
        that_the_log_is_not_brought_into_the_file_is_logged_once_and_its_end_too;
}

/// Events of so much text that a disk is soon full of them; each refers a party that no other number's does.
fn large(server: &Server, numbers: std::ops::Range<usize>) -> Value {
    // Of characters that no compression makes few.
    let text = |n: usize| -> String {
        let bytes = (0..4000).scan(n as u64 + 1, |state, _| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from_u32(0x4E00 + (*state >> 33) as u32 % 20_000)
        });
        bytes.collect()
    };
    let events = numbers.map(|n| {
        let mut event = referral(&n.to_string(), n);
        event["description"] = json!(text(n));
        event
    });
    json!({"token": server.token, "referral_customer_events_set": events.collect::<Vec<_>>()})
}

/// What is expected of a service whose database's disk is full, and then is not.
async fn assert_full_disk_is_survived(server: &mut Server, disk: &SmallDisk) {
    assert_well(server, [1, 2]).await;
    if server.database_url().starts_with("sqlite:") {
        cut_log(&server.database_url()).await;
    }
    disk.fill();
    let bulk = method("BulkCreateReferralEvents");
    assert_unavailable(server, &bulk, &large(server, 10..50)).await;
    let sentence = server.wait_until_ready(false).await;
    assert_eq!(sentence, "The database has no room left, or cannot write to its disk; try again.");
    assert_unavailable(server, &bulk, &large(server, 10..50)).await;
    assert_readable(server).await;
    disk.free();
    server.wait_until_ready(true).await;
    assert_well(server, [3, 4]).await;
    let created = server.bulk(large(server, 10..50)).await;
    assert_eq!(created.processed().len(), 40);
}

/// Brings all of SQLite's log into the file and gives its room back: what is in the log's file already has its place.
async fn cut_log(url: &str) {
    let mut connection = SqliteConnection::connect(url).await.expect("a connection");
    let log = format!("{}-wal", url.trim_start_matches("sqlite:"));
    while fs::metadata(&log).expect("a log").len() > 0 {
        // It waits for nobody who reads.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.expect("a checkpoint");
    }
    connection.close().await.expect("a close");
}

async fn a_full_disk_of_postgresql_makes_the_service_unavailable(setup: Setup) {
    let disk = SmallDisk::new(32);
    let cluster = Cluster::start();
    cluster.execute(&format!("CREATE TABLESPACE small LOCATION '{}'", disk.folder("tables").display()));
    cluster.execute("CREATE DATABASE events TABLESPACE small");
    let mut server = over(setup, format!("{}/events", cluster.url())).await;
    assert_full_disk_is_survived(&mut server, &disk).await;
}

async fn a_full_disk_of_sqlite_makes_the_service_unavailable(setup: Setup) {
    let disk = SmallDisk::new(32);
    let mut server = over(setup, format!("sqlite:{}", disk.path().join("test.db").display())).await;
    assert_full_disk_is_survived(&mut server, &disk).await;
}

async fn that_the_log_is_not_brought_into_the_file_is_logged_once_and_its_end_too(_: Setup) {
    let disk = SmallDisk::new(16);
    let url = format!("sqlite:{}", disk.path().join("test.db").display());
    let mut workplace = Workplace::new();
    workplace.set("DATABASE_URL", &url);
    workplace.add_caller("seven green kettles");
    let server = workplace.serve(&[]);
    // Who reads keeps what is written from then on out of the file.
    let mut reader = SqliteConnection::connect(&url).await.expect("a connection");
    reader.execute("BEGIN").await.expect("a beginning");
    reader.fetch_one("SELECT count(*) FROM accounts_receivable").await.expect("a count");
    let mut accounts = String::from("number\n");
    for n in 0..5000 {
        writeln!(accounts, "ACR{n}").expect("a line");
    }
    workplace.run_well(&["import", "--organisation", "acme", "accounts_receivable", "-"], &accounts);
    disk.fill();
    reader.execute("ROLLBACK").await.expect("an end");
    server.wait_for_output("the log is not brought into the file").await;
    // It is tried five times a second.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(server.output().matches("the log is not brought into the file").count(), 1, "{}", server.output());
    disk.free();
    server.wait_for_output("the log is brought into the file again").await;
}
