//! Files that hold keys. None is read that others may read, too.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::{
    config::{HASH_KEY, Keys, SettingError, TOKEN_KEY},
    secret::{Key, KeyRing},
};

type Result<T> = std::result::Result<T, SettingError>;

/// Far more than two keys take.
const LARGEST: u64 = 4096;

/// The text of a file, which its owner alone may read. A group may, where the file is root's and this program is not:
/// Kubernetes mounts secrets that way.
pub fn read(file: &Path) -> Result<Zeroizing<String>> {
    let unusable = |error| unusable(file, error);
    let opened = File::open(file).map_err(unusable)?;
    // Of the file that is open, whatever its name leads to by now.
    let metadata = opened.metadata().map_err(unusable)?;
    let is_mounted = metadata.uid() == 0 && !rustix::process::geteuid().is_root();
    let forbidden = if is_mounted { 0o037 } else { 0o077 };
    if metadata.is_file() && metadata.mode() & forbidden != 0 {
        return Err(SettingError::new(format!(
            "the key file {} is open to others (its mode is {:03o}): chmod 600 {0}, and make new keys if others may have \
             read these",
            file.display(),
            metadata.mode() & 0o777
        )));
    }
    let mut text = Zeroizing::new(String::new());
    opened.take(LARGEST).read_to_string(&mut text).map_err(unusable)?;
    Ok(text)
}

/// The file of the keys beside a SQLite database.
pub fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".keys");
    PathBuf::from(name)
}

/// The keys of the file beside a database, which is made, readable by its owner alone, if it is not there.
pub fn read_or_make_beside(file: &Path) -> Result<Keys> {
    if !file.exists() {
        make_beside(file)?;
    }
    read_beside(file)
}

pub fn read_beside(file: &Path) -> Result<Keys> {
    let text = read(file)?;
    let refused = |message: String| SettingError::new(format!("the key file {} {message}", file.display()));
    let mut values = BTreeMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let (name, value) = line.split_once('=').unwrap_or_default();
        // What the line holds may be a key.
        if ![TOKEN_KEY, HASH_KEY].contains(&name) || values.insert(name, value).is_some() {
            let number = number + 1;
            return Err(refused(format!(
                "has to have a line {TOKEN_KEY}=… and a line {HASH_KEY}=…, and nothing else: take line {number} out"
            )));
        }
    }
    let line = |name: &str| {
        let value = values.get(name).ok_or_else(|| refused(format!("has no line {name}=…")))?;
        KeyRing::read(value).map_err(|fault| SettingError::new(format!("{name} in {} {fault}", file.display())))
    };
    Ok(Keys { token: line(TOKEN_KEY)?, hash: line(HASH_KEY)? })
}

/// Of two that make it at once, the first one's keys stay.
fn make_beside(file: &Path) -> Result<()> {
    let made = write_whole(file, &text_of(&Keys::generate()?), |temporary| temporary.persist_noclobber(file));
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(unusable(file, error)),
        _ => Ok(()),
    }
}

/// Puts other keys in the file beside a database.
pub fn write_beside(file: &Path, keys: &Keys) -> Result<()> {
    let written = write_whole(file, &text_of(keys), |temporary| temporary.persist(file));
    written.map_err(|error| unusable(file, error))
}

/// Makes a new file with a new key.
pub fn make(file: &Path, key: &Key) -> Result<()> {
    let line = Zeroizing::new(format!("{}\n", key.to_hex().expose()));
    let made = write_whole(file, &line, |temporary| temporary.persist_noclobber(file));
    made.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => SettingError::new(format!("{} is there already", file.display())),
        _ => SettingError::new(format!("{} cannot be made: {error}", file.display())),
    })
}

fn text_of(keys: &Keys) -> Zeroizing<String> {
    let (token, hash) = (keys.token.to_text(), keys.hash.to_text());
    Zeroizing::new(format!("{TOKEN_KEY}={}\n{HASH_KEY}={}\n", token.expose(), hash.expose()))
}

/// Writes the file whole or not at all: a half-written one would stop every later start. It is readable by its owner
/// alone, as each temporary file is.
fn write_whole(
    file: &Path,
    text: &str,
    persist: impl FnOnce(tempfile::NamedTempFile) -> std::result::Result<File, tempfile::PersistError>,
) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(text.as_bytes())?;
    temporary.as_file().sync_all()?;
    persist(temporary).map_err(|error| error.error)?;
    // The name is there after a power cut only where its folder was written too.
    fs::File::open(folder)?.sync_all()
}

fn unusable(file: &Path, error: io::Error) -> SettingError {
    SettingError::new(format!("the key file {} cannot be used: {error}", file.display()))
}
