//! The files of what became of rows: the failed ones, to be mended and loaded, and the created events.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    mem,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::fault::Trouble;

/// A file to which outcomes are added. It is made when there is one, for its owner's eyes alone: rows may hold codes.
pub struct Outcomes {
    path: PathBuf,
    file: Option<File>,
    /// What is not written yet.
    text: Vec<u8>,
    /// With what is not written yet.
    length: u64,
    /// Of all of it.
    hash: Sha256,
    /// Whether something could not be written: what is in the file then is not known.
    is_broken: bool,
}

/// What a load has written of such a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Written {
    path: PathBuf,
    length: u64,
    hash: String,
}

impl Outcomes {
    /// A new one, where there must be none yet: it may be being mended.
    pub fn begin(path: &Path) -> Result<Self, Trouble> {
        if path.exists() {
            let sentence = format!(
                "{} is there from an earlier load: move it away, or name another file with --failed or --created",
                path.display()
            );
            return Err(Trouble::unusable(sentence));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        access(folder, Access::WRITE_OK).map_err(|cause| {
            Trouble::unusable(format!(
                "no file can be made in {} ({cause}): name files in another folder with --journal, --failed and --created",
                folder.display()
            ))
        })?;
        Ok(Self::new(path))
    }

    fn new(path: &Path) -> Self {
        let (text, hash) = (Vec::new(), Sha256::new());
        Self { path: path.to_owned(), file: None, text, length: 0, hash, is_broken: false }
    }

    /// A new one in place of an earlier one.
    pub fn begin_anew(path: &Path) -> Result<Self, Trouble> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Trouble::unusable(format!("{} cannot be replaced: {error}", path.display())))
            }
            _ => Self::begin(path),
        }
    }

    /// One that goes on after what was written. What is after that is of a load that was cut off, for its journal did not know
    /// of it yet, or is somebody else's where the load was at rest. Where the file was moved away, a new one begins.
    pub fn go_on(path: &Path, written: &Written, was_at_rest: bool) -> Result<Self, Trouble> {
        if written.length == 0 && written.path != absolute(path) {
            return Self::begin(path);
        }
        let mut outcomes = Self::new(path);
        let mut open = || -> io::Result<Option<File>> {
            let mut file = match OpenOptions::new().read(true).write(true).open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                opened => opened?,
            };
            outcomes.read_known((&file).take(written.length))?;
            let is_longer = was_at_rest && file.metadata()?.len() > written.length;
            if is_longer || outcomes.length != written.length || outcomes.hash() != written.hash {
                return Err(io::Error::other(
                    "it is not as the load left it. If it was mended, move it away and load it by itself: rows that fail \
                     from now on go to a new one",
                ));
            }
            file.set_len(written.length)?;
            file.seek(SeekFrom::End(0))?;
            Ok(Some(file))
        };
        let opened = open();
        outcomes.file = opened.map_err(|cause| {
            Trouble::unusable(format!("{} is part of this load and cannot be gone on with: {cause}", path.display()))
        })?;
        Ok(outcomes)
    }

    fn read_known(&mut self, mut known: impl Read) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = known.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            self.hash.update(&buffer[..read]);
            self.length += read as u64;
        }
    }

    /// For the journal.
    pub fn written(&self) -> Written {
        Written { path: absolute(&self.path), length: self.length, hash: self.hash() }
    }

    fn hash(&self) -> String {
        hex::encode(self.hash.clone().finalize())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// Adds a text, which `write` appends.
    pub fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.text.len();
        write(&mut self.text);
        self.length += (self.text.len() - before) as u64;
        self.hash.update(&self.text[before..]);
    }

    /// Brings all of it to the disk. Where that has failed once it fails again.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.is_broken {
            return Err(io::Error::other("something before could not be written"));
        }
        let synced = self.write_all();
        self.is_broken = synced.is_err();
        synced
    }

    fn write_all(&mut self) -> io::Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
                self.file.insert(made)
            }
        };
        file.write_all(&mem::take(&mut self.text))?;
        file.sync_data()
    }
}

/// As it stands where nothing of it is there.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
