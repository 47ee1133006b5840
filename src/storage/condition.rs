//! Whether the database can be used at present, as far as is known.
//!
//! [`Probe`](super::probe::Probe) finds out. What it found is shared by all clones of the database: calls that could only wait
//! for nothing are refused at once, and the server says so to those who ask for its health.

use std::{
    fmt, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{failures::Failures, fault::Fault};

/// What is known, shared by all who use a database.
#[derive(Clone, Debug, Default)]
pub(super) struct Condition(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    fault: watch::Sender<Option<Fault>>,
    /// When sessions were last known to lead to a server that cannot be used.
    spoilt_on: Mutex<Option<Instant>>,
    /// The files that a SQLite database consists of, as they were opened.
    files: RwLock<Vec<OpenFile>>,
    failures: Failures,
}

impl Condition {
    pub(super) fn failures(&self) -> &Failures {
        &self.0.failures
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        *self.0.fault.borrow()
    }

    /// Takes note of what was found.
    pub(super) fn set(&self, found: Option<Fault>) {
        if matches!(found, Some(Fault::Unreachable | Fault::ReadOnly)) {
            *self.0.spoilt_on.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        self.0.fault.send_replace(found);
    }

    /// Whether a session of this age may lead to a server that could not be used since: another one has taken its place
    /// perhaps.
    pub(super) fn has_spoilt(&self, age: Duration) -> bool {
        let spoilt_on = *self.0.spoilt_on.lock().unwrap_or_else(PoisonError::into_inner);
        spoilt_on.is_some_and(|spoilt_on| spoilt_on.elapsed() <= age)
    }

    /// Fails where a call could only wait for nothing, or where the files are not the ones any more that were opened: a
    /// connection opened then would be to other files than the rest. `has_connection` says whether there is a connection
    /// that waits to be used.
    pub(super) fn check(&self, has_connection: impl FnOnce() -> bool) -> Result<(), Fault> {
        match self.fault() {
            Some(fault @ (Fault::Unreachable | Fault::FileGone)) => Err(fault),
            Some(Fault::Exhausted) if !has_connection() => Err(Fault::Exhausted),
            _ => self.check_files(),
        }
    }

    /// Waits until the database is known to be out of reach.
    pub(super) async fn out_of_reach(&self) -> Fault {
        let mut known = self.0.fault.subscribe();
        // The sender lives as long as this.
        _ = known.wait_for(|fault| *fault == Some(Fault::Unreachable)).await;
        Fault::Unreachable
    }

    /// Waits for as long as a connection may take to show that it is there, and then until the database is known to have
    /// none left: who waits for one still has found that those from before are closed.
    pub(super) async fn stays_exhausted(&self, proof: Duration) -> Fault {
        tokio::time::sleep(proof).await;
        _ = self.0.fault.subscribe().wait_for(|fault| *fault == Some(Fault::Exhausted)).await;
        Fault::Exhausted
    }

    /// Fails where a file of the database is not the one any more that was opened. Looked at once something is
    /// committed, this proves that it is where the next one to open the database finds it.
    pub(super) fn check_files(&self) -> Result<(), Fault> {
        let files = self.0.files.read().unwrap_or_else(PoisonError::into_inner);
        if files.iter().all(OpenFile::is_there) { Ok(()) } else { Err(Fault::FileGone) }
    }

    /// Takes the SQLite file for the one that is there now.
    pub(super) fn know_file(&self, file: &Path) {
        *self.0.files.write().unwrap_or_else(PoisonError::into_inner) = vec![OpenFile::at(file)];
    }

    /// Takes the log and the index of the log of a SQLite file for those that are there now. They stay the same for as
    /// long as a connection is open.
    pub(super) fn know_log(&self, file: &Path) {
        let beside = |suffix: &str| {
            let mut name = file.as_os_str().to_owned();
            name.push(suffix);
            OpenFile::at(Path::new(&name))
        };
        let mut files = self.0.files.write().unwrap_or_else(PoisonError::into_inner);
        files.truncate(1);
        files.extend(["-wal", "-shm"].map(beside));
    }

    pub(super) fn forget_log(&self) {
        self.0.files.write().unwrap_or_else(PoisonError::into_inner).truncate(1);
    }
}

/// A file, by its path and by what it is whatever its path.
struct OpenFile {
    path: PathBuf,
    /// Device and inode; `None` where there was no file.
    identity: Option<(u64, u64)>,
}

impl OpenFile {
    fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), identity: identity(path) }
    }

    fn is_there(&self) -> bool {
        self.identity.is_none() || identity(&self.path) == self.identity
    }
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}
