//! `load --check`: what the first rows of a file become, without a server.

use std::io::{self, Write};

use prost::bytes::Bytes;
use serde_json::{Map, Value, json};

use super::FINISHED_WITH_FAILURES;
use crate::{
    load::{
        attributes::Attributes,
        chunks::{Part, Position},
        fault::{Fault, Trouble},
        mapping::Column,
        reader::{self, Reading},
        source::Source,
    },
    text::printable,
};

/// How many rows are looked at.
const ROWS: usize = 1000;

/// A longer value is cut short in the table.
const WIDTH: usize = 40;

struct Row {
    line: u64,
    becomes: Result<Vec<(String, String)>, Fault>,
}

pub async fn run(source: &Source, reading: Reading, as_json: bool) -> Result<u8, Trouble> {
    let attributes = Attributes::of_the_contract().map_err(Trouble::unusable)?;
    let mut parts = reader::start(source, Reading { start: Position::default(), ..reading })?;
    let mut columns = Vec::new();
    let mut rows = Vec::new();
    let mut ended = Ok(());
    while let Some(part) = parts.recv().await {
        match part {
            // What comes before it is shown.
            Err(trouble) => ended = Err(trouble),
            Ok(Part::End) => {}
            Ok(Part::Header { columns: found, .. }) => columns = found,
            Ok(Part::Chunk(chunk)) => {
                let mut events = chunk.events.into_iter();
                for row in chunk.rows {
                    let becomes = match row.fault {
                        Some(fault) => Err(fault),
                        None => Ok(events.next().map_or(Ok(Vec::new()), |event| told(&attributes, event))?),
                    };
                    rows.push(Row { line: row.line, becomes });
                }
            }
        }
        if rows.len() >= ROWS {
            rows.truncate(ROWS);
            break;
        }
    }
    let print = if as_json { print_json } else { print };
    if !columns.is_empty() || !rows.is_empty() {
        print(&columns, &rows).map_err(|cause| Trouble::stopped(cause.to_string()))?;
    }
    let is_sound = rows.iter().all(|row| row.becomes.is_ok());
    ended.map(|()| if is_sound { 0 } else { FINISHED_WITH_FAILURES })
}

fn told(attributes: &Attributes, event: Bytes) -> Result<Vec<(String, String)>, Trouble> {
    let told = attributes.of(event).map_err(Trouble::unusable)?;
    Ok(told.into_iter().map(|(attribute, value)| (attribute.path.clone(), value)).collect())
}

fn print(columns: &[Column], rows: &[Row]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let width = columns.iter().map(|column| printable(&column.name).chars().count()).max().unwrap_or_default();
    for column in columns {
        let paths: Vec<&str> = column.attributes.iter().map(|attribute| attribute.path.as_str()).collect();
        let is = if paths.is_empty() { "(passed over)".to_owned() } else { paths.join(", ") };
        writeln!(out, "{:width$}  {is}", printable(&column.name))?;
    }
    // Under its column's name, which is shorter, and which whoever made the file knows.
    let heading = |path: &str| {
        let column = columns.iter().find(|column| column.attributes.iter().any(|attribute| attribute.path == path));
        column.map_or(path.to_owned(), |column| printable(&column.name))
    };
    let mut paths: Vec<&str> = Vec::new();
    for (path, _) in rows.iter().flat_map(|row| row.becomes.iter().flatten()) {
        if !paths.contains(&path.as_str()) {
            paths.push(path);
        }
    }
    let mut table = vec![vec!["line".to_owned()]];
    table[0].extend(paths.iter().map(|path| heading(path)));
    for row in rows {
        let Ok(becomes) = &row.becomes else { continue };
        let value = |path: &&str| {
            becomes.iter().find(|(other, _)| other == path).map_or("-".to_owned(), |(_, value)| cut(value))
        };
        table.push([row.line.to_string()].into_iter().chain(paths.iter().map(value)).collect());
    }
    let widths: Vec<usize> = (0..=paths.len())
        .map(|n| table.iter().filter_map(|cells| Some(cells.get(n)?.chars().count())).max().unwrap_or_default())
        .collect();
    writeln!(out)?;
    for cells in table {
        let cells: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    let faults: Vec<(u64, &Fault)> =
        rows.iter().filter_map(|row| Some((row.line, row.becomes.as_ref().err()?))).collect();
    if !faults.is_empty() {
        writeln!(out)?;
    }
    for (line, fault) in &faults {
        writeln!(out, "line {line}: {}: {}", fault.code.name(), fault.reason)?;
    }
    writeln!(out, "\n{} rows looked at, {} of them no events", rows.len(), faults.len())
}

/// Without what would move the cursor of a terminal.
fn cut(value: &str) -> String {
    let mut plain: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WIDTH + 1).collect();
    if plain.chars().count() > WIDTH {
        plain = plain.chars().take(WIDTH - 1).chain(['…']).collect();
    }
    plain
}

fn print_json(columns: &[Column], rows: &[Row]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for column in columns {
        let paths: Vec<&str> = column.attributes.iter().map(|attribute| attribute.path.as_str()).collect();
        writeln!(out, "{}", json!({"column": column.name, "attributes": paths}))?;
    }
    for row in rows {
        let line = match &row.becomes {
            Ok(becomes) => {
                let event: Map<String, Value> =
                    becomes.iter().map(|(path, value)| (path.clone(), Value::String(value.clone()))).collect();
                json!({"line": row.line, "event": event})
            }
            Err(fault) => json!({
                "line": row.line, "error_code": fault.code.name(), "error_description": fault.reason,
            }),
        };
        writeln!(out, "{line}")?;
    }
    Ok(())
}
