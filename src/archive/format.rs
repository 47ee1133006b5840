//! How events stand in an archive: a line of JSON each, as REST tells them, or a row of CSV.

use std::{
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use prost_reflect::{Kind, MessageDescriptor};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    contract::{self, CustomerEvent},
    error::{Error, ErrorKind, Result},
    id::EventId,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Ndjson,
    Csv,
}

/// What a file's name says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub format: Format,
    /// Whether it is packed by zstd.
    pub is_packed: bool,
}

impl Kept {
    pub fn as_named(path: &Path) -> Result<Self> {
        let is_packed = path.extension().is_some_and(|ending| ending == "zst");
        let name = if is_packed { path.with_extension("") } else { path.to_owned() };
        let format = match name.extension().and_then(|ending| ending.to_str()) {
            Some("ndjson") => Format::Ndjson,
            Some("csv") => Format::Csv,
            _ => {
                let message = format!(
                    "the name {} does not say what the file is: let it end in .ndjson or .csv, and in .zst after that \
                     where it is to be packed",
                    path.display()
                );
                return Err(Error::new(ErrorKind::MalformedRequest, message));
            }
        };
        Ok(Self { format, is_packed })
    }
}

impl Format {
    /// What stands before the first event.
    pub fn head(self) -> Result<Vec<u8>> {
        match self {
            Self::Ndjson => Ok(Vec::new()),
            Self::Csv => csv_line(columns()?.iter().map(|column| column.join("."))),
        }
    }

    pub fn text(self, events: &[CustomerEvent]) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let columns = columns()?;
        for event in events {
            match self {
                Self::Ndjson => {
                    serde_json::to_writer(&mut text, event).map_err(Error::internal)?;
                    text.push(b'\n');
                }
                Self::Csv => {
                    let event = serde_json::to_value(event).map_err(Error::internal)?;
                    text.extend(csv_line(columns.iter().map(|column| cell(&event, column)))?);
                }
            }
        }
        Ok(text)
    }
}

/// A column for each attribute, `NAME.PART` for what has parts: all that the contract has of an event.
fn columns() -> Result<Vec<Vec<String>>> {
    let event = contract::descriptor::<CustomerEvent>().map_err(Error::internal)?;
    let mut columns = Vec::new();
    add_columns(&event, &[], &mut columns);
    Ok(columns)
}

fn add_columns(message: &MessageDescriptor, above: &[String], columns: &mut Vec<Vec<String>>) {
    for field in message.fields() {
        let path = [above, &[field.name().to_owned()]].concat();
        match field.kind() {
            Kind::Message(part) if part.name() != "Timestamp" => add_columns(&part, &path, columns),
            _ => columns.push(path),
        }
    }
}

fn cell(event: &Value, column: &[String]) -> String {
    let value = column.iter().try_fold(event, |value, name| value.get(name));
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

fn csv_line(cells: impl Iterator<Item = String>) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells).map_err(Error::internal)?;
    writer.into_inner().map_err(|error| Error::internal(error.into_error()))
}

/// An event that is in an archive, as far as its removal goes by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: EventId,
    pub is_in_force: bool,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    life_cycle_state: String,
}

impl Row {
    fn entry(self) -> io::Result<Entry> {
        let id =
            Uuid::try_parse(&self.id).map_err(|_| io::Error::other(format!("{:?} is no id of an event", self.id)))?;
        let is_in_force = match self.life_cycle_state.as_str() {
            "POSTED" => true,
            "CANCELLED" => false,
            state => return Err(io::Error::other(format!("{state:?} is no state of an event"))),
        };
        Ok(Entry { id: EventId(id), is_in_force })
    }
}

/// The events of a text, one after the other.
pub fn entries(format: Format, text: impl Read + Send + 'static) -> Box<dyn Iterator<Item = io::Result<Entry>> + Send> {
    match format {
        Format::Ndjson => Box::new(BufReader::new(text).lines().map(|line| {
            let row: Row = serde_json::from_str(&line?)?;
            row.entry()
        })),
        Format::Csv => {
            let mut rows = csv::Reader::from_reader(text);
            // The rows would pass over a header that cannot be read.
            match rows.headers() {
                Ok(_) => Box::new(rows.into_deserialize().map(|row: csv::Result<Row>| row?.entry())),
                Err(error) => Box::new(std::iter::once(Err(error.into()))),
            }
        }
    }
}
