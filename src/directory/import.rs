//! From a source to the database.

use std::{
    io::{Read, Write},
    pin::pin,
    sync::{Arc, atomic::AtomicU64},
    thread::{self, JoinHandle},
};

use tokio::{
    select,
    sync::mpsc::{self, Receiver},
};
use uuid::Uuid;

use super::{
    batch::Batch,
    kind::DirectoryKind,
    reading::Reading,
    rejected::RejectedFile,
    row::Checker,
    source::{self, Metered},
    store::{Growth, Note, Store, Target},
    summary::ImportSummary,
};
use crate::{
    error::{Error, ErrorKind, Result},
    id::OrganisationId,
    rows::encoding::Encoding,
    secret::CodeHasher,
    storage::{Database, people::Act},
};

/// How a file is imported.
#[derive(Default)]
pub struct ImportOptions {
    /// How the file is encoded where it has no byte order mark: UTF-8 if it is not given.
    pub encoding: Option<Encoding>,
    /// Writes nothing in the end. It takes one transaction, in which other imports of the organisation wait; on SQLite
    /// all that write do.
    pub is_dry_run: bool,
    /// Where the rejected rows are written.
    pub rejected: Option<Box<dyn Write + Send>>,
    /// Who imports, for the audit.
    pub act: Option<Act>,
}

/// How far an import has come. What it counts is committed.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub rows: u64,
    pub bytes: u64,
}

/// How an import came to its end.
pub enum End {
    Complete,
    /// It was told to stop.
    Stopped,
    /// The rest of the file was not imported.
    Failed(Error),
}

/// Imports rows of one kind from a CSV or NDJSON `source`, inserting those that are new and updating those that are
/// there. A bad row is rejected by itself. An error means that the rest of the file was not imported: rows already
/// reported to `progress` stay, and importing the whole file again does no harm.
///
/// The source is read on a thread of its own, so it may block.
pub async fn import(
    database: &Database,
    hasher: &CodeHasher,
    organisation_id: OrganisationId,
    kind: DirectoryKind,
    source: impl Read + Send + 'static,
    progress: impl FnMut(Progress),
) -> Result<ImportSummary> {
    let target = Target { database, hasher, organisation_id, kind };
    let never = std::future::pending();
    let (summary, end) = import_with(target, source, ImportOptions::default(), progress, never).await;
    match end {
        End::Failed(error) => Err(error),
        End::Complete | End::Stopped => Ok(summary),
    }
}

/// The same with options, until `stop` comes. What the summary counts is committed, whatever the end.
pub async fn import_with(
    target: Target<'_>,
    source: impl Read + Send + 'static,
    options: ImportOptions,
    progress: impl FnMut(Progress),
    stop: impl Future<Output = ()>,
) -> (ImportSummary, End) {
    let mut summary = ImportSummary::default();
    let end = run(target, source, options, progress, stop, &mut summary).await.unwrap_or_else(End::Failed);
    (summary, end)
}

async fn run(
    target: Target<'_>,
    source: impl Read + Send + 'static,
    options: ImportOptions,
    mut progress: impl FnMut(Progress),
    stop: impl Future<Output = ()>,
    summary: &mut ImportSummary,
) -> Result<End> {
    let mut rejected = options.rejected.map(RejectedFile::new);
    let note = options.act.map(|act| Note::new(Uuid::now_v7(), act, 0, 0));
    let mut store = Store::open(target, options.is_dry_run, note).await?;
    let (reader, mut batches) = read(&target, source, options.encoding, rejected.is_some())?;
    let mut stop = pin!(stop);
    let mut growth = Growth::default();
    let mut is_stopped = false;
    while !is_stopped {
        let batch = select! {
            biased;
            () = &mut stop => {
                is_stopped = true;
                continue;
            }
            batch = batches.recv() => batch,
        };
        let Some(batch) = batch else { break };
        let bytes = batch.bytes;
        add(&mut store, batch, rejected.as_mut(), summary).await?;
        if growth.has_doubled(summary.inserted) {
            store.analyze().await;
        }
        progress(Progress { rows: summary.read, bytes });
    }
    store.close(summary.inserted, summary.updated).await?;
    if is_stopped {
        // The reader may be waiting for input; it ends once it finds that nobody receives.
        return Ok(End::Stopped);
    }
    // The channel is closed, so the thread is at its end.
    reader.join().map_err(|_| Error::internal("the thread that reads the file panicked"))??;
    Ok(End::Complete)
}

/// Reads the source on a thread of its own.
fn read(
    target: &Target<'_>,
    source: impl Read + Send + 'static,
    encoding: Option<Encoding>,
    keeps_rejected: bool,
) -> Result<(JoinHandle<Result<()>>, Receiver<Batch>)> {
    let Target { kind, organisation_id, .. } = *target;
    let checker = Checker { kind, hasher: target.hasher.clone(), organisation_id };
    let (sender, batches) = mpsc::channel(1);
    let read = move || {
        let bytes = Arc::new(AtomicU64::new(0));
        let source = Metered { source, bytes: bytes.clone() };
        source::read(source, encoding, &Reading { checker: &checker, keeps_rejected, sender: &sender, bytes: &bytes })
    };
    let reader = thread::Builder::new().name("directory-import".to_owned()).spawn(read).map_err(Error::internal)?;
    Ok((reader, batches))
}

/// Stores a batch, and adds what became of it to the summary.
async fn add(
    store: &mut Store<'_>,
    batch: Batch,
    rejected: Option<&mut RejectedFile>,
    summary: &mut ImportSummary,
) -> Result<()> {
    let outcome = store.store_batch(&batch.rows).await?;
    summary.count(batch.rows.len() + batch.rejections.len(), &outcome);
    summary.remarks.add(batch.remarks);
    let mut rejections = batch.rejections;
    rejections.extend(outcome.rejections);
    rejections.sort_by_key(|rejection| rejection.line);
    let written = rejected.map_or(Ok(()), |file| file.write(&batch.format, &rejections));
    summary.reject(rejections);
    written.map_err(|cause| Error::new(ErrorKind::Internal, "the rejected rows cannot be written").caused_by(cause))
}
