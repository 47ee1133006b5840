//! `load`: loads events from a file into a server.

mod check;
mod report;
mod server;
mod settings;
mod telling;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clap::Args;
use serde_json::json;

use super::{Failure, say, stop::told_to_stop};
use crate::{
    load::{
        attributes::Attributes,
        chunks::Position,
        fault::Trouble,
        journal::Journal,
        outcomes::{Outcomes, Written},
        reader::{self, Reading},
        run::Run,
        source::Source,
    },
    rows::refused::Format,
};
use server::ServerArguments;
use settings::FileArguments;
use telling::Telling;

/// The exit codes, beside that of success: stopped, and can go on; nothing was done; all rows were answered, and some
/// failed.
const CAN_GO_ON: u8 = 1;
const UNUSABLE: u8 = 2;
const FINISHED_WITH_FAILURES: u8 = 3;

/// Loads referral events from a file into a server. Stopped by whatever, the same command goes on where it was.
///
/// It ends with 0 where all rows are there, 3 where all were answered and some failed, 1 where it stopped and the same
/// command goes on, and 2 where the command, the file and the journal do not go together.
#[derive(Args, Debug)]
pub struct LoadArguments {
    /// The file: CSV with a header, NDJSON, or the body of the bulk call; packed by gzip or zstd or not; `-` for standard
    /// input
    #[arg(value_name = "FILE", required_unless_present_any = ["template", "attributes"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    reading: FileArguments,
    /// Rehearses it all, and creates nothing
    #[arg(long)]
    dry_run: bool,
    /// Where the created events are written, with their lines
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    created: Option<PathBuf>,
    /// Where the failed rows are written, each with its error, to be mended and loaded [default: FILE.failed.csv, or
    /// FILE.failed.ndjson]
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    failed: Option<PathBuf>,
    /// Where it is written how far the load has come [default: FILE.load.json]
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run", hide_short_help = true)]
    journal: Option<PathBuf>,
    /// Goes on with a server that has forgotten the load, or with a file that has changed, after the rows that were answered
    #[arg(long, conflicts_with = "dry_run", hide_short_help = true)]
    renew: bool,
    /// Prints JSON, an object a line; the last is the summary
    #[arg(long, hide_short_help = true)]
    json: bool,
    /// Shows what the first 1000 rows become, and sends nothing
    #[arg(long)]
    check: bool,
    /// Prints a file to begin with
    #[arg(long, conflicts_with = "file")]
    template: bool,
    /// Prints the attributes of an event, which are the names of columns
    #[arg(long, conflicts_with_all = ["file", "template"], hide_short_help = true)]
    attributes: bool,
}

/// A referral, as the demo takes it.
const TEMPLATE: [(&str, &str); 6] = [
    ("performed_by_business_unit_identifier.code", "BU1"),
    ("performed_on", "2016-06-22T15:00:00"),
    ("referred_accounts_receivable_identifier.number", "ACR0000000018"),
    ("referred_by_accounts_receivable_identifier.number", "ACR0000000002"),
    ("external_system", "Shop"),
    ("external_system_reference_number", "1"),
];

/// Loads the file and says what became of it.
pub async fn run(arguments: LoadArguments) -> Result<ExitCode, Failure> {
    if arguments.template {
        let line = |cell: fn(&(&'static str, &'static str)) -> &'static str| TEMPLATE.map(|pair| cell(&pair)).join(",");
        say(&format!("{}\n{}", line(|(path, _)| path), line(|(_, example)| example)));
    }
    let as_json = arguments.json;
    let done = match (&arguments.file, arguments.attributes) {
        (_, true) => print_attributes(),
        (Some(file), _) if arguments.check => check(&arguments, file).await,
        (Some(file), _) => load(&arguments, file).await,
        (None, false) => Ok(0),
    };
    let code = match done {
        Ok(code) => code,
        Err(trouble) => {
            let code = code_of(&trouble);
            if as_json {
                let error = trouble.to_string();
                say(&json!({"summary": {"state": "unusable", "exit_code": code, "error": error}}).to_string());
            } else {
                writeln!(io::stderr(), "error: {trouble}")?;
            }
            code
        }
    };
    Ok(ExitCode::from(code))
}

fn code_of(trouble: &Trouble) -> u8 {
    match trouble {
        Trouble::Unusable(_) => UNUSABLE,
        Trouble::Stopped(_) | Trouble::ToldToStop => CAN_GO_ON,
    }
}

fn print_attributes() -> Result<u8, Trouble> {
    let attributes = Attributes::of_the_contract().map_err(Trouble::unusable)?;
    let width = attributes.all().map(|attribute| attribute.path.len()).max().unwrap_or_default();
    for attribute in attributes.all() {
        let secret = if attribute.is_secret { "; a secret" } else { "" };
        say(&format!("{:width$}  {}{secret}", attribute.path, attribute.content.description()));
    }
    Ok(0)
}

async fn check(arguments: &LoadArguments, file: &Path) -> Result<u8, Trouble> {
    let reading = arguments.reading(Position::default())?;
    check::run(&Source::open(file)?, reading, arguments.json).await
}

