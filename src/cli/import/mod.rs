//! `import`: loads directory rows out of a file into the database.

mod files;
mod report;

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    COMMAND_TIME_LIMIT, Failure, Settings,
    key_settings::MissingKeys,
    keys::{self, NewKey},
    operator, organisation, say,
    stop::{STOPPED, told_to_stop},
};
use crate::{
    directory::{self, DirectoryKind, Encoding, End, ImportOptions, Target},
    error::Error,
    secret::CodeHasher,
};

/// Loads rows of the directory from a file, CSV with a header or NDJSON: inserts new rows, updates those that are
/// there.
#[derive(Args, Debug)]
pub struct ImportArguments {
    /// The organisation that the rows belong to
    #[arg(long, value_name = "ORG", required_unless_present_any = ["columns", "template"])]
    organisation: Option<String>,

    /// What the rows are: business_units, units, taps, devices, classifications, accounts_receivable,
    /// rewards_participants or access_tokens
    #[arg(value_name = "KIND", value_parser = parse_kind, required_unless_present_any = ["columns", "template"])]
    kind: Option<DirectoryKind>,

    /// The file; `-` for standard input
    #[arg(value_name = "FILE", required_unless_present_any = ["columns", "template"])]
    file: Option<PathBuf>,

    /// How the file is encoded, if it is not UTF-8 and has no byte order mark: windows-1252, latin1 or utf-16
    #[arg(long, value_parser = parse_encoding)]
    encoding: Option<Encoding>,

    /// Where all rejected rows are written, each with its error, in the format of the file: to be mended and imported
    #[arg(long, value_name = "FILE")]
    rejected: Option<PathBuf>,

    /// Says what would become of the rows, and writes nothing to the database
    #[arg(long)]
    dry_run: bool,

    /// Prints the columns of a kind and what each holds, and imports nothing
    #[arg(long, value_name = "KIND", value_parser = parse_kind, conflicts_with_all = IMPORTING)]
    columns: Option<DirectoryKind>,

    /// Prints a file of a kind with an example row, and imports nothing
    #[arg(long, value_name = "KIND", value_parser = parse_kind, conflicts_with = "columns", conflicts_with_all = IMPORTING)]
    template: Option<DirectoryKind>,
}

/// The arguments of an import that takes place.
const IMPORTING: [&str; 6] = ["organisation", "kind", "file", "encoding", "rejected", "dry_run"];

fn parse_kind(name: &str) -> Result<DirectoryKind, Error> {
    name.parse()
}

fn parse_encoding(name: &str) -> Result<Encoding, Error> {
    name.parse()
}

/// Imports the file and prints what became of it. It succeeds where every row was imported.
pub async fn run(arguments: ImportArguments, settings: &Settings) -> Result<ExitCode, Failure> {
    if let Some(kind) = arguments.columns {
        say(directory::describe(kind).trim_end());
    }
    if let Some(kind) = arguments.template {
        say(directory::template(kind).trim_end());
    }
    let ImportArguments { organisation: Some(organisation), kind: Some(kind), file: Some(file), .. } = arguments else {
        return Ok(ExitCode::SUCCESS);
    };
    settings.require_file()?;
    let (database, keys) =
        keys::open(settings, MissingKeys::KeepBesideDatabase, NewKey::Refuse, COMMAND_TIME_LIMIT).await?;
    let hasher = CodeHasher::new(&keys.hash);
    let organisation = organisation::find(&database, &organisation).await?;
    let target = Target { database: &database, hasher: &hasher, organisation_id: organisation.id, kind };
    let source = files::open(&file)?;
    let rejected = arguments.rejected.as_deref().map(|path| files::create(path, &source)).transpose()?;
    let options = ImportOptions {
        encoding: arguments.encoding,
        is_dry_run: arguments.dry_run,
        rejected: rejected.as_ref().map(files::Rejected::writer).transpose()?,
        act: Some(operator::act("import", None)),
    };
    let bar = progress_bar(source.length);
    let progress = |progress: directory::Progress| {
        bar.set_position(progress.bytes);
        bar.set_message(format!("{} rows", progress.rows));
    };
    let stop = told_to_stop("stopping once the rows under way are in; once more ends it at once")?;
    let (summary, end) = directory::import_with(target, source.bytes, options, progress, stop).await;
    bar.finish_and_clear();
    database.close().await?;
    if let Some(rejected) = rejected.filter(|_| summary.rejected == 0) {
        rejected.remove()?;
    }
    report::print(&summary, &end, kind, arguments.dry_run)?;
    match end {
        End::Complete if summary.rejected == 0 => Ok(ExitCode::SUCCESS),
        End::Complete => Ok(ExitCode::FAILURE),
        End::Stopped => Ok(ExitCode::from(STOPPED)),
        End::Failed(error) => Err(error.into()),
    }
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
