//! A file of an archive: it has its name only once it is whole and on the disk.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use tempfile::TempPath;
use zstd::stream::{read::Decoder, write::Encoder};

use super::format::{Entry, Format, Kept, entries};
use crate::{
    contract::CustomerEvent,
    error::{Error, ErrorKind, Result},
};

/// As zstd has it by itself: three times as small costs a hundredth of what reading the events does.
const LEVEL: i32 = zstd::DEFAULT_COMPRESSION_LEVEL;
/// What is read at once, in bytes.
const PIECE: usize = 64 * 1024;

/// An archive that is being written, readable by its owner alone. Without an end it goes by itself.
pub struct NewArchive {
    output: Output,
    format: Format,
    temporary: TempPath,
    path: PathBuf,
    has_begun: bool,
}

enum Output {
    Plain(BufWriter<File>),
    Packed(Box<Encoder<'static, BufWriter<File>>>),
}

impl NewArchive {
    pub fn create(path: &Path) -> Result<Self> {
        let Kept { format, is_packed } = Kept::as_named(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let begin = || {
            let file = tempfile::Builder::new().prefix(&format!(".{name}.")).tempfile_in(folder(path))?;
            let (file, temporary) = file.into_parts();
            let output = BufWriter::new(file);
            if !is_packed {
                return Ok((Output::Plain(output), temporary));
            }
            let mut encoder = Encoder::new(output, LEVEL)?;
            // So that a damaged file is not read as another one.
            encoder.include_checksum(true)?;
            Ok((Output::Packed(Box::new(encoder)), temporary))
        };
        let (output, temporary) = begin().map_err(|cause| failed(path, "written", cause))?;
        Ok(Self { output, format, temporary, path: path.to_owned(), has_begun: false })
    }

    pub fn write(&mut self, events: &[CustomerEvent]) -> Result<()> {
        let mut text = if self.has_begun { Vec::new() } else { self.format.head()? };
        self.has_begun = true;
        text.extend(self.format.text(events)?);
        let output: &mut dyn Write = match &mut self.output {
            Output::Plain(output) => output,
            Output::Packed(output) => output,
        };
        output.write_all(&text).map_err(|cause| failed(&self.path, "written", cause))
    }

    /// Has it on the disk, and gives it its name, which must not be taken.
    pub fn finish(self) -> Result<Archive> {
        let Self { output, temporary, path, .. } = self;
        let end = || {
            let output = match output {
                Output::Plain(output) => output,
                Output::Packed(output) => output.finish()?,
            };
            output.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            temporary.persist_noclobber(&path)?;
            File::open(folder(&path))?.sync_all()
        };
        end().map_err(|cause| failed(&path, "written", cause))?;
        Archive::open(&path)
    }
}

/// An archive that is whole.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    kept: Kept,
}

impl Archive {
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_owned(), kept: Kept::as_named(path)? })
    }

    /// Gives what it holds, unpacked, piece by piece, for as long as it is taken.
    pub fn read(&self, mut take: impl FnMut(&[u8]) -> bool) -> Result<()> {
        let (mut text, mut piece) = (self.text()?, vec![0; PIECE]);
        loop {
            let read = text.read(&mut piece).map_err(|cause| failed(&self.path, "read", cause))?;
            if read == 0 || !take(&piece[..read]) {
                return Ok(());
            }
        }
    }

    fn text(&self) -> Result<Box<dyn Read + Send>> {
        let open = || -> io::Result<Box<dyn Read + Send>> {
            let file = BufReader::new(File::open(&self.path)?);
            Ok(if self.kept.is_packed { Box::new(Decoder::with_buffer(file)?) } else { Box::new(file) })
        };
        open().map_err(|cause| failed(&self.path, "read", cause))
    }

    /// Its events. One that cannot be read is the last.
    pub(super) fn entries(&self) -> Result<impl Iterator<Item = Result<Entry>> + Send + use<>> {
        let path = self.path.clone();
        let read = move |entry: io::Result<Entry>| entry.map_err(|cause| failed(&path, "read", cause));
        Ok(entries(self.kept.format, self.text()?).map(read))
    }

    /// How many events it has. Every one is read.
    pub fn count(&self) -> Result<u64> {
        let mut count = 0;
        for entry in self.entries()? {
            entry?;
            count += 1;
        }
        Ok(count)
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn failed(path: &Path, what: &str, cause: io::Error) -> Error {
    let path = path.display();
    let message = match cause.kind() {
        io::ErrorKind::UnexpectedEof => format!("{path} cannot be {what} to its end: it was cut short"),
        _ => format!("{path} cannot be {what}"),
    };
    Error::new(ErrorKind::NotFound, message).caused_by(cause)
}
