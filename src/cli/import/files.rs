//! The files of an import: the one that is read, and the one of rejected rows.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::AsFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use crate::error::{Error, ErrorKind, Result};

pub struct Source {
    pub bytes: Box<dyn Read + Send>,
    /// Where it is known.
    pub length: Option<u64>,
    metadata: Metadata,
}

/// Opens what is to be imported; `-` is standard input.
pub fn open(path: &Path) -> Result<Source> {
    let unreadable = |cause| failed(path, "cannot be read", cause);
    let is_input = path == Path::new("-");
    let file = if is_input { io::stdin().as_fd().try_clone_to_owned().map(File::from) } else { File::open(path) };
    let file = file.map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let length = (metadata.is_file() && !is_input).then_some(metadata.len());
    Ok(Source { bytes: Box::new(file), length, metadata })
}

/// The file of rejected rows.
pub struct Rejected {
    path: PathBuf,
    file: File,
}

/// Begins the file of rejected rows anew. It may hold codes, so it is for its owner's eyes alone.
pub fn create(path: &Path, source: &Source) -> Result<Rejected> {
    let unwritable = |cause| failed(path, "cannot be written", cause);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(unwritable)?;
    let metadata = file.metadata().map_err(unwritable)?;
    if (metadata.dev(), metadata.ino()) == (source.metadata.dev(), source.metadata.ino()) {
        let message = format!("{} is the file that is imported; give rejected rows another one", path.display());
        return Err(Error::new(ErrorKind::MalformedRequest, message));
    }
    if metadata.is_file() {
        file.set_len(0).map_err(unwritable)?;
    }
    Ok(Rejected { path: path.to_owned(), file })
}

impl Rejected {
    pub fn writer(&self) -> Result<Box<dyn Write + Send>> {
        let file = self.file.try_clone().map_err(|cause| failed(&self.path, "cannot be written", cause))?;
        Ok(Box::new(file))
    }

    /// Takes it away, where nothing was written.
    pub fn remove(self) -> Result<()> {
        let failed = |cause| failed(&self.path, "cannot be removed", cause);
        if self.file.metadata().map_err(failed)?.is_file() {
            fs::remove_file(&self.path).map_err(failed)?;
        }
        Ok(())
    }
}

fn failed(path: &Path, what: &str, cause: io::Error) -> Error {
    Error::new(ErrorKind::NotFound, format!("{} {what}", path.display())).caused_by(cause)
}
