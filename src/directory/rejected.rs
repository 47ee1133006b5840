//! The file of rejected rows: in the format of the file that they are from, so that it can be mended and imported.

use std::io::{self, Write};

use super::{csv, kind::ERROR_COLUMNS, ndjson, rejection::Rejection};

/// The format of a file, as far as it is kept.
pub enum Format {
    Csv {
        delimiter: u8,
        /// The header, without the columns that are passed over.
        header: Vec<u8>,
        needs_mark: bool,
    },
    Ndjson,
}

pub struct RejectedFile {
    output: Box<dyn Write + Send>,
    has_begun: bool,
}

impl RejectedFile {
    pub fn new(output: Box<dyn Write + Send>) -> Self {
        Self { output, has_begun: false }
    }

    pub fn write(&mut self, format: &Format, rejections: &[Rejection]) -> io::Result<()> {
        let mut text = Vec::new();
        for rejection in rejections {
            let row = rejection.source.as_deref().unwrap_or_default();
            let error = [rejection.cause.code.name(), rejection.reason.as_str()];
            match format {
                Format::Csv { delimiter, header, needs_mark } => {
                    if !self.has_begun {
                        text.extend_from_slice(if *needs_mark { "\u{feff}" } else { "" }.as_bytes());
                        write_beside(&mut text, ERROR_COLUMNS, header, *delimiter);
                    }
                    write_beside(&mut text, error, row, *delimiter);
                }
                Format::Ndjson => ndjson::write_rejected(&mut text, ERROR_COLUMNS.into_iter().zip(error), row),
            }
            self.has_begun = true;
        }
        self.output.write_all(&text)?;
        self.output.flush()
    }
}

fn write_beside(text: &mut Vec<u8>, first: [&str; 2], row: &[u8], delimiter: u8) {
    csv::write_line(text, first.into_iter().map(str::as_bytes), delimiter);
    text.push(delimiter);
    text.extend_from_slice(row);
    text.extend_from_slice(b"\r\n");
}
