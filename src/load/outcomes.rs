//! The files of what became of rows: the failed ones, to be mended and loaded, and the created events.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    mem,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::fault::Trouble;

/// A file to which outcomes are added. It is made when there is one, for its owner's eyes alone: rows may hold codes.
pub struct Outcomes {
    path: PathBuf,
    file: Option<File>,
    /// What is not written yet.
    text: Vec<u8>,
    /// With what is not written yet.
    length: u64,
    /// Whether something could not be written: what is in the file then is not known.
    is_broken: bool,
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
        Ok(Self { path: path.to_owned(), file: None, text: Vec::new(), length: 0, is_broken: false })
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

    /// One that goes on after `length` bytes; what is after them was not known to the journal yet.
    pub fn go_on(path: &Path, length: u64) -> Result<Self, Trouble> {
        let mut outcomes = Self { path: path.to_owned(), file: None, text: Vec::new(), length, is_broken: false };
        if length == 0 {
            return Ok(outcomes);
        }
        let open = || -> io::Result<File> {
            let mut file = OpenOptions::new().write(true).open(path)?;
            if file.metadata()?.len() < length {
                return Err(io::Error::other("it is shorter than the journal has it"));
            }
            file.set_len(length)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let opened = open().map_err(|cause| {
            let sentence =
                format!("{} is part of this load and cannot be gone on with: {cause}; put it back", path.display());
            Trouble::unusable(sentence)
        });
        outcomes.file = Some(opened?);
        Ok(outcomes)
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
