//! The first lines of a CSV file: what separates its cells, and what its columns are.

use super::{
    csv::{Record, write_line},
    kind::{Column, DirectoryKind, ERROR_COLUMNS, Need},
    reading::refused,
};
use crate::{
    error::{Error, Result},
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
    /// A row for the file of rejected rows: its cells without those that are passed over.
    pub fn source<'a>(&self, cells: impl Iterator<Item = &'a [u8]>, delimiter: u8) -> Box<[u8]> {
        let is_own = |n: usize| self.columns.get(n).is_none_or(Option::is_some);
        let mut line = Vec::new();
        write_line(&mut line, cells.enumerate().filter(|(n, _)| is_own(*n)).map(|(_, cell)| cell), delimiter);
        line.into_boxed_slice()
    }

    /// The same of a line whose cells are not to be told apart: as one cell, or as two where that would make it a row.
    pub fn source_of_text(&self, text: &[u8], delimiter: u8) -> Box<[u8]> {
        let cells: &[&[u8]] = if self.is_single { &[text, b""] } else { &[text] };
        let mut line = Vec::new();
        write_line(&mut line, cells.iter().copied(), delimiter);
        line.into_boxed_slice()
    }

    /// The header as it is written, without what is passed over.
    pub fn line(&self, delimiter: u8) -> Vec<u8> {
        let mut line = Vec::new();
        write_line(&mut line, self.columns.iter().flatten().map(|(_, column)| column.name.as_bytes()), delimiter);
        line
    }
}

/// What a first line `sep=;` says, which Excel obeys and hides.
pub fn told_delimiter(line: &[u8]) -> Option<u8> {
    match line.trim_ascii() {
        [s, e, p, b'=', delimiter] if [*s, *e, *p].eq_ignore_ascii_case(b"sep") && delimiter.is_ascii() => {
            Some(*delimiter)
        }
        // A tab at its end was trimmed.
        trimmed if trimmed.eq_ignore_ascii_case(b"sep=") && line.contains(&b'\t') => Some(b'\t'),
        _ => None,
    }
}

/// That delimiter by which the line of a header becomes the most names of columns, else the most cells.
pub fn find_delimiter(kind: DirectoryKind, line: &[u8]) -> u8 {
    let score = |delimiter: u8| {
        let cells = || line.split(|byte| *byte == delimiter);
        let known = cells().filter(|cell| {
            let name = String::from_utf8_lossy(cell);
            let name = plain(name.trim().trim_matches('"'));
            kind.position(&name).is_some() || ERROR_COLUMNS.contains(&name.as_str())
        });
        (known.count(), cells().count())
    };
    let mut best = b',';
    for delimiter in [b';', b'\t'] {
        if score(delimiter) > score(best) {
            best = delimiter;
        }
    }
    best
}

/// A name of a column as the kinds have it.
fn plain(name: &str) -> String {
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
