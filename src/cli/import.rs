//! `import`: loads directory rows out of a file into the database.

use std::{
    fs::File,
    io::{self, IsTerminal, Read, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    directory::{self, DirectoryKind, ImportSummary},
    error::{Error, ErrorKind, Result},
    secret::CodeHasher,
    storage::{Database, users},
};

/// Loads rows of the directory from a file, CSV with a header or NDJSON: inserts new rows, updates those that are
/// there.
#[derive(Args, Debug)]
pub struct ImportArguments {
    /// The organisation that the rows belong to
    #[arg(long, value_name = "ORG")]
    pub organisation: String,

    /// What the rows are: business_units, units, taps, devices, classifications, accounts_receivable,
    /// rewards_participants or access_tokens
    #[arg(value_name = "KIND", value_parser = parse_kind)]
    pub kind: DirectoryKind,

    /// The file; `-` for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

fn parse_kind(name: &str) -> Result<DirectoryKind, Error> {
    name.parse()
}

/// Imports the file and prints what became of it. Answers whether every row was imported; where one was not, the
/// command is to end with an exit code other than zero.
pub async fn run(arguments: ImportArguments, database: &Database, hasher: &CodeHasher) -> Result<bool> {
    let ImportArguments { organisation, kind, file } = arguments;
    let organisation = users::find_organisation(database.reader(), &organisation).await?.ok_or_else(|| {
        let message = format!("there is no organisation {organisation:?}; `organisation add` makes one");
        Error::new(ErrorKind::NotFound, message)
    })?;
    let (source, length) = open(&file)?;
    let bar = progress_bar(length);
    let mut rows = 0;
    let imported = directory::import(database, hasher, organisation.id, kind, source, |progress| {
        rows = progress.rows;
        bar.set_position(progress.bytes);
        bar.set_message(format!("{rows} rows"));
    })
    .await;
    bar.finish_and_clear();
    match imported {
        Ok(summary) => {
            print(&summary).map_err(Error::internal)?;
            Ok(summary.rejected == 0)
        }
        Err(error) if rows > 0 => {
            let message = format!("{error}; the first {rows} rows of the file were imported before that");
            Err(Error::new(error.kind(), message).caused_by(error))
        }
        Err(error) => Err(error),
    }
}

/// The file and its length, where it has one.
fn open(path: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let unreadable = |cause: io::Error| {
        let message = format!("{} cannot be read: {cause}", path.display());
        Error::new(ErrorKind::NotFound, message).caused_by(cause)
    };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    Ok((Box::new(file), metadata.is_file().then_some(metadata.len())))
}

/// A bar on standard error where that is a terminal, else one that is not drawn.
fn progress_bar(length: Option<u64>) -> ProgressBar {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{wide_bar} {percent}% {msg} {eta}"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg} {elapsed}"),
    };
    bar.set_draw_target(target);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn print(summary: &ImportSummary) -> io::Result<()> {
    let mut errors = io::stderr().lock();
    for rejection in &summary.rejections {
        writeln!(errors, "line {}: {}", rejection.line, rejection.reason)?;
    }
    let unnamed = summary.rejected - summary.rejections.len() as u64;
    if unnamed > 0 {
        writeln!(errors, "and {unnamed} more")?;
    }
    let ImportSummary { inserted, updated, rejected, .. } = summary;
    writeln!(io::stdout().lock(), "inserted {inserted}, updated {updated}, rejected {rejected}")
}
