//! Archiving is interrupted, has calls beside it, and many events.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use chrono::{TimeDelta, Utc};
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::support::{
    Server, Setup, Workplace,
    archiving::{arguments, beside, numbers, read, stored_numbers, text, unfinished},
    event, signal, tests,
};

tests! {
    Rest:
        a_command_that_is_killed_and_run_again_loses_nothing_and_doubles_nothing,
        calls_go_on_while_events_are_archived,
        no_more_memory_is_taken_for_more_events;
}

/// Cancelled events of long ago, by the way the service itself takes.
async fn fill(server: &Server, count: usize) {
    let long_ago = Utc::now() - TimeDelta::days(1000);
    server.create_at(&vec![(long_ago, 1000); count / 1000]).await;
    let cancel = "UPDATE referral_events SET in_force = NULL";
    server.database.writer().execute_unprepared(cancel).await.expect("a cancellation");
}

async fn a_command_that_is_killed_and_run_again_loses_nothing_and_doubles_nothing(setup: Setup) {
    for (sign, name, is_reached) in [
        (
            "KILL",
            "begun.ndjson.zst",
            (|workplace, _| !unfinished(workplace).is_empty()) as fn(&Workplace, &Path) -> bool,
        ),
        ("TERM", "told.ndjson.zst", |workplace, _| !unfinished(workplace).is_empty()),
        ("KILL", "written.ndjson.zst", |_, file| file.exists()),
        ("TERM", "stopped.csv", |_, file| file.exists()),
    ] {
        let server = Server::start(setup).await;
        let workplace = beside(&server);
        fill(&server, 6000).await;
        let before = text(Utc::now());
        let command = arguments(&before, &["--output", name]);
        let file = workplace.path(name);
        let mut child = workplace.spawn(&command, Stdio::piped(), Stdio::piped());
        while !is_reached(&workplace, &file) && child.try_wait().expect("a status").is_none() {
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        if child.try_wait().expect("a status").is_none() {
            signal(sign, &[child.id()]);
        }
        let status = child.wait().expect("an end");
        let left = server.stored_events().await.len();
        if sign == "TERM" && !status.success() {
            assert_eq!(status.code(), Some(130), "{name}");
            assert_eq!(unfinished(&workplace), Vec::<PathBuf>::new(), "{name}");
        }
        if !file.exists() {
            assert_eq!(left, 6000, "{name}: nothing is removed before it is in a file");
        }
        let written = fs::read(&file).ok();

        let said = workplace.run_well(&command, "").stdout;
        match &written {
            Some(written) => {
                let expected = format!(
                    "{name} is there, with 6000 events: they are removed, and no others are archived\nremoved {left} events\n"
                );
                assert_eq!(said, expected);
                assert_eq!(&fs::read(&file).expect("a file"), written, "{name}");
            }
            None => assert_eq!(said, format!("wrote 6000 events to {name}\nremoved 6000 events\n")),
        }
        assert_eq!(server.stored_events().await, []);
        if name.ends_with(".zst") {
            assert_eq!(numbers(&read(&workplace, name)), (1..=6000).collect::<Vec<i64>>(), "{name}");
        }
    }
}

async fn calls_go_on_while_events_are_archived(setup: Setup) {
    let server = Server::start(setup).await;
    let workplace = beside(&server);
    fill(&server, 20_000).await;
    let before = text(Utc::now());
    let mut child = workplace.spawn(&arguments(&before, &["--output", "old.csv.zst"]), Stdio::piped(), Stdio::piped());
    let mut created = Vec::new();
    let mut referred = 3;
    while child.try_wait().expect("a status").is_none() {
        // Created, cancelled and created again.
        let answer = server.create(json!({}), event("1", &format!("{referred:02}"), "02")).await;
        assert_eq!(answer.code, "OK", "{answer:?}");
        let number = answer.data["number"].as_str().expect("a number").to_owned();
        assert_eq!(server.cancel(json!({"number": number})).await.code, "OK");
        created.push(number.parse::<i64>().expect("a number"));
        referred = if referred == 50 { 3 } else { referred + 1 };
    }
    let mut said = String::new();
    child.stdout.take().expect("an output").read_to_string(&mut said).expect("UTF-8");
    assert!(child.wait().expect("an end").success(), "{said}");
    assert_eq!(said, "wrote 20000 events to old.csv.zst\nremoved 20000 events\n");
    assert!(created.len() >= 10, "{} calls were made beside", created.len());
    assert_eq!(stored_numbers(&server.stored_events().await), created);
}

async fn no_more_memory_is_taken_for_more_events(setup: Setup) {
    let mut peaks = Vec::new();
    for count in [3000, 9000] {
        let server = Server::start(setup).await;
        let workplace = beside(&server);
        for first in (1..count).step_by(500) {
            server.insert_large(first..=first + 499).await;
        }
        let before = text(Utc::now());
        let command = arguments(&before, &["--state", "all", "--output", "large.ndjson.zst"]);
        let mut child = workplace.spawn(&command, Stdio::piped(), Stdio::piped());
        let mut peak = 0;
        while child.try_wait().expect("a status").is_none() {
            let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
            peak = kilobytes.map_or(peak, |kilobytes| kilobytes.parse::<usize>().expect("a number") / 1024);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(child.wait().expect("an end").success());
        assert_eq!(server.stored_events().await, []);
        peaks.push(peak);
    }
    // The larger ones are 100 MiB more. Of a SQLite file the first 32 are mapped, and count.
    assert!(peaks[1] < peaks[0] + 20, "{peaks:?} MiB");
}
