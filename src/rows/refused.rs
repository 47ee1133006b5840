//! The file of refused rows: in the format of the file that they are from, each with its error, to be mended and read again.

use super::{ERROR_COLUMNS, csv::write_line, ndjson::write_refused};

/// The format of a file, as far as it is kept.
pub enum Format {
    Csv {
        columns: OwnColumns,
        /// The header, without the columns that are passed over.
        header: Box<[u8]>,
        needs_mark: bool,
    },
    Ndjson,
}

/// The columns of a CSV file without those of an earlier file of refused rows.
#[derive(Clone)]
pub struct OwnColumns {
    delimiter: u8,
    is_own: Vec<bool>,
}

impl OwnColumns {
    pub fn new(delimiter: u8, is_own: Vec<bool>) -> Self {
        Self { delimiter, is_own }
    }

    pub fn is_single(&self) -> bool {
        self.is_own.iter().filter(|is_own| **is_own).count() == 1
    }

    /// A row of the file, as the file of refused rows has it.
    pub fn row<'a>(&self, cells: impl Iterator<Item = &'a [u8]>) -> Box<[u8]> {
        let is_own = |n: usize| self.is_own.get(n).is_none_or(|is_own| *is_own);
        self.line(cells.enumerate().filter(|(n, _)| is_own(*n)).map(|(_, cell)| cell))
    }

    /// The same of a line whose cells are not to be told apart: as one cell, or as two where that would make it a row.
    pub fn row_of_text(&self, text: &[u8]) -> Box<[u8]> {
        let cells: &[&[u8]] = if self.is_single() { &[text, b""] } else { &[text] };
        self.line(cells.iter().copied())
    }

    fn line<'a>(&self, cells: impl Iterator<Item = &'a [u8]>) -> Box<[u8]> {
        let mut line = Vec::new();
        write_line(&mut line, cells, self.delimiter);
        line.into_boxed_slice()
    }
}

impl Format {
    /// What the name of such a file ends in.
    pub fn extension(&self) -> &'static str {
        match self {
            Self::Csv { .. } => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    /// What a file begins with.
    pub fn begin(&self, text: &mut Vec<u8>) {
        if let Self::Csv { columns, header, needs_mark } = self {
            text.extend_from_slice(if *needs_mark { "\u{feff}" } else { "" }.as_bytes());
            write_beside(text, ERROR_COLUMNS, header, columns.delimiter);
        }
    }

    /// Appends a row with its error, a code and a sentence.
    pub fn write(&self, text: &mut Vec<u8>, error: [&str; 2], row: &[u8]) {
        match self {
            Self::Csv { columns, .. } => write_beside(text, error, row, columns.delimiter),
            Self::Ndjson => write_refused(text, ERROR_COLUMNS.into_iter().zip(error), row),
        }
    }
}

fn write_beside(text: &mut Vec<u8>, first: [&str; 2], row: &[u8], delimiter: u8) {
    write_line(text, first.into_iter().map(str::as_bytes), delimiter);
    text.push(delimiter);
    text.extend_from_slice(row);
    text.extend_from_slice(b"\r\n");
}
