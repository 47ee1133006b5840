//! Rows that follow each other in a file, on their way from the thread that reads it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::mpsc::Sender;

use super::{
    kind::DirectoryKind,
    rejection::{Fault, Rejection},
    repeats::Seen,
    row::Row,
    store::BATCH_ROWS,
    summary::Remarks,
};
use crate::rows::refused::Format;

pub struct Batch {
    pub rows: Vec<Row>,
    /// Those between them that can't be read.
    pub rejections: Vec<Rejection>,
    pub remarks: Remarks,
    pub format: Arc<Format>,
    /// The bytes of the file that have been read.
    pub bytes: u64,
}

/// The batch that is being filled.
pub struct Batches<'a> {
    sender: &'a Sender<Batch>,
    bytes: &'a AtomicU64,
    format: Arc<Format>,
    seen: Seen,
    rows: Vec<Row>,
    rejections: Vec<Rejection>,
    pub remarks: Remarks,
}

impl<'a> Batches<'a> {
    pub fn new(sender: &'a Sender<Batch>, bytes: &'a AtomicU64, kind: DirectoryKind, format: Format) -> Self {
        Self {
            sender,
            bytes,
            format: Arc::new(format),
            seen: Seen::new(kind),
            rows: Vec::with_capacity(BATCH_ROWS),
            rejections: Vec::new(),
            remarks: Remarks::default(),
        }
    }

    /// Adds a row. Answers whether anybody still receives.
    #[must_use]
    pub fn add(&mut self, row: Row) -> bool {
        if let Some(repeat) = self.seen.note(&row) {
            self.remarks.repeat(repeat);
        }
        self.rows.push(row);
        self.send_where_full()
    }

    /// Adds a row that can't be read.
    #[must_use]
    pub fn reject(&mut self, line: u64, fault: Fault, source: Option<Box<[u8]>>) -> bool {
        self.rejections.push(Rejection::new(line, fault, source));
        self.send_where_full()
    }

    /// Sends what there is.
    pub fn send(&mut self) -> bool {
        let batch = Batch {
            rows: std::mem::replace(&mut self.rows, Vec::with_capacity(BATCH_ROWS)),
            rejections: std::mem::take(&mut self.rejections),
            remarks: std::mem::take(&mut self.remarks),
            format: self.format.clone(),
            bytes: self.bytes.load(Ordering::Relaxed),
        };
        self.sender.blocking_send(batch).is_ok()
    }

    fn send_where_full(&mut self) -> bool {
        self.rows.len() + self.rejections.len() < BATCH_ROWS || self.send()
    }
}
