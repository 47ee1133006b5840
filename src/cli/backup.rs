//! `backup`: copies a SQLite database and the keys that belong to it, also while it is served.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::ExitCode,
};

use chrono::Utc;
use clap::Args;
use tempfile::{NamedTempFile, TempDir, TempPath};

use super::{
    COMMAND_TIME_LIMIT, Failure, Settings, key_files,
    key_settings::{KeySettings, MissingKeys},
    keys::check_fit,
    say,
    stop::{STOPPED, told_to_stop},
};
use crate::{
    config::{HASH_KEY, SettingError},
    storage::{backup::copy_sqlite, sqlite_file},
};

#[derive(Args, Debug)]
pub struct BackupArguments {
    /// The file to make; or a folder, in which the copy is named by the database and the time (UTC)
    #[arg(value_name = "FILE|FOLDER")]
    target: PathBuf,
    /// Takes the place of a file that is there
    #[arg(long)]
    overwrite: bool,
}

/// Copies the database and then its keys, so that the keys of all that is in the copy are there. The copy gets its name
/// last, when both are on the disk: where it is there, it is whole.
pub async fn run(arguments: BackupArguments, settings: &Settings) -> Result<ExitCode, Failure> {
    let Some(database) = sqlite_file(&settings.database_url)? else {
        return Err(refused(
            "backup is for SQLite; a database of PostgreSQL is copied with pg_dump --format=custom, as docs/backup.md says",
        ));
    };
    settings.require_file()?;
    let copy = target(&database, arguments.target);
    let (keys, copied_keys) = (key_files::beside(&database), key_files::beside(&copy));
    for own in OF_ANOTHER.map(|ending| beside(&database, ending)).iter().chain([&keys]) {
        if identity(&copy).is_some_and(|copy| Some(copy) == identity(own)) {
            let own = own.display();
            return Err(refused(format!("{own} belongs to the database itself: name another file for the copy")));
        }
    }
    check_target(&database, &copy, arguments.overwrite)?;
    check_target(&keys, &copied_keys, arguments.overwrite)?;

    let unwritable = |cause| unwritable(&copy, cause);
    // Heard from before the first file is there, so that none is left.
    let told_to_stop = told_to_stop("stopping; nothing is left of the copy")?;
    let temporary = temporary(&copy).map_err(unwritable)?;
    let unnamed = TempPath::try_from_path(temporary.path().join("copy")).map_err(unwritable)?;
    let path = unnamed.to_path_buf();
    let copying = tokio::task::spawn_blocking(move || copy_sqlite(&database, &path));
    tokio::select! {
        copied = copying => copied.map_err(io::Error::other)??,
        () = told_to_stop => return Ok(ExitCode::from(STOPPED)),
    }
    sync(&unnamed).map_err(unwritable)?;
    let has_keys = keys.is_file();
    if has_keys {
        copy_keys(&keys, &copied_keys, arguments.overwrite)?;
    }
    persist(unnamed, &copy, arguments.overwrite).map_err(unwritable)?;
    say(&format!("copied the database to {} ({} bytes)", copy.display(), fs::metadata(&copy)?.len()));
    match has_keys {
        true => say(&format!("copied its keys to {}", copied_keys.display())),
        false => {
            say(&format!("it has no file of keys: keep {HASH_KEY} with the copy, without which no code in it matches"))
        }
    }
    // A copy that cannot be used is better than none, and has to be known.
    check_keys(settings).await?;
    Ok(ExitCode::SUCCESS)
}

/// Refuses keys that are not those of the codes in the database. One of an older program has nothing to tell by.
async fn check_keys(settings: &Settings) -> Result<(), Failure> {
    let keys = KeySettings::read(&settings.keys, &settings.database_url, MissingKeys::KeepBesideDatabase)?;
    let Some((keys, source)) = keys.hash_keys()? else { return Ok(()) };
    let database = settings.connect(COMMAND_TIME_LIMIT).await?;
    let checked = match database.schema().await {
        Ok(schema) if schema.missing.is_empty() => check_fit(&database, &keys, &source).await,
        Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    };
    database.close().await?;
    checked
}

fn target(database: &Path, target: PathBuf) -> PathBuf {
    if !target.is_dir() {
        return target;
    }
    let name = database.file_stem().unwrap_or_default().to_string_lossy();
    target.join(format!("{name}-{}.db", Utc::now().format("%Y%m%dT%H%M%SZ")))
}

/// What SQLite would take for the log of a database that is put there.
const OF_ANOTHER: [&str; 3] = ["-wal", "-shm", "-journal"];

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// What tells a file that is there from all others, whatever names it has.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok()
}

fn check_target(original: &Path, copy: &Path, overwrite: bool) -> Result<(), Failure> {
    for ending in OF_ANOTHER {
        let log = beside(copy, ending);
        if log.exists() {
            let log = log.display();
            return Err(refused(format!(
                "there is {log}, which belongs to a database that is in use, or was: name another file"
            )));
        }
    }
    match identity(copy) {
        None => Ok(()),
        there if there == identity(original) => {
            Err(refused(format!("{} is the original: name another file for the copy", copy.display())))
        }
        Some(_) if overwrite => Ok(()),
        Some(_) => Err(refused(format!("{} is there already: name another file, or give --overwrite", copy.display()))),
    }
}

/// A folder beside the file to be, for its owner's eyes alone, which goes by itself with all that SQLite leaves there.
fn temporary(file: &Path) -> io::Result<TempDir> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    tempfile::Builder::new().prefix(&format!(".{name}.")).tempdir_in(folder(file))
}

fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync(file: &Path) -> io::Result<()> {
    fs::set_permissions(file, Permissions::from_mode(0o600))?;
    File::open(file)?.sync_all()
}

fn copy_keys(keys: &Path, copy: &Path, overwrite: bool) -> Result<(), Failure> {
    let copied = || {
        let temporary = NamedTempFile::new_in(folder(copy))?.into_temp_path();
        fs::copy(keys, &temporary)?;
        sync(&temporary)?;
        persist(temporary, copy, overwrite)
    };
    copied().map_err(|cause| unwritable(copy, cause))
}

/// Gives a file its name, on the disk too.
fn persist(temporary: TempPath, file: &Path, overwrite: bool) -> io::Result<()> {
    match overwrite {
        true => temporary.persist(file),
        false => temporary.persist_noclobber(file),
    }
    .map_err(|error| error.error)?;
    File::open(folder(file))?.sync_all()
}

fn refused(message: impl Into<String>) -> Failure {
    SettingError::new(message).into()
}

fn unwritable(file: &Path, cause: io::Error) -> Failure {
    refused(format!("{} cannot be written: {cause}", file.display()))
}
