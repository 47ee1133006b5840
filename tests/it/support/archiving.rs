//! Archives of old events, made by the program beside a server.

use std::{fs, path::PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use referral_events::storage::entity::referral_event::Model;
use serde_json::Value;

use super::{Ended, Server, TestDatabase, Workplace};

/// A folder whose programs use the server's database.
pub fn beside(server: &Server) -> Workplace {
    Workplace::over(TestDatabase::at(server.database_url()))
}

pub fn text(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Archives the events of acme.
pub fn archive(workplace: &Workplace, before: DateTime<Utc>, more: &[&str]) -> Ended {
    workplace.run_well(&arguments(&text(before), more), "")
}

pub fn arguments<'a>(before: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["events", "archive", "--organisation", "acme", "--before", before], more].concat()
}

/// The events of an archive, as the program reads them back.
pub fn read(workplace: &Workplace, name: &str) -> Vec<Value> {
    let text = workplace.run_well(&["events", "read", name], "").stdout;
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

pub fn numbers(events: &[Value]) -> Vec<i64> {
    events.iter().map(|event| event["number"].as_str().expect("a number").parse().expect("digits")).collect()
}

pub fn stored_numbers(events: &[Model]) -> Vec<i64> {
    events.iter().map(|event| event.number.0).collect()
}

/// The files of a folder that have no name yet.
pub fn unfinished(workplace: &Workplace) -> Vec<PathBuf> {
    let entries = fs::read_dir(workplace.path("")).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))).collect()
}