async fn load(arguments: &LoadArguments, file: &Path) -> Result<u8, Trouble> {
    let source = Source::open(file)?;
    if !arguments.dry_run {
        source.lock()?;
    }
    let (journal_path, kept) = arguments.journal(file)?;
    let mut journal = match kept {
        Some(journal) => journal,
        None => Journal::new(arguments.settings()?),
    };
    if arguments.renew {
        journal.renew();
    }
    let rows_before = journal.position.rows;
    let mut parts = reader::start(&source, arguments.reading(journal.position.clone())?)?;
    let format = reader::format(&mut parts).await?;
    let [failed, created] = arguments.outcomes(file, &format, &journal)?;
    check_apart([
        ("the file", (file != Path::new("-")).then_some(file)),
        ("--journal", journal_path.as_deref()),
        ("--failed", failed.as_ref().map(Outcomes::path)),
        ("--created", created.as_ref().map(Outcomes::path)),
    ])?;
    let telling = Telling::new(source.length(), rows_before, arguments.json);
    let of_retries = telling.clone();
    let client = arguments.server.client(move |retry| of_retries.tell_retry(retry)).await?;
    let stop = told_to_stop("stopping; what is not answered yet is sent when the same command is run again");
    let stop = stop.map_err(|cause| Trouble::unusable(cause.to_string()))?;
    let is_rehearsal = arguments.dry_run;
    let mut run = Run {
        source,
        format,
        journal,
        journal_path,
        failed,
        created,
        is_rehearsal,
        bytes_answered: 0,
        written: Instant::now(),
    };
    let ended = run.carry_out(&client, parts, stop, |run| telling.tell(run)).await;
    telling.end();
    let ended = match ended {
        // The counts are of another load.
        Err(Trouble::Unusable(sentence)) => return Err(Trouble::Unusable(sentence)),
        ended => ended,
    };
    let code = match &ended {
        Err(trouble) => code_of(trouble),
        Ok(()) if run.journal.counts.failed > 0 => FINISHED_WITH_FAILURES,
        Ok(()) => 0,
    };
    let was_done = ended.is_ok() && rows_before > 0 && rows_before == run.journal.position.rows;
    if was_done && !arguments.json {
        _ = writeln!(io::stderr(), "the file was loaded before, and has no further rows; nothing was sent");
    }
    // Who does not listen does not change how it ended.
    _ = report::print(&run, &ended, code, arguments.json);
    Ok(code)
}

impl LoadArguments {
    fn reading(&self, start: Position) -> Result<Reading, Trouble> {
        let FileArguments { encoding, delimiter, .. } = self.reading;
        Ok(Reading { mapping: self.reading.mapping()?, encoding, delimiter, start })
    }

    fn settings(&self) -> Result<BTreeMap<String, String>, Trouble> {
        Ok(self.reading.told()?.into_iter().collect())
    }

    /// Where the journal is, and what it has of an earlier run.
    fn journal(&self, file: &Path) -> Result<(Option<PathBuf>, Option<Journal>), Trouble> {
        let path = self.journal.clone().or_else(|| beside(file, ".load.json")).filter(|_| !self.dry_run);
        let Some(path) = path else { return Ok((None, None)) };
        let kept = Journal::read(&path, &self.settings()?)?;
        Ok((Some(path), kept))
    }

    /// The files of failed rows and of created events, where there are to be any.
    fn outcomes(&self, file: &Path, format: &Format, journal: &Journal) -> Result<[Option<Outcomes>; 2], Trouble> {
        let open = |path: &Path, written: Option<&Written>| match written {
            None => Outcomes::begin(path),
            Some(written) => Outcomes::go_on(path, written, journal.is_at_rest),
        };
        let beside = |what| beside(file, &format!(".{what}.{}", format.extension()));
        let failed = match &self.failed {
            Some(path) => Some(open(path, journal.failed.as_ref())),
            // One rehearsal after another leaves but one such file.
            None if self.dry_run => beside("rehearsed").map(|path| Outcomes::begin_anew(&path)),
            None => beside("failed").map(|path| open(&path, journal.failed.as_ref())),
        };
        let created = self.created.as_ref().filter(|_| !self.dry_run);
        let created = created.map(|path| open(path, journal.created.as_ref())).transpose()?;
        let failed = failed.transpose()?;
        Ok([failed, created])
    }
}

/// Refuses a command that would write one of its files over another.
fn check_apart(files: [(&str, Option<&Path>); 4]) -> Result<(), Trouble> {
    let mut seen: Vec<(&str, PathBuf)> = Vec::new();
    for (name, path) in files.into_iter().filter_map(|(name, path)| Some((name, path?))) {
        let place = place(path);
        if let Some((other, _)) = seen.iter().find(|(_, other)| *other == place) {
            return Err(Trouble::unusable(format!("{other} and {name} are both {}: name another one", path.display())));
        }
        seen.push((name, place));
    }
    Ok(())
}

/// Where a file is, or is to be, whatever links lead to it.
fn place(path: &Path) -> PathBuf {
    let place = path.canonicalize().or_else(|_| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok::<_, io::Error>(folder.canonicalize()?.join(path.file_name().unwrap_or_default()))
    });
    place.unwrap_or_else(|_| path.to_owned())
}

/// A file beside the one that is loaded; standard input has none.
fn beside(file: &Path, name: &str) -> Option<PathBuf> {
    let mut path = file.as_os_str().to_owned();
    path.push(name);
    (file != Path::new("-")).then(|| path.into())
}
