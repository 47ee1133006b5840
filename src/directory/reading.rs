//! What the reader of a file is given.

use std::{io, sync::atomic::AtomicU64};

use tokio::sync::mpsc::Sender;

use super::{
    batch::{Batch, Batches},
    row::Checker,
};
use crate::{
    error::{Error, ErrorKind},
    rows::refused::Format,
};

pub struct Reading<'a> {
    pub checker: &'a Checker,
    /// Whether rows are to be kept as they stand in the file, for the file of rejected rows.
    pub keeps_rejected: bool,
    pub sender: &'a Sender<Batch>,
    /// How many bytes of the file have been read.
    pub bytes: &'a AtomicU64,
}

impl Reading<'_> {
    pub fn batches(&self, format: Format) -> Batches<'_> {
        Batches::new(self.sender, self.bytes, self.checker.kind, format)
    }
}

pub fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::MalformedRequest, message)
}

pub fn unreadable(cause: io::Error) -> Error {
    refused(format!("the file cannot be read on: {cause}"))
}
