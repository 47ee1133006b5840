//! CSV, a record at a time.
//!
//! The records are split by csv-core rather than by the csv crate above it: that one counts the blank lines before a
//! record, and the line feed after a carriage return, to the record's line, it reads an open quote to the end of the
//! file, and what it has read it cannot read again in another way.

use std::io::{self, Read};

use csv_core::{ReadRecordResult, ReaderBuilder};

use super::MAXIMUM_ROW_BYTES;

pub struct Records<R> {
    source: R,
    reader: csv_core::Reader,
    delimiter: u8,
    /// What was read of the source, from `start` to `end`; the record begins at `start`.
    window: Vec<u8>,
    start: usize,
    end: usize,
    is_at_end: bool,
    /// The line of `start`, and whether a carriage return stands before it.
    line: u64,
    follows_return: bool,
    /// The lines up to this one are a record each, whatever their quotes say.
    single_until: u64,
    /// The bytes and the lines of the record.
    length: usize,
    lines: u64,
    /// Its cells, one after another, and where each of the first `cell_count` ends.
    cells: Vec<u8>,
    ends: Vec<usize>,
    cell_count: usize,
}

/// A record: its line, and its cells as they stand in the file, unquoted.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    pub line: u64,
    /// How many lines it takes.
    pub lines: u64,
    /// As it stands in the file, with its line end.
    pub raw: &'a [u8],
    cells: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Record<'a> {
    pub fn width(&self) -> usize {
        self.ends.len()
    }

    pub fn cells(&self) -> impl Iterator<Item = &'a [u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let bytes = self.cells;
        starts.zip(self.ends).map(move |(start, &end)| bytes.get(start..end).unwrap_or_default())
    }
}

/// What is next in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Record,
    /// One that is longer than a row may be, of which the beginning was read: a quote may be open, or a line end missing.
    TooLong,
    End,
}

/// How the quotes of a record are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    Sound,
    /// Something follows a quote that ends.
    Doubtful,
    /// A quote does not end.
    Open,
}

impl<R: Read> Records<R> {
    /// The records of a source whose first byte is on `line`.
    pub fn new(source: R, line: u64) -> Self {
        Self {
            source,
            reader: csv_core::Reader::new(),
            delimiter: b',',
            window: vec![0; 1 << 16],
            start: 0,
            end: 0,
            is_at_end: false,
            line,
            follows_return: false,
            single_until: 0,
            length: 0,
            lines: 0,
            cells: vec![0; 4096],
            ends: vec![0; 64],
            cell_count: 0,
        }
    }

    pub fn delimiter(&self) -> u8 {
        self.delimiter
    }

    pub fn split_by(&mut self, delimiter: u8) {
        self.delimiter = delimiter;
        self.reader = ReaderBuilder::new().delimiter(delimiter).build();
    }

    /// The next line that is not blank, without its end, or the first bytes of one that is too long. It is still to be read.
    pub fn peek_line(&mut self) -> io::Result<&[u8]> {
        self.advance();
        self.skip_line_ends()?;
        loop {
            let read = &self.window[self.start..self.end];
            let is_enough = self.is_at_end || read.len() > MAXIMUM_ROW_BYTES;
            if let Some(length) = read.iter().position(is_line_end).or(is_enough.then_some(read.len())) {
                return Ok(&self.window[self.start..self.start + length]);
            }
            self.fill()?;
        }
    }

    /// Passes over the line that was peeked at.
    pub fn skip_line(&mut self) -> io::Result<()> {
        self.length = self.peek_line()?.len();
        self.lines = 0;
        self.advance();
        self.skip_line_ends()
    }

    /// Reads the next record.
    pub fn read_next(&mut self) -> io::Result<Next> {
        self.advance();
        self.skip_line_ends()?;
        let (mut read, mut written, mut ended) = (0, 0, 0);
        let is_single = self.is_single();
        loop {
            if self.start + read == self.end && !self.is_at_end && !is_single {
                self.fill()?;
            }
            let mut input = &self.window[self.start..self.end];
            if is_single {
                // It is in the window already: it was read as a part of the record that was cut to its first line.
                input = input.split_inclusive(is_line_end).next().unwrap_or_default();
            }
            let input = input.get(read..).unwrap_or_default();
            let (result, bytes, cells, ends) =
                self.reader.read_record(input, &mut self.cells[written..], &mut self.ends[ended..]);
            read += bytes;
            written += cells;
            ended += ends;
            if read > MAXIMUM_ROW_BYTES {
                (self.length, self.cell_count) = (read, 0);
                // Of the last of them the rest may not be there.
                let raw = &self.window[self.start..self.start + read];
                let is_whole = matches!(result, ReadRecordResult::Record);
                self.lines = count_line_ends(if is_whole { without_end(raw) } else { raw });
                return Ok(Next::TooLong);
            }
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.cells.resize(self.cells.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(Next::End),
            }
        }
        if is_single {
            self.reader.reset();
        }
        (self.length, self.cell_count) = (read, ended);
        let raw = &self.window[self.start..self.start + read];
        self.lines = 1 + count_line_ends(without_end(raw));
        Ok(Next::Record)
    }

