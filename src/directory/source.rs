//! A file's bytes into batches of rows, on a thread of their own.

use std::io::{self, BufRead, BufReader, Read};

use tokio::sync::mpsc::Sender;

use super::{
    csv::{Record, Records},
    kind::Column,
    ndjson::{self, Line, Lines},
    position::{MAXIMUM_ROW_BYTES, Position},
    row::{Checker, Rejection, Row},
};
use crate::{
    error::{Error, ErrorKind, Result},
    text::quoted,
};

const BUFFER_BYTES: usize = 1 << 16;
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Rows that follow each other in the file.
pub struct Batch {
    pub rows: Vec<Row>,
    /// Those between them that can't be read.
    pub rejections: Vec<Rejection>,
    /// The bytes of the file up to the end of the batch.
    pub bytes: u64,
}

/// Reads `source` to its end and sends its rows, `rows_a_batch` at a time. It ends early where nobody receives.
pub fn read(source: impl Read, checker: &Checker, rows_a_batch: usize, batches: &Sender<Batch>) -> Result<()> {
    let mut source = BufReader::with_capacity(BUFFER_BYTES, source);
    let (position, first) = skip_blank(&mut source).map_err(unreadable)?;
    match first {
        None => Err(refused("the file is empty")),
        Some(b'{') => read_ndjson(Lines::new(source, position), checker, rows_a_batch, batches),
        Some(_) => read_csv(Records::new(source, position), checker, rows_a_batch, batches),
    }
}

/// Passes over a byte order mark and blank space; answers the first byte after.
fn skip_blank(source: &mut impl BufRead) -> io::Result<(Position, Option<u8>)> {
    let mut position = Position { bytes: 0, line: 1 };
    let mut bom = BOM;
    loop {
        let input = source.fill_buf()?;
        let Some(&byte) = input.first() else { return Ok((position, None)) };
        match bom.split_first() {
            Some((expected, rest)) if byte == *expected => bom = rest,
            _ if byte.is_ascii_whitespace() => bom = &[],
            _ => return Ok((position, Some(byte))),
        }
        position.advance(&[byte]);
        source.consume(1);
    }
}

fn read_csv<R: BufRead>(
    mut records: Records<R>,
    checker: &Checker,
    rows_a_batch: usize,
    batches: &Sender<Batch>,
) -> Result<()> {
    let columns = match records.next().map_err(unreadable)? {
        Some(header) => read_header(checker, &header)?,
        None => return Err(refused("the file is empty")),
    };
    let mut batch = Building::new(rows_a_batch, batches);
    while let Some(record) = records.next().map_err(unreadable)? {
        let row = read_record(checker, &columns, &record).map_err(|reason| (record.line, reason));
        if !batch.add(row, records.position()) {
            return Ok(());
        }
    }
    batch.finish(records.position());
    Ok(())
}

/// The columns of a header, each with its position among the kind's.
fn read_header(checker: &Checker, header: &Record<'_>) -> Result<Vec<(usize, &'static Column)>> {
    let mut columns: Vec<(usize, &'static Column)> = Vec::new();
    for field in header.fields() {
        let name = std::str::from_utf8(field).map_err(|_| refused("the header is not UTF-8"))?.trim();
        let Some(position) = checker.kind.position(name) else {
            let known: Vec<_> = checker.kind.columns().iter().map(|column| column.name).collect();
            let message = format!(
                "line {}: {} have no column {}; they have {}",
                header.line,
                checker.kind,
                quoted(name),
                known.join(", ")
            );
            return Err(refused(message).at_field(name));
        };
        if columns.iter().any(|(other, _)| *other == position) {
            return Err(refused(format!("line {}: the column {name} occurs twice", header.line)).at_field(name));
        }
        columns.push((position, &checker.kind.columns()[position]));
    }
    Ok(columns)
}

fn read_record(checker: &Checker, columns: &[(usize, &Column)], record: &Record<'_>) -> Result<Row, String> {
    if record.len() != columns.len() {
        return Err(format!("{} fields where the header has {}", record.len(), columns.len()));
    }
    let mut row = checker.row(record.line);
    for (&(position, column), field) in columns.iter().zip(record.fields()) {
        let text = std::str::from_utf8(field).map_err(|_| format!("{}: not UTF-8", column.name))?;
        row.cells[position] = checker.check(column, text)?;
    }
    Ok(row)
}

fn read_ndjson<R: BufRead>(
    mut lines: Lines<R>,
    checker: &Checker,
    rows_a_batch: usize,
    batches: &Sender<Batch>,
) -> Result<()> {
    let mut batch = Building::new(rows_a_batch, batches);
    while let Some(line) = lines.next().map_err(unreadable)? {
        let row = match line {
            Line::Whole(line, bytes) => ndjson::read_row(checker, line, bytes).map_err(|reason| (line, reason)),
            Line::TooLong(line) => Err((line, format!("longer than {MAXIMUM_ROW_BYTES} bytes"))),
        };
        if !batch.add(row, lines.position()) {
            return Ok(());
        }
    }
    batch.finish(lines.position());
    Ok(())
}

/// The batch that is being filled.
struct Building<'a> {
    size: usize,
    batches: &'a Sender<Batch>,
    rows: Vec<Row>,
    rejections: Vec<Rejection>,
}

impl<'a> Building<'a> {
    fn new(size: usize, batches: &'a Sender<Batch>) -> Self {
        Self { size, batches, rows: Vec::with_capacity(size), rejections: Vec::new() }
    }

    /// Adds a row, or the line and the reason of one that can't be read, and sends the batch where it is full.
    /// Answers whether anybody still receives.
    fn add(&mut self, row: Result<Row, (u64, String)>, position: Position) -> bool {
        match row {
            Ok(row) => self.rows.push(row),
            Err((line, reason)) => self.rejections.push(Rejection { line, reason }),
        }
        if self.rows.len() + self.rejections.len() < self.size {
            return true;
        }
        let full = std::mem::replace(self, Self::new(self.size, self.batches));
        full.finish(position)
    }

    /// Sends what there is.
    fn finish(self, position: Position) -> bool {
        let batch = Batch { rows: self.rows, rejections: self.rejections, bytes: position.bytes };
        self.batches.blocking_send(batch).is_ok()
    }
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::MalformedRequest, message)
}

fn unreadable(cause: io::Error) -> Error {
    Error::new(ErrorKind::MalformedRequest, format!("the file cannot be read on: {cause}")).caused_by(cause)
}
