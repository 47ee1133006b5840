//! The header of a CSV file: what its columns are.

use super::{
    kind::{Column, DirectoryKind, Need},
    reading::refused,
};
use crate::{
    error::{Error, Result},
    rows::{
        ERROR_COLUMNS,
        csv::{Record, write_line},
        refused::OwnColumns,
    },
    text::quoted,
};

/// The columns of a file.
pub struct Header {
    /// Each with its position among those of the kind; `None` where it is passed over.
    pub columns: Vec<Option<(usize, &'static Column)>>,
    /// Whether there is one column, beside what is passed over.
    pub is_single: bool,
    /// The kind that the columns are of, where they lack one that new rows of this kind need.
    pub suspect: Option<DirectoryKind>,
}

impl Header {
    /// The columns that are not passed over.
    pub fn own(&self, delimiter: u8) -> OwnColumns {
        OwnColumns::new(delimiter, self.columns.iter().map(Option::is_some).collect())
    }

    /// The header as it is written, without what is passed over.
    pub fn line(&self, delimiter: u8) -> Box<[u8]> {
        let mut line = Vec::new();
        write_line(&mut line, self.columns.iter().flatten().map(|(_, column)| column.name.as_bytes()), delimiter);
        line.into_boxed_slice()
    }
}

/// A name of a column as the kinds have it.
pub fn plain(name: &str) -> String {
    name.trim().to_ascii_lowercase()
}

pub fn read_header(kind: DirectoryKind, header: &Record<'_>) -> Result<Header> {
    let mut names = Vec::new();
    for cell in header.cells() {
        let name = std::str::from_utf8(cell).map_err(|_| refused(WRONG_ENCODING))?;
        names.push((plain(name), name.trim()));
    }
    let is_own = |name: &str| !ERROR_COLUMNS.contains(&name);
    let own: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).filter(|name| is_own(name)).collect();
    let mut columns: Vec<Option<(usize, &'static Column)>> = Vec::new();
    for (name, given) in &names {
        let Some(position) = kind.position(name) else {
            if is_own(name) {
                return Err(unknown(kind, header.line, given, &own));
            }
            columns.push(None);
            continue;
        };
        let column = &kind.columns()[position];
        if columns.iter().flatten().any(|(other, _)| *other == position) {
            let message = format!("line {}: the column {} occurs twice", header.line, column.name);
            return Err(refused(message).at_field(column.name));
        }
        columns.push(Some((position, column)));
    }
    let lacks = |column: &Column| column.need == Need::Mandatory && !own.contains(&column.name);
    let suspect = if kind.columns().iter().any(lacks) { kind.other_of(&own) } else { None };
    Ok(Header { is_single: own.len() == 1, columns, suspect })
}

fn unknown(kind: DirectoryKind, line: u64, name: &str, all: &[&str]) -> Error {
    let known: Vec<_> = kind.columns().iter().map(|column| column.name).collect();
    let suspicion = match kind.other_of(all) {
        Some(other) => format!("; these are columns of {other}: is that the kind that is meant?"),
        None if all.len() == 1 => {
            "; a delimiter other than , ; and tab is told by a first line such as sep=|".to_owned()
        }
        None => String::new(),
    };
    let message =
        format!("line {line}: {kind} have no column {}; they have {}{suspicion}", quoted(name), known.join(", "));
    refused(message).at_field(name)
}

const WRONG_ENCODING: &str =
    "the header is not UTF-8: save the file as CSV UTF-8, or say --encoding windows-1252 or utf-16";
