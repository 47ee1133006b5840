//! The rows of a file in chunks, each of which is a call's worth of events.
//!
//! Where a chunk ends follows from the rows of the file alone, so that a load that goes on cuts what it sends again as it
//! was cut before.

use std::{
    mem,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use prost::bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::Sender;

use super::{
    fault::{Fault, Trouble},
    mapping::{Column, Mapping},
};
use crate::{contract::MAXIMUM_EVENTS, rows::refused::Format};

/// A chunk ends with the row that brings it to so many bytes, so that the memory for it is bounded.
const CHUNK_BYTES: usize = 1 << 21;

/// A place between two rows of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// How many rows are before it.
    pub rows: u64,
    /// The hash of all that is before it.
    pub hash: String,
}

/// What is read of a file.
pub enum Part {
    /// What its columns are; first of all.
    Header {
        format: Arc<Format>,
        columns: Vec<Column>,
    },
    Chunk(Chunk),
    /// Without it the file was not read to its end.
    End,
}

#[derive(Default)]
pub struct Chunk {
    pub rows: Vec<Row>,
    /// Those of the rows without a fault, as their messages are written.
    pub events: Vec<Bytes>,
    pub end: Position,
    /// How many bytes of the file were read when it was full; some of them are of later chunks.
    pub bytes_read: u64,
}

pub struct Row {
    /// On which it begins; the first is 1.
    pub line: u64,
    /// Why it is no event, if so.
    pub fault: Option<Fault>,
    /// As it is to stand in the file of failed rows.
    pub source: Box<[u8]>,
}

/// Takes rows, and sends them in chunks.
pub struct Chunks<'a> {
    pub mapping: &'a Mapping,
    sender: &'a Sender<Result<Part, Trouble>>,
    /// How many bytes of the file were read.
    read: &'a AtomicU64,
    /// Where the load goes on; what is before it is read and not sent.
    start: Position,
    chunk: Chunk,
    bytes: usize,
    rows: u64,
    hash: Sha256,
}

/// Whether to read on: nobody may receive any more.
pub type Flow = Result<ControlFlow<()>, Trouble>;

impl<'a> Chunks<'a> {
    pub fn new(
        mapping: &'a Mapping,
        sender: &'a Sender<Result<Part, Trouble>>,
        read: &'a AtomicU64,
        start: Position,
    ) -> Self {
        Self { mapping, sender, read, start, chunk: Chunk::default(), bytes: 0, rows: 0, hash: Sha256::new() }
    }

    /// The header, as it stands in the file.
    pub fn begin(&mut self, raw: &[u8], format: Format, columns: Vec<Column>) -> ControlFlow<()> {
        self.hash.update(raw);
        self.send(Part::Header { format: Arc::new(format), columns })
    }

    /// Takes a row as it stands in the file, of which `event` makes an event by its number, and `source` what is to stand in
    /// the file of failed rows.
    pub fn add(
        &mut self,
        line: u64,
        raw: &[u8],
        event: impl FnOnce(&Mapping, u64) -> Result<Bytes, Fault>,
        source: impl FnOnce() -> Box<[u8]>,
    ) -> Flow {
        self.rows += 1;
        self.hash.update(raw);
        if self.rows <= self.start.rows {
            let is_another = self.rows == self.start.rows && self.hash() != self.start.hash;
            return if is_another { Err(self.another_file()) } else { Ok(ControlFlow::Continue(())) };
        }
        let fault = match event(self.mapping, self.rows) {
            Ok(event) => {
                self.chunk.events.push(event);
                None
            }
            Err(fault) => Some(fault),
        };
        self.chunk.rows.push(Row { line, fault, source: source() });
        self.bytes += raw.len();
        let is_full = self.chunk.rows.len() == MAXIMUM_EVENTS || self.bytes >= CHUNK_BYTES;
        Ok(if is_full { self.send_chunk() } else { ControlFlow::Continue(()) })
    }

    /// Ends where the file does, or where it cannot be read on: what comes before that is sent. Where nobody receives any
    /// more, nobody wants to know.
    pub fn end(mut self, read: Result<(), Trouble>) {
        let end = match read {
            Ok(()) if self.rows < self.start.rows => Err(self.another_file()),
            Ok(()) => Ok(Part::End),
            Err(trouble) => Err(trouble),
        };
        if !self.chunk.rows.is_empty() {
            _ = self.send_chunk();
        }
        _ = self.sender.blocking_send(end);
    }

    fn another_file(&self) -> Trouble {
        Trouble::unusable(format!(
            "the journal is of another file: the first {} rows of that one were loaded, and this one begins otherwise. \
             Remove the journal, or give another one with --journal, to load this file from its beginning",
            self.start.rows
        ))
    }

    fn send_chunk(&mut self) -> ControlFlow<()> {
        self.bytes = 0;
        let chunk = mem::take(&mut self.chunk);
        let end = Position { rows: self.rows, hash: self.hash() };
        let bytes_read = self.read.load(Ordering::Relaxed);
        self.send(Part::Chunk(Chunk { end, bytes_read, ..chunk }))
    }

    fn hash(&self) -> String {
        hex::encode(self.hash.clone().finalize())
    }

    fn send(&self, part: Part) -> ControlFlow<()> {
        match self.sender.blocking_send(Ok(part)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}
