//! CSV, a record at a time.
//!
//! The records are split by csv-core rather than by the csv crate above it: that one counts the blank lines before a
//! record, and the line feed after a carriage return, to the record's line, and it reads an open quote to the end of
//! the file.

use std::io::{self, BufRead};

use csv_core::ReadRecordResult;

use super::position::{MAXIMUM_ROW_BYTES, Position};

pub struct Records<R> {
    source: R,
    reader: csv_core::Reader,
    position: Position,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// A record: its line, and its fields as they stand in the file, unquoted.
pub struct Record<'a> {
    pub line: u64,
    bytes: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Record<'a> {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn fields(&self) -> impl Iterator<Item = &'a [u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let bytes = self.bytes;
        starts.zip(self.ends).map(move |(start, &end)| bytes.get(start..end).unwrap_or_default())
    }
}

impl<R: BufRead> Records<R> {
    pub fn new(source: R, position: Position) -> Self {
        Self { source, reader: csv_core::Reader::new(), position, bytes: vec![0; 4096], ends: vec![0; 64] }
    }

    /// How far the source has been read.
    pub fn position(&self) -> Position {
        self.position
    }

    pub fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        self.skip_line_ends()?;
        let line = self.position.line;
        let start = self.position.bytes;
        let (mut written, mut ended) = (0, 0);
        loop {
            let input = self.source.fill_buf()?;
            let (result, read, bytes, ends) =
                self.reader.read_record(input, &mut self.bytes[written..], &mut self.ends[ended..]);
            self.position.advance(&input[..read]);
            self.source.consume(read);
            written += bytes;
            ended += ends;
            if self.position.bytes - start > MAXIMUM_ROW_BYTES {
                return Err(io::Error::other(format!(
                    "line {line}: the row is longer than {MAXIMUM_ROW_BYTES} bytes; a quote may be open"
                )));
            }
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.bytes.resize(self.bytes.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => {
                    return Ok(Some(Record { line, bytes: &self.bytes[..written], ends: &self.ends[..ended] }));
                }
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    /// Passes over blank lines, and the line feed of a line end whose carriage return ended the record before.
    fn skip_line_ends(&mut self) -> io::Result<()> {
        loop {
            let input = self.source.fill_buf()?;
            let blank = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            let is_done = blank < input.len() || input.is_empty();
            self.position.advance(&input[..blank]);
            self.source.consume(blank);
            if is_done {
                return Ok(());
            }
        }
    }
}
