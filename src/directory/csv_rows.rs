//! The records of a CSV file into rows.

use std::io::Read;

use super::{
    header::{self, Header},
    reading::{Reading, refused, unreadable},
    rejection::{Code, Fault},
    row::{Checker, Row},
    summary::Remarks,
};
use crate::{
    error::Result,
    rows::{
        MAXIMUM_ROW_BYTES,
        csv::{Next, Quoting, Record, Records, count_line_ends},
        delimiter::{DELIMITERS, find_delimiter, told_delimiter},
        refused::Format,
    },
};

pub fn read<R: Read>(mut records: Records<R>, reading: &Reading<'_>, needs_mark: bool) -> Result<()> {
    let kind = reading.checker.kind;
    let first = records.peek_line().map_err(unreadable)?;
    match told_delimiter(first) {
        Some(delimiter) => {
            records.skip_line().map_err(unreadable)?;
            records.split_by(delimiter);
        }
        None => {
            let delimiter = find_delimiter(first, |name| kind.position(&header::plain(name)).is_some());
            records.split_by(delimiter);
        }
    }
    if !next(&mut records)? {
        return Err(refused("the file is empty"));
    }
    let header = header::read_header(kind, &records.record())?;
    let delimiter = records.delimiter();
    let own = header.own(delimiter);
    let format = Format::Csv { columns: header.own(delimiter), header: header.line(delimiter), needs_mark };
    let mut batches = reading.batches(format);
    batches.remarks.suspect = header.suspect;
    while next(&mut records)? {
        check_end(&records)?;
        let record = records.record();
        let is_open = records.is_single() && records.quoting() == Quoting::Open;
        if !is_open && record.cells().all(|cell| cell.trim_ascii().is_empty()) {
            batches.remarks.blank_rows += 1;
            continue;
        }
        let (line, lines) = (record.line, record.lines);
        let source = |text: &[u8]| reading.keeps_rejected.then(|| own.row_of_text(text));
        let blanks_cut = batches.remarks.blanks_cut;
        let row = read_record(reading.checker, &header, &record, delimiter, &mut batches.remarks);
        let is_received = match row {
            _ if is_open => {
                let fault = Fault::new(Code::OpenQuote, "a quote on this line does not end on it");
                batches.reject(line, fault, source(records.keep_first_line()))
            }
            Err(_) if lines > 1 && !records.is_one_row(header.columns.len()) => {
                // What was taken for its cells is none, and nothing was cut from it.
                batches.remarks.blanks_cut = blanks_cut;
                let last = line + lines - 1;
                let reason = format!(
                    "a quote that begins here takes {lines} lines, to line {last}; those after this one are read as rows \
                     of their own"
                );
                batches.reject(line, Fault::new(Code::OpenQuote, reason), source(records.keep_first_line()))
            }
            row => {
                let source = reading.keeps_rejected.then(|| own.row(record.cells()));
                match row {
                    Ok(row) => batches.add(Row { source, ..row }),
                    Err(fault) => batches.reject(line, spanning(fault, lines), source),
                }
            }
        };
        if !is_received {
            return Ok(());
        }
    }
    batches.send();
    Ok(())
}

/// The fault of a row that takes several lines.
fn spanning(mut fault: Fault, lines: u64) -> Fault {
    if lines > 1 {
        fault.reason.push_str(&format!("; a quoted cell takes the {lines} lines from here"));
    }
    fault
}

/// Refuses a file that ends inside a quote.
fn check_end<R: Read>(records: &Records<R>) -> Result<()> {
    if !records.is_last() || records.is_single() || records.quoting() != Quoting::Open {
        return Ok(());
    }
    let Record { line, raw, .. } = records.record();
    let lines = 1 + count_line_ends(raw.strip_suffix(b"\n").unwrap_or(raw));
    Err(refused(format!(
        "line {line}: a quote begins here that nothing ends: the file ends inside it, after {lines} lines; take the \
         quote away, or write it twice in a quoted cell; if the file was cut off, get the whole of it"
    )))
}

/// Reads the next record; answers whether there is one.
fn next<R: Read>(records: &mut Records<R>) -> Result<bool> {
    match records.read_next().map_err(unreadable)? {
        Next::Record => Ok(true),
        Next::End => Ok(false),
        Next::TooLong => Err(refused(format!(
            "the file cannot be read on: line {}: the row is longer than {MAXIMUM_ROW_BYTES} bytes; a quote on that line \
             may be open",
            records.record().line
        ))),
    }
}

fn read_record(
    checker: &Checker,
    header: &Header,
    record: &Record<'_>,
    delimiter: u8,
    remarks: &mut Remarks,
) -> Result<Row, Fault> {
    if record.width() != header.columns.len() {
        let (cells, columns) = (record.width(), header.columns.len());
        return Err(Fault::new(Code::CellCount, format!("{cells} cells where the header has {columns}")));
    }
    let mut row = checker.row(record.line);
    for (column, cell) in header.columns.iter().zip(record.cells()) {
        let Some((position, column)) = column else { continue };
        let text = std::str::from_utf8(cell).map_err(|_| Fault::of(column, Code::WrongEncoding, "not UTF-8"))?;
        let trimmed = text.trim();
        remarks.blanks_cut += u64::from(trimmed.len() < text.len());
        row.cells[*position] = checker.check(column, trimmed)?;
        if header.is_single
            && let Some(found) = trimmed.chars().find(|c| DELIMITERS.contains(c) && *c != char::from(delimiter))
        {
            remarks.delimiters += 1;
            remarks.first_delimiter.get_or_insert((record.line, found));
        }
    }
    Ok(row)
}
