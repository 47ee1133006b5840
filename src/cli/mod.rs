//! The command line.

mod admin;
mod ask;
mod audit;
mod backup;
mod config_file;
mod config_show;
mod demo;
mod describe;
mod doctor;
mod events;
mod generated;
mod health;
mod import;
mod key;
mod key_files;
mod key_settings;
mod keys;
mod listing;
mod load;
mod migrate;
mod operator;
mod organisation;
mod output;
mod serve;
mod settings;
mod show;
mod stop;
mod tls;
mod token;
mod traces;
mod unprocessed;
mod user;
mod values;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::{
    ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind as ClapError, parser::ValueSource,
};

use crate::{
    config::SettingError,
    error::Error,
    logging::{self, Log},
};
use config_file::ConfigFile;
use config_show::ConfigCommand;
use key_settings::KeyArguments;
use output::{say, unprinted};
use settings::{Settings, check_schema};
use values::DAY;

/// Creates referral customer events in bulk, over gRPC and REST.
#[derive(Debug, Parser)]
#[command(
    name = "referral-events",
    version = env!("REFERRAL_EVENTS_VERSION"),
    after_help = "Example:\n  referral-events serve --demo"
)]
pub struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

const OF_ALL: &str = "Settings of all commands";

const ADD_ORGANISATION: &str = "Example:\n  referral-events organisation add acme";
const ADD_USER: &str =
    "Example:\n  echo 'seven green kettles' | referral-events user add ann --organisation acme --role caller";
const RELEASE_TOKENS: &str = "Example:\n  referral-events token release --user ann --organisation acme";
const CHECK_KEYS: &str = "Example:\n  referral-events key check";
const LIST_AUDIT: &str = "Example:\n  referral-events audit list --organisation acme";
const SHOW_CONFIG: &str = "Example:\n  referral-events config show";

const ARCHIVE_EVENTS: &str =
    "Example:\n  referral-events events archive --organisation acme --before 2020-01-01 --output 2019.ndjson.zst";
const LOAD: &str =
    "Example:\n  referral-events load --template > referrals.csv && referral-events load --check referrals.csv";
const SHOW: &str = "Example:\n  referral-events show event 8 --organisation acme";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves gRPC and REST on one port
    #[command(after_help = "Example:\n  referral-events serve --listen 127.0.0.1:50051")]
    Serve(serve::ServeArguments),
    /// Brings the database's schema up to date
    #[command(after_help = "Example:\n  referral-events migrate --status")]
    Migrate(migrate::MigrateArguments),
    /// Copies a SQLite database and its keys, also while it is served
    #[command(after_help = "Example:\n  referral-events backup copy.db")]
    Backup(backup::BackupArguments),
    /// Loads directory rows from a file
    #[command(after_help = "Example:\n  referral-events import --organisation acme units units.csv")]
    Import(import::ImportArguments),
    /// Loads referral events from a file into a server
    #[command(after_help = LOAD)]
    Load(load::LoadArguments),
    /// Archives old events
    #[command(subcommand, after_help = ARCHIVE_EVENTS)]
    Events(events::EventsCommand),
    /// Shows what is known of a request, an event or a participant
    #[command(subcommand, after_help = SHOW)]
    Show(show::ShowCommand),
    /// Manages organisations
    #[command(subcommand, after_help = ADD_ORGANISATION)]
    Organisation(organisation::OrganisationCommand),
    /// Manages users
    #[command(subcommand, after_help = ADD_USER)]
    User(user::UserCommand),
    /// Makes keys, and checks those that there are
    #[command(subcommand, after_help = CHECK_KEYS)]
    Key(key::KeyCommand),
    /// Ends users' tokens
    #[command(subcommand, after_help = RELEASE_TOKENS)]
    Token(token::TokenCommand),
    /// Shows what administrators did
    #[command(subcommand, after_help = LIST_AUDIT)]
    Audit(audit::AuditCommand),
    /// Looks whether all that serve needs is there, and says how to mend what is not
    #[command(
        mut_arg("demo", |demo| demo.hide(true)),
        after_help = "Example:\n  referral-events doctor --database-url sqlite:referral-events.db"
    )]
    Doctor(doctor::DoctorArguments),
    /// Asks a server for its health; fails where it does not serve
    #[command(after_help = "Example:\n  referral-events health --server http://127.0.0.1:50051")]
    Health(health::HealthArguments),
    /// Shows the configuration
    #[command(subcommand, after_help = SHOW_CONFIG)]
    Config(config_show::ConfigCommand),
    /// Prints the description of the API
    #[command(after_help = "Example:\n  referral-events describe openapi > openapi.json")]
    Describe(describe::DescribeArguments),
    /// Prints a script that completes this program's command line in a shell
    #[command(after_help = "Example:\n  referral-events completions bash > referral-events.bash")]
    Completions(generated::CompletionsArguments),
    /// Prints a page of the manual
    #[command(after_help = "Example:\n  referral-events man serve > referral-events-serve.1")]
    Man(generated::ManArguments),
}

/// The settings that the demo has of its own, whatever the environment says; on the command line they are refused.
const OF_THE_DEMO: [(&str, &str); 5] = [
    ("database_url", "--database-url"),
    ("token_key", "--token-key"),
    ("token_key_file", "--token-key-file"),
    ("hash_key", "--hash-key"),
    ("hash_key_file", "--hash-key-file"),
];

