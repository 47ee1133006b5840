//! A file's bytes into batches of rows, on a thread of their own.

use std::{
    io::{self, BufRead, BufReader, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    csv_rows, ndjson,
    reading::{Reading, refused, unreadable},
    rejection::{Code, Fault},
    row::Row,
};
use crate::{
    error::Result,
    rows::{
        MAXIMUM_ROW_BYTES,
        csv::Records,
        encoding::{self, Encoding},
        ndjson::{Line, Lines},
        refused::Format,
    },
};

const BUFFER_BYTES: usize = 1 << 16;

/// Counts the bytes that are read.
pub struct Metered<R> {
    pub source: R,
    pub bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Reads `source` to its end and sends its rows. It ends early where nobody receives.
pub fn read<R: Read + 'static>(source: Metered<R>, encoding: Option<Encoding>, reading: &Reading<'_>) -> Result<()> {
    let text = encoding::decode(source, encoding).map_err(unreadable)?;
    let mut source = BufReader::with_capacity(BUFFER_BYTES, text.source);
    let (line, first) = skip_blank(&mut source).map_err(unreadable)?;
    match first {
        None => Err(refused("the file is empty")),
        Some(b'{') => read_ndjson(Lines::new(source, line), reading),
        Some(_) => csv_rows::read(Records::new(source, line), reading, text.needs_mark),
    }
}

/// Passes over blank space; answers the line that it comes to, and the first byte there.
fn skip_blank(source: &mut impl BufRead) -> io::Result<(u64, Option<u8>)> {
    let mut line = 1;
    let mut before = 0;
    loop {
        let first = source.fill_buf()?.first().copied();
        let Some(byte) = first.filter(u8::is_ascii_whitespace) else { return Ok((line, first)) };
        line += u64::from(byte == b'\r' || byte == b'\n' && before != b'\r');
        before = byte;
        source.consume(1);
    }
}

fn read_ndjson<R: BufRead>(mut lines: Lines<R>, reading: &Reading<'_>) -> Result<()> {
    let mut batches = reading.batches(Format::Ndjson);
    while let Some(line) = lines.read_next().map_err(unreadable)? {
        let is_received = match line {
            Line::Whole(line, bytes) => {
                let source = reading.keeps_rejected.then(|| Box::from(bytes));
                match ndjson::read_row(reading.checker, line, bytes) {
                    Ok(row) => batches.add(Row { source, ..row }),
                    Err(fault) => batches.reject(line, fault, source),
                }
            }
            Line::TooLong(line) => {
                let fault = Fault::new(Code::RowTooLong, format!("longer than {MAXIMUM_ROW_BYTES} bytes"));
                batches.reject(line, fault, None)
            }
        };
        if !is_received {
            return Ok(());
        }
    }
    batches.send();
    Ok(())
}
