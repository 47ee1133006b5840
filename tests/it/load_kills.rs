//! A load whose program, server or database is killed on the way: every row is created exactly once.

use std::{collections::BTreeSet, fs, process::Child, time::Duration};

use serde_json::Value;

use crate::support::{Loader, Setup, referrals, setting, signal, tests};

tests! {
    NoCalls:
        a_load_goes_on_after_its_program_and_the_server_were_killed,
        a_load_that_is_told_to_stop_goes_on;
}

/// How many kills a load survives at least, unless LOAD_KILLS says how many.
const KILLS: usize = 3;
/// Enough that so many find it under way.
const ROWS_PER_KILL: usize = 4_000;
const ARGUMENTS: [&str; 5] = ["load.csv", "--created", "ids.csv", "--attempts", "100"];

/// How many rows the journal has as answered.
fn answered(loader: &Loader) -> u64 {
    let journal = fs::read(loader.workplace.path("load.csv.load.json")).unwrap_or_default();
    let journal: Value = serde_json::from_slice(&journal).unwrap_or_default();
    journal["position"]["rows"].as_u64().unwrap_or_default()
}

/// Waits until the journal has more than these rows; answers whether the program still runs.
async fn has_gone_on(loader: &Loader, child: &mut Child, rows: u64) -> bool {
    loop {
        if child.try_wait().expect("a status").is_some() {
            return false;
        }
        if answered(loader) > rows {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// At any moment of a chunk.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(u64::from(rand() % 300))).await;
}

fn rand() -> u32 {
    uuid::Uuid::new_v4().as_fields().0
}

async fn assert_created_once(loader: &Loader, rows: usize) {
    let ended = loader.load(&ARGUMENTS);
    let expected = format!("created {rows}, already there 0, failed 0: {rows} rows\n");
    assert_eq!((ended.code, ended.stdout), (Some(0), expected), "{}", ended.stderr);
    let text = loader.read("ids.csv");
    let lines: Vec<&str> = text.lines().skip(1).collect();
    let of_lines = lines.iter().map(|line| line.split(',').next().expect("a cell").to_owned());
    assert_eq!(of_lines.collect::<Vec<_>>(), (2..rows + 2).map(|line| line.to_string()).collect::<Vec<_>>());
    let told: BTreeSet<&str> = lines.iter().filter_map(|line| line.split(',').nth(3)).collect();
    let stored: BTreeSet<String> = loader.events().await.iter().map(|event| event.number.to_string()).collect();
    assert_eq!(stored.len(), rows);
    assert!(told.iter().copied().eq(stored.iter().map(String::as_str)));
}

async fn a_load_goes_on_after_its_program_and_the_server_were_killed(setup: Setup) {
    let wanted = setting("LOAD_KILLS").unwrap_or(KILLS);
    let rows = wanted * ROWS_PER_KILL;
    let mut loader = Loader::new(setup, rows);
    loader.write("load.csv", referrals(1..=rows));
    let mut kills = 0;
    let mut child = loader.begin(&ARGUMENTS);
    while has_gone_on(&loader, &mut child, answered(&loader)).await {
        a_moment().await;
        if rand().is_multiple_of(2) {
            loader.restart_server();
        } else {
            child.kill().expect("a kill");
            child.wait().expect("an end");
            child = loader.begin(&ARGUMENTS);
        }
        kills += 1;
    }
    assert!(kills >= wanted, "{kills} kills");
    assert_created_once(&loader, rows).await;
}

async fn a_load_that_is_told_to_stop_goes_on(setup: Setup) {
    let rows = KILLS * ROWS_PER_KILL;
    let loader = Loader::new(setup, rows);
    loader.write("load.csv", referrals(1..=rows));
    for name in ["INT", "TERM"] {
        let mut child = loader.begin(&ARGUMENTS);
        assert!(has_gone_on(&loader, &mut child, answered(&loader)).await);
        signal(name, &[child.id()]);
        let output = child.wait_with_output().expect("an end");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("the same command goes on after "), "{said}");
    }
    assert_created_once(&loader, rows).await;
}