impl Cli {
    /// Reads the command line, the environment and the configuration file. Ends the program where they are wrong or ask for
    /// help.
    pub fn read() -> Self {
        let command = Self::command();
        let without_file = command.clone().get_matches();
        let file = match ConfigFile::of(&without_file, &command) {
            Ok(file) => file,
            Err(refused) => match Self::from_arg_matches(&without_file) {
                Ok(Self { settings, command: Command::Doctor(arguments) }) => {
                    let arguments = doctor::DoctorArguments { refused: Some(refused), ..arguments };
                    return Self { settings, command: Command::Doctor(arguments) };
                }
                _ => clap::Error::raw(ClapError::ValueValidation, format!("{refused}\n")).exit(),
            },
        };
        let mut command = match &file {
            Some(file) => file.apply(command),
            None => command,
        };
        let matches = command.get_matches_mut();
        let mut cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        let shown = KeyArguments::SHOWN.iter().filter(|(id, _)| is_given(&matches, id));
        cli.settings.keys.shown = shown.map(|(_, flag)| *flag).collect();
        cli.check_demo(&matches);
        match &mut cli.command {
            Command::Health(arguments) if arguments.server.is_none() => {
                let matches = command.get_matches_from(["referral-events", "serve"]);
                if let Ok(Self { command: Command::Serve(serve), .. }) = Self::from_arg_matches(&matches) {
                    arguments.listen = Some(serve.listen);
                }
            }
            Command::Config(ConfigCommand::Show(arguments)) => {
                arguments.lines = config_show::lines(&command, &matches, file.as_ref());
            }
            _ => {}
        }
        cli
    }

    /// Ends the program where the demo is asked for with settings that it has of its own, or of a command that has none.
    fn check_demo(&self, matches: &ArgMatches) {
        let (arguments, is_served) = match &self.command {
            Command::Serve(arguments) => (arguments, true),
            Command::Doctor(arguments) => (&arguments.serve, false),
            Command::Config(ConfigCommand::Show(arguments)) => (&arguments.serve, false),
            _ => return,
        };
        let given = OF_THE_DEMO.iter().find(|(id, _)| is_given(matches, id));
        let message = match given {
            _ if !arguments.demo => return,
            _ if !is_served => "--demo has no settings to look at: leave it out\n".to_owned(),
            Some((_, flag)) => {
                format!("--demo has a database and keys of its own, made new each time: leave {flag} out\n")
            }
            None => return,
        };
        Self::command().error(ClapError::ArgumentConflict, message).exit()
    }
}

/// Whether a setting stands on the command line, before the command or after it.
fn is_given(matches: &ArgMatches, id: &str) -> bool {
    let of_commands = std::iter::successors(Some(matches), |matches| Some(matches.subcommand()?.1));
    of_commands.into_iter().any(|matches| matches.value_source(id) == Some(ValueSource::CommandLine))
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error("{0}{cause}", cause = .0.cause().map(|cause| format!(": {cause}")).unwrap_or_default())]
    Call(#[from] Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<sea_orm::DbErr> for Failure {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Call(error.into())
    }
}

/// Runs a command to its end.
pub async fn run(cli: Cli) -> ExitCode {
    // What the doctor finds is all that it says.
    let levels = if matches!(cli.command, Command::Doctor(_)) { "off" } else { &cli.settings.log };
    let mut log = match start_log(levels, cli.settings.log_format) {
        Ok(log) => log,
        Err(failure) => {
            _ = writeln!(io::stderr(), "error: {failure}");
            return ExitCode::FAILURE;
        }
    };
    // A server serves whether or not it can say so.
    let is_heard = !matches!(cli.command, Command::Serve(_));
    match dispatch(cli).await {
        Ok(code) => match unprinted() {
            Some(error) if is_heard => {
                log.say(&format!("error: it was done, but what there is to say cannot be written: {error}"));
                ExitCode::FAILURE
            }
            _ => code,
        },
        Err(failure) => {
            log.say(&format!("error: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn start_log(levels: &str, format: logging::Format) -> Result<Log, Failure> {
    let filter = logging::filter(levels)
        .map_err(|reason| SettingError::new(format!("the log setting cannot be read: {reason}")))?;
    Ok(Log::start(filter, format)?)
}

async fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let settings = cli.settings;
    match cli.command {
        Command::Serve(arguments) => serve::run(arguments, settings).await?,
        Command::Migrate(arguments) => migrate::run(arguments, &settings).await?,
        Command::Backup(arguments) => return backup::run(arguments, &settings).await,
        Command::Import(arguments) => return import::run(arguments, &settings).await,
        Command::Load(arguments) => return load::run(arguments).await,
        Command::Events(command) => return events::run(command, &settings).await,
        Command::Show(command) => show::run(command, &settings).await?,
        Command::Organisation(command) => organisation::run(command, &settings).await?,
        Command::User(command) => user::run(command, &settings).await?,
        Command::Key(command) => key::run(command, &settings).await?,
        Command::Token(command) => token::run(command, &settings).await?,
        Command::Audit(command) => audit::run(command, &settings).await?,
        Command::Doctor(arguments) => return Ok(doctor::run(arguments, &settings).await),
        Command::Health(arguments) => health::run(arguments).await?,
        Command::Config(command) => config_show::run(command),
        Command::Describe(arguments) => describe::run(&arguments)?,
        Command::Completions(arguments) => generated::completions(&arguments, Cli::command()),
        Command::Man(arguments) => generated::man(&arguments, Cli::command())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// How long a statement of a command may take. No caller waits for it, and the database may be large.
const COMMAND_TIME_LIMIT: Duration = Duration::from_secs(DAY);
