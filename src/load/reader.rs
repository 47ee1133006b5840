//! A file into chunks, on a thread of its own.

use std::{
    io::{BufRead, BufReader, Cursor, Read},
    sync::Arc,
    thread,
};

use tokio::sync::mpsc::{self, Receiver};

use super::{
    chunks::{Chunks, Part, Position},
    csv_rows::{self, unreadable},
    fault::Trouble,
    json_rows,
    mapping::Mapping,
    source::Source,
};
use crate::{
    contract::{self, BulkCreateReferralEventsRequest},
    rows::{
        csv::Records,
        encoding::{Encoding, decode},
        refused::Format as RowFormat,
    },
};

/// How much of a file is looked at to tell its format.
const BEGINNING: u64 = 4096;

/// How the file is read.
pub struct Reading {
    pub mapping: Mapping,
    pub encoding: Option<Encoding>,
    /// What separates the cells of CSV, where it is not to be found out.
    pub delimiter: Option<u8>,
    /// What is before it is passed over.
    pub start: Position,
}

/// Begins to read; what is not received stays unread, but for a chunk.
pub fn start(source: &Source, reading: Reading) -> Result<Receiver<Result<Part, Trouble>>, Trouble> {
    check_flags(source, &reading)?;
    let bytes = source.bytes().map_err(unreadable)?;
    let (sender, receiver) = mpsc::channel(1);
    let bytes_read = source.read.clone();
    let read = move || {
        let mut chunks = Chunks::new(&reading.mapping, &sender, &bytes_read, reading.start.clone());
        let read = read(bytes, &reading, &mut chunks);
        chunks.end(read);
    };
    let thread = thread::Builder::new().name("load".to_owned()).spawn(read);
    thread.map_err(|cause| Trouble::stopped(format!("no thread can be started: {cause}")))?;
    Ok(receiver)
}

/// Waits for the first part, which has the file's format.
pub async fn format(parts: &mut Receiver<Result<Part, Trouble>>) -> Result<Arc<RowFormat>, Trouble> {
    match parts.recv().await.transpose()? {
        Some(Part::Header { format, .. }) => Ok(format),
        _ => Err(Trouble::unusable("the file has no beginning")),
    }
}

/// Refuses a body that asks, wherever in it, for what no load does, before any of it is sent. What can be read but once is
/// refused where it says so.
fn check_flags(source: &Source, reading: &Reading) -> Result<(), Trouble> {
    if !source.is_file() {
        return Ok(());
    }
    let text = begin(source.bytes().map_err(unreadable)?, reading.encoding)?;
    if let Format::Body = text.format {
        json_rows::check_flags(text.source)?;
    }
    source.rewind().map_err(unreadable)
}

fn read(bytes: Box<dyn Read + Send>, reading: &Reading, chunks: &mut Chunks<'_>) -> Result<(), Trouble> {
    let Text { format, source, needs_mark } = begin(bytes, reading.encoding)?;
    match format {
        Format::Csv => csv_rows::read(Records::new(source, 1), chunks, reading.delimiter, needs_mark),
        Format::Lines => json_rows::read_lines(source, chunks),
        Format::Body => json_rows::read_body(source, chunks),
    }
}

/// A file in UTF-8, of which no more is read than tells its format.
struct Text<R> {
    format: Format,
    source: R,
    needs_mark: bool,
}

fn begin(bytes: Box<dyn Read + Send>, encoding: Option<Encoding>) -> Result<Text<impl BufRead>, Trouble> {
    let mut text = decode(bytes, encoding).map_err(|cause| {
        let sentence = format!("the file cannot be read: {cause}");
        Trouble::unusable(sentence)
    })?;
    let mut beginning = Vec::new();
    text.source.by_ref().take(BEGINNING).read_to_end(&mut beginning).map_err(unreadable)?;
    let format = Format::of(&beginning)?;
    let source = BufReader::with_capacity(1 << 16, Cursor::new(beginning).chain(text.source));
    Ok(Text { format, source, needs_mark: text.needs_mark })
}

enum Format {
    Csv,
    /// An object a line.
    Lines,
    /// The documented body, or an array of events.
    Body,
}

impl Format {
    /// Tells a format by the first characters. An object is a body where its first name is one of a body.
    fn of(beginning: &[u8]) -> Result<Self, Trouble> {
        let text = beginning.trim_ascii_start();
        match text.first() {
            None => Err(Trouble::unusable("the file is empty")),
            Some(b'[') => Ok(Self::Body),
            Some(b'{') => {
                let name = text[1..].trim_ascii_start().strip_prefix(b"\"").unwrap_or_default();
                let name = name.split(|byte| *byte == b'"').next().unwrap_or_default();
                let body = contract::descriptor::<BulkCreateReferralEventsRequest>().map_err(Trouble::unusable)?;
                let is_of_body = body.fields().any(|field| field.name().as_bytes() == name);
                Ok(if is_of_body { Self::Body } else { Self::Lines })
            }
            Some(_) => Ok(Self::Csv),
        }
    }
}