    /// The record that was read last.
    pub fn record(&self) -> Record<'_> {
        let end = self.ends.get(self.cell_count.wrapping_sub(1)).copied().unwrap_or_default();
        Record {
            line: self.line,
            lines: self.lines,
            raw: &self.window[self.start..self.start + self.length],
            cells: &self.cells[..end],
            ends: &self.ends[..self.cell_count],
        }
    }

    /// How the quotes of the record are. Those of nearly all records are sound: only one of several lines, and one at the
    /// end of the file, need be asked about.
    pub fn quoting(&self) -> Quoting {
        let raw = self.record().raw;
        let mut quoting = Quoting::Sound;
        let mut rest = raw;
        while !rest.is_empty() {
            let Some(mut quoted) = rest.strip_prefix(b"\"") else {
                rest = after(rest, |byte| *byte == self.delimiter || is_line_end(byte));
                continue;
            };
            loop {
                let Some(end) = quoted.iter().position(|byte| *byte == b'"') else { return Quoting::Open };
                quoted = &quoted[end + 1..];
                match quoted.strip_prefix(b"\"") {
                    Some(goes_on) => quoted = goes_on,
                    None => break,
                }
            }
            if quoted.first().is_some_and(|byte| *byte != self.delimiter && !is_line_end(byte)) {
                quoting = Quoting::Doubtful;
            }
            rest = after(quoted, |byte| *byte == self.delimiter || is_line_end(byte));
        }
        quoting
    }

    /// Whether the file ends with the record.
    pub fn is_last(&self) -> bool {
        self.is_at_end && self.start + self.length == self.end
    }

    /// Whether the record is one line, whatever its quotes say.
    pub fn is_single(&self) -> bool {
        self.line <= self.single_until
    }

    /// Has the record end where its first line does, and the lines after it be records of their own.
    pub fn keep_first_line(&mut self) -> &[u8] {
        let raw = &self.window[self.start..self.start + self.length];
        self.single_until = self.single_until.max(self.line + self.lines - 1);
        let length = raw.iter().position(is_line_end).unwrap_or(raw.len());
        self.length = length;
        self.lines = 0;
        self.reader.reset();
        &self.window[self.start..self.start + length]
    }

    /// Passes over the line on which the record begins, however long it is.
    pub fn skip_long_line(&mut self) -> io::Result<()> {
        (self.length, self.lines) = (0, 0);
        self.reader.reset();
        loop {
            if let Some(length) = self.window[self.start..self.end].iter().position(is_line_end) {
                self.start += length;
                return Ok(());
            }
            self.start = self.end;
            if self.is_at_end {
                return Ok(());
            }
            self.fill()?;
        }
    }

    /// Whether a record of several lines is meant to be one row: its quotes are sound, its cells as many as those of the
    /// header, and no line in it could be a row.
    pub fn is_one_row(&self, width: usize) -> bool {
        let record = self.record();
        let is_delimiter = |byte: &u8| *byte == self.delimiter;
        let could_be_a_row = |line: &[u8]| !line.is_empty() && line.split(is_delimiter).count() == width;
        let mut inner = record.raw.split(is_line_end).skip(1);
        width > 1 && record.width() == width && self.quoting() == Quoting::Sound && !inner.any(could_be_a_row)
    }

    fn advance(&mut self) {
        let raw = &self.window[self.start..self.start + self.length];
        self.follows_return = raw.last() == Some(&b'\r');
        self.line += self.lines;
        self.start += self.length;
        (self.length, self.lines) = (0, 0);
    }

    /// Passes over blank lines, and the line feed of a line end whose carriage return ended the record before.
    fn skip_line_ends(&mut self) -> io::Result<()> {
        loop {
            while let Some(byte) = self.window[self.start..self.end].first().filter(|byte| is_line_end(byte)) {
                let is_second_half = *byte == b'\n' && self.follows_return;
                self.line += u64::from(!is_second_half);
                self.follows_return = *byte == b'\r';
                self.start += 1;
            }
            if self.start < self.end || self.is_at_end {
                return Ok(());
            }
            self.fill()?;
        }
    }

    /// Reads on, so that the window has more of the record.
    fn fill(&mut self) -> io::Result<()> {
        self.window.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.end == self.window.len() {
            self.window.resize(self.end * 2, 0);
        }
        let read = self.source.read(&mut self.window[self.end..])?;
        self.end += read;
        self.is_at_end = read == 0;
        Ok(())
    }
}

fn is_line_end(byte: &u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

fn without_end(raw: &[u8]) -> &[u8] {
    raw.strip_suffix(b"\n").or(raw.strip_suffix(b"\r")).unwrap_or(raw)
}

/// How many lines end in `bytes`: with a line feed, a carriage return, or both.
pub fn count_line_ends(bytes: &[u8]) -> u64 {
    let ends = bytes.iter().filter(|byte| is_line_end(byte)).count();
    let pairs = if ends < 2 { 0 } else { bytes.windows(2).filter(|pair| *pair == b"\r\n").count() };
    (ends - pairs) as u64
}

/// What comes after the first byte that is meant.
fn after(bytes: &[u8], is_meant: impl Fn(&u8) -> bool) -> &[u8] {
    bytes.iter().position(is_meant).map_or(&[], |at| &bytes[at + 1..])
}

/// Appends a line of cells, quoted where they must be, without its end.
pub fn write_line<'a>(line: &mut Vec<u8>, cells: impl IntoIterator<Item = &'a [u8]>, delimiter: u8) {
    for (n, cell) in cells.into_iter().enumerate() {
        if n > 0 {
            line.push(delimiter);
        }
        if !cell.iter().any(|byte| *byte == delimiter || *byte == b'"' || is_line_end(byte)) {
            line.extend_from_slice(cell);
            continue;
        }
        line.push(b'"');
        for byte in cell {
            line.extend(std::iter::repeat_n(*byte, if *byte == b'"' { 2 } else { 1 }));
        }
        line.push(b'"');
    }
}
