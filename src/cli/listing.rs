//! Lists: plain columns to be read, JSON for scripts.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value};

use super::say;

/// What is shown where there is nothing.
const NOTHING: &str = "-";

/// Prints rows under their columns, or as an array of objects.
pub fn print<const N: usize>(columns: [&str; N], rows: Vec<[Option<String>; N]>, as_json: bool) {
    if as_json {
        let object = |row: [Option<String>; N]| {
            let values = row.into_iter().map(|value| value.map_or(Value::Null, Value::String));
            columns.iter().map(|column| (*column).to_owned()).zip(values).collect::<Map<String, Value>>()
        };
        let objects: Vec<Value> = rows.into_iter().map(|row| Value::Object(object(row))).collect();
        return say(&format!("{:#}", Value::Array(objects)));
    }
    let mut widths = columns.map(|column| column.chars().count());
    for row in &rows {
        for (width, value) in widths.iter_mut().zip(row) {
            *width = (*width).max(value.as_deref().unwrap_or(NOTHING).chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let padded: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        say(padded.join("  ").trim_end());
    };
    line(columns);
    for row in &rows {
        line(row.each_ref().map(|value| value.as_deref().unwrap_or(NOTHING)));
    }
}

pub fn date(date: DateTime<Utc>) -> String {
    date.to_rfc3339_opts(SecondsFormat::Secs, true)
}
