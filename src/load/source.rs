//! The file that is loaded: its bytes, unpacked and in UTF-8, and whether it stays as it is.

use std::{
    fs::{File, Metadata, TryLockError},
    io::{self, Cursor, Read, Seek},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::read::MultiGzDecoder;

use super::fault::Trouble;

/// An opened file, or standard input.
pub struct Source {
    file: File,
    /// Of a file, as it was opened.
    metadata: Option<Metadata>,
    /// How many bytes of it were read, packed as they are.
    pub(super) read: Arc<AtomicU64>,
}

impl Source {
    /// Opens a file; `-` is standard input.
    pub fn open(path: &Path) -> Result<Self, Trouble> {
        let unreadable = |cause| Trouble::unusable(format!("{} cannot be read: {cause}", path.display()));
        let is_input = path == Path::new("-");
        let file = if is_input { io::stdin().as_fd().try_clone_to_owned().map(File::from) } else { File::open(path) };
        let file = file.map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(Trouble::unusable(format!("{} is a folder", path.display())));
        }
        let metadata = (metadata.is_file() && !is_input).then_some(metadata);
        Ok(Self { file, metadata, read: Arc::default() })
    }

    /// Keeps other loads from the file for as long as this one lives.
    pub fn lock(&self) -> Result<(), Trouble> {
        match self.file.try_lock() {
            Err(TryLockError::WouldBlock) if self.metadata.is_some() => {
                Err(Trouble::unusable("the file is being loaded already: wait for that load, or stop it"))
            }
            // Where files cannot be locked there is no such help.
            _ => Ok(()),
        }
    }

    /// Whether it can be read more than once.
    pub fn is_file(&self) -> bool {
        self.metadata.is_some()
    }

    /// Has its bytes begin again.
    pub fn rewind(&self) -> io::Result<()> {
        (&self.file).rewind()?;
        self.read.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// In bytes, where it is known.
    pub fn length(&self) -> Option<u64> {
        self.metadata.as_ref().map(Metadata::len)
    }

    /// Whether somebody wrote to the file since it was opened.
    pub fn has_changed(&self) -> bool {
        let state = |metadata: &Metadata| (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
        match (&self.metadata, self.file.metadata()) {
            (Some(before), Ok(now)) => state(before) != state(&now),
            _ => false,
        }
    }

    /// Its bytes, unpacked where they are packed.
    pub fn bytes(&self) -> io::Result<Box<dyn Read + Send>> {
        let mut source = Metered { source: self.file.try_clone()?, read: self.read.clone() };
        let mut first = Vec::new();
        source.by_ref().take(4).read_to_end(&mut first)?;
        let is_gzip = first.starts_with(b"\x1f\x8b");
        let is_zstd = first == b"\x28\xb5\x2f\xfd";
        let whole = Cursor::new(first).chain(source);
        Ok(match (is_gzip, is_zstd) {
            (true, _) => Box::new(MultiGzDecoder::new(io::BufReader::new(whole))),
            (_, true) => Box::new(zstd::Decoder::new(whole)?),
            _ => Box::new(whole),
        })
    }
}

/// Counts the bytes that are read.
struct Metered {
    source: File,
    read: Arc<AtomicU64>,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
