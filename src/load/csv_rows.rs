//! The records of a CSV file into events.

use std::{
    io::{self, Read},
    ops::ControlFlow,
};

use prost::bytes::Bytes;

use super::{
    chunks::{Chunks, Flow},
    fault::{Code, Fault, Trouble},
    mapping::{Column, Mapping},
};
use crate::rows::{
    MAXIMUM_ROW_BYTES,
    csv::{Next, Quoting, Record, Records},
    delimiter::{find_delimiter, told_delimiter},
    refused::{Format, OwnColumns},
};

pub fn unreadable(cause: io::Error) -> Trouble {
    Trouble::stopped(format!(
        "the file cannot be read on: {cause}. What comes before that is loaded; mend the rest, and run the same command again"
    ))
}

pub fn read<R: Read>(
    mut records: Records<R>,
    chunks: &mut Chunks<'_>,
    delimiter: Option<u8>,
    needs_mark: bool,
) -> Result<(), Trouble> {
    let mapping = chunks.mapping;
    let first = records.peek_line().map_err(unreadable)?;
    let told = told_delimiter(first);
    let delimiter = delimiter.or(told).unwrap_or_else(|| find_delimiter(first, |name| mapping.is_known(name)));
    if told.is_some() {
        records.skip_line().map_err(unreadable)?;
    }
    records.split_by(delimiter);
    let columns = match records.read_next().map_err(unreadable)? {
        Next::Record => header(mapping, &records.record())?,
        Next::TooLong => {
            return Err(Trouble::unusable("the header is longer than a row may be; a quote in it may be open"));
        }
        Next::End => return Err(Trouble::unusable("the file is empty")),
    };
    let own = OwnColumns::new(delimiter, columns.iter().map(|column| !column.is_of_errors).collect());
    let header = own.row(records.record().cells());
    let format = Format::Csv { columns: own.clone(), header, needs_mark };
    if chunks.begin(records.record().raw, format, columns.clone()).is_break() {
        return Ok(());
    }
    loop {
        let flow = match records.read_next().map_err(unreadable)? {
            Next::End => break,
            Next::TooLong if records.record().lines == 0 => {
                let line = records.record().line;
                records.skip_long_line().map_err(unreadable)?;
                let fault = Fault::new(Code::RowTooLong, format!("longer than {MAXIMUM_ROW_BYTES} bytes"));
                chunks.add(line, b"", |_, _| Err(fault), Box::default)
            }
            Next::Record if !is_swallowing(&records, columns.len()) => add(&records, &columns, &own, chunks),
            Next::TooLong | Next::Record => open_quote(&mut records, &own, chunks),
        }?;
        if flow.is_break() {
            break;
        }
    }
    Ok(())
}

fn header(mapping: &Mapping, record: &Record<'_>) -> Result<Vec<Column>, Trouble> {
    let names: Result<Vec<&str>, _> = record.cells().map(std::str::from_utf8).collect();
    let names = names.map_err(|_| {
        Trouble::unusable(
            "the header is not UTF-8: save the file as CSV UTF-8, or say --encoding windows-1252 or utf-16",
        )
    })?;
    mapping.columns(&names).map_err(|reason| Trouble::unusable(format!("line {}: {reason}", record.line)))
}

/// Whether a quote takes what is not meant to be in it. Only that of a record of several lines, of one that is told to be
/// one line, and of the last can.
fn is_swallowing<R: Read>(records: &Records<R>, width: usize) -> bool {
    if !records.is_single() && records.record().lines > 1 {
        return !records.is_one_row(width);
    }
    (records.is_single() || records.is_last()) && records.quoting() == Quoting::Open
}

fn add<R: Read>(records: &Records<R>, columns: &[Column], own: &OwnColumns, chunks: &mut Chunks<'_>) -> Flow {
    let record = records.record();
    if record.cells().all(|cell| cell.trim_ascii().is_empty()) {
        return Ok(ControlFlow::Continue(()));
    }
    let event = |mapping: &Mapping, number| event(mapping, columns, &record, number);
    chunks.add(record.line, record.raw, event, || own.row(record.cells()))
}

/// Takes the first line of a record for a failed row; those after it are rows of their own.
fn open_quote<R: Read>(records: &mut Records<R>, own: &OwnColumns, chunks: &mut Chunks<'_>) -> Flow {
    let line = records.record().line;
    let first = records.keep_first_line();
    let fault =
        Fault::new(Code::OpenQuote, "a quote on this line does not end on it; the lines after it are read as rows");
    chunks.add(line, first, |_, _| Err(fault), || own.row_of_text(first))
}

fn event(mapping: &Mapping, columns: &[Column], record: &Record<'_>, number: u64) -> Result<Bytes, Fault> {
    if record.width() != columns.len() {
        let reason = format!("{} cells where the header has {}", record.width(), columns.len());
        return Err(Fault::new(Code::CellCount, reason));
    }
    let mut event = mapping.begin();
    for (column, cell) in columns.iter().zip(record.cells()).filter(|(column, _)| !column.attributes.is_empty()) {
        let text = std::str::from_utf8(cell)
            .map_err(|_| Fault::new(Code::WrongEncoding, format!("{}: not UTF-8", column.name)))?
            .trim();
        for attribute in column.attributes.iter().filter(|_| !text.is_empty()) {
            mapping.give(&mut event, attribute, text)?;
        }
    }
    Ok(mapping.finish(event, number))
}
