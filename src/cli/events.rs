//! `events archive` and `events read`: old events go to a file, from which they can be read.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};

use super::{
    COMMAND_TIME_LIMIT, Failure, Settings, organisation,
    output::print,
    say,
    stop::{STOPPED, told_to_stop},
};
use crate::{
    archive::{Archive, NewArchive, OldEvents, State, moment, remove},
    config::SettingError,
    id::OrganisationId,
    storage::Database,
};

const READ: &str = "Example:\n  referral-events events read 2019.ndjson.zst";

#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Writes old events to a file, and then removes them, a few hundred at a time beside the calls
    #[command(after_help = super::ARCHIVE_EVENTS)]
    Archive(ArchiveArguments),
    /// Prints the events of an archive, unpacked
    #[command(after_help = READ)]
    Read {
        /// The archive
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Args, Debug)]
pub struct ArchiveArguments {
    /// The organisation whose events are archived
    #[arg(long, value_name = "ORG")]
    organisation: String,
    /// Events are archived that were created before this day (2016-06-22, from midnight UTC) or date and time
    #[arg(long, value_name = "DATE", value_parser = moment)]
    before: DateTime<Utc>,
    /// In which state; of those in force the rules forget that there was a referral
    #[arg(long, value_enum, default_value_t = GivenState::Cancelled)]
    state: GivenState,
    /// The file to make: .ndjson or .csv, and .zst after that where it is to be packed. One that is there is from a run
    /// that was interrupted: what is in it is removed
    #[arg(long, value_name = "FILE", required_unless_present = "dry_run")]
    output: Option<PathBuf>,
    /// Says how many events there are, and changes nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum GivenState {
    Posted,
    Cancelled,
    All,
}

impl From<GivenState> for State {
    fn from(state: GivenState) -> Self {
        match state {
            GivenState::Posted => Self::Posted,
            GivenState::Cancelled => Self::Cancelled,
            GivenState::All => Self::All,
        }
    }
}

pub async fn run(command: EventsCommand, settings: &Settings) -> Result<ExitCode, Failure> {
    let arguments = match command {
        EventsCommand::Archive(arguments) => arguments,
        EventsCommand::Read { file } => {
            Archive::open(&file)?.read(print)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    if arguments.before > Utc::now() {
        return Err(SettingError::new("--before is later than now; events that are being created are not old").into());
    }
    let database = settings.open(COMMAND_TIME_LIMIT).await?;
    let organisation = organisation::find(&database, &arguments.organisation).await?;
    let ended = tokio::select! {
        archived = archive(&arguments, &database, organisation.id) => archived.map(|()| ExitCode::SUCCESS),
        () = told_to_stop("stopping; run the same command again to go on")? => Ok(ExitCode::from(STOPPED)),
    };
    database.close().await?;
    ended
}

async fn archive(
    arguments: &ArchiveArguments,
    database: &Database,
    organisation_id: OrganisationId,
) -> Result<(), Failure> {
    let state = arguments.state.into();
    let old = OldEvents { organisation_id, state, before: arguments.before };
    let Some(output) = arguments.output.as_deref().filter(|_| !arguments.dry_run) else {
        let count = old.each(database, |_| Ok(())).await?;
        say(&format!("would archive {count} events; nothing was changed"));
        return Ok(());
    };
    let archive = if output.exists() {
        let archive = Archive::open(output)?;
        let count = archive.count()?;
        say(&format!(
            "{} is there, with {count} events: they are removed, and no others are archived",
            output.display()
        ));
        archive
    } else {
        if state != State::Cancelled {
            let warning = "warning: the rules forget referrals in force that are archived: their parties can be referred \
                           again, and their external references used again (docs/retention.md)";
            _ = writeln!(io::stderr(), "{warning}");
        }
        let mut archive = NewArchive::create(output)?;
        let count = old.each(database, |events| archive.write(events)).await?;
        if count == 0 {
            say("there are no such events; no file was made");
            return Ok(());
        }
        let archive = archive.finish()?;
        say(&format!("wrote {count} events to {}", output.display()));
        archive
    };
    let done = remove(database, organisation_id, &archive).await?;
    say(&format!("removed {} events", done.removed));
    if done.changed > 0 {
        say(&format!("{} were cancelled after they were written, and stay: archive them once more", done.changed));
    }
    Ok(())
}
