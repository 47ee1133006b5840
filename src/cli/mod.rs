//! The command line.

mod admin;
mod ask;
mod audit;
mod backup;
mod config_file;
mod config_show;
mod demo;
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
mod migrate;
mod operator;
mod organisation;
mod serve;
mod show;
mod stop;
mod tls;
mod token;
mod unprocessed;
mod user;
mod values;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{
    ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind as ClapError,
    parser::ValueSource,
};

use crate::{
    config::SettingError,
    error::Error,
    logging::{self, Log},
    storage::{Database, PoolOptions},
};
use config_file::ConfigFile;
use config_show::ConfigCommand;
use key_settings::KeyArguments;
use values::{DAY, number};

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

const OF_THE_DATABASE: &str = "Settings of the database";
const OF_ALL: &str = "Settings of all commands";

/// The settings that all commands share.
#[derive(Args)]
struct Settings {
    /// The database: a SQLite file (sqlite:PATH), or PostgreSQL (postgres://USER:PASSWORD@HOST/DATABASE)
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "DATABASE_URL",
        hide_env_values = true,
        default_value = DEFAULT_DATABASE_URL,
        help_heading = OF_THE_DATABASE
    )]
    database_url: String,
    /// How many connections to PostgreSQL are open at most (1 to 10000)
    #[arg(
        long,
        global = true,
        value_name = "NUMBER",
        env = "REFERRAL_EVENTS_DATABASE_CONNECTIONS",
        default_value_t = PoolOptions::DEFAULT.connections,
        value_parser = number::<u32>(1..=10_000),
        help_heading = OF_THE_DATABASE,
        hide_short_help = true
    )]
    database_connections: u32,
    /// How long a call waits for a connection to the database before it is refused with ServiceUnavailableException,
    /// in seconds (1 to 86400)
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        env = "REFERRAL_EVENTS_DATABASE_ACQUIRE_TIMEOUT",
        default_value_t = PoolOptions::DEFAULT.acquire_timeout.as_secs(),
        value_parser = number::<u64>(1..=DAY),
        help_heading = OF_THE_DATABASE,
        hide_short_help = true
    )]
    database_acquire_timeout: u64,
    /// How long a connection to PostgreSQL is kept that nobody uses, in seconds (1 to 86400)
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        env = "REFERRAL_EVENTS_DATABASE_IDLE_TIMEOUT",
        default_value_t = PoolOptions::DEFAULT.idle_timeout.as_secs(),
        value_parser = number::<u64>(1..=DAY),
        help_heading = OF_THE_DATABASE,
        hide_short_help = true
    )]
    database_idle_timeout: u64,
    #[command(flatten)]
    keys: KeyArguments,
    /// What to log: off, error, warn, info, debug or trace, or levels by module (info,referral_events=debug)
    #[arg(
        long,
        global = true,
        value_name = "LEVELS",
        env = "REFERRAL_EVENTS_LOG",
        default_value = "info,sea_orm_migration=warn,sqlx::postgres::notice=warn",
        help_heading = OF_ALL
    )]
    log: String,
    /// The form of the log: text, json (an object a line), or auto, which is text on a terminal and JSON elsewhere
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = "REFERRAL_EVENTS_LOG_FORMAT",
        default_value = "auto",
        help_heading = OF_ALL,
        hide_possible_values = true,
        hide_short_help = true
    )]
    log_format: logging::Format,
    /// A TOML file of settings, each under the name of its flag; flags and the environment come before it
    #[arg(long, global = true, value_name = "FILE", env = "REFERRAL_EVENTS_CONFIG", help_heading = OF_ALL)]
    config: Option<PathBuf>,
}

const DEFAULT_DATABASE_URL: &str = "sqlite:referral-events.db";

/// Shows neither the keys nor the URL, which may hold a password.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("log", &self.log).finish_non_exhaustive()
    }
}

const ADD_ORGANISATION: &str = "Example:\n  referral-events organisation add acme";
const ADD_USER: &str =
    "Example:\n  echo 'seven green kettles' | referral-events user add ann --organisation acme --role caller";
const RELEASE_TOKENS: &str = "Example:\n  referral-events token release --user ann --organisation acme";
const CHECK_KEYS: &str = "Example:\n  referral-events key check";
const LIST_AUDIT: &str = "Example:\n  referral-events audit list --organisation acme";
const SHOW_CONFIG: &str = "Example:\n  referral-events config show";

const ARCHIVE_EVENTS: &str =
    "Example:\n  referral-events events archive --organisation acme --before 2020-01-01 --output 2019.ndjson.zst";
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
    match dispatch(cli).await {
        Ok(code) => code,
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

/// Prints a line for the operator. If it cannot be written, the command has still succeeded.
fn say(line: &str) {
    _ = writeln!(io::stdout(), "{line}");
}

async fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let settings = cli.settings;
    match cli.command {
        Command::Serve(arguments) => serve::run(arguments, settings).await?,
        Command::Migrate(arguments) => migrate::run(arguments, &settings).await?,
        Command::Backup(arguments) => return backup::run(arguments, &settings).await,
        Command::Import(arguments) => return import::run(arguments, &settings).await,
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
        Command::Completions(arguments) => generated::completions(&arguments, Cli::command())?,
        Command::Man(arguments) => generated::man(&arguments, Cli::command())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// How long a statement of a command may take. No caller waits for it, and the database may be large.
const COMMAND_TIME_LIMIT: Duration = Duration::from_secs(DAY);

impl Settings {
    async fn connect(&self, time_limit: Duration) -> Result<Database, Failure> {
        let options = PoolOptions {
            connections: self.database_connections,
            acquire_timeout: Duration::from_secs(self.database_acquire_timeout),
            idle_timeout: Duration::from_secs(self.database_idle_timeout),
            time_limit,
        };
        Ok(Database::connect_with(&self.database_url, options).await?)
    }

    /// The database, its schema up to date: SQLite is brought there, PostgreSQL must be already. One that is newer is
    /// taken where this program can use it.
    async fn open(&self, time_limit: Duration) -> Result<Database, Failure> {
        let database = self.connect(time_limit).await?;
        if database.is_sqlite() {
            database.migrate().await?;
            return Ok(database);
        }
        check_schema(&database).await?;
        Ok(database)
    }
}

/// Refuses a database whose schema this program cannot use.
async fn check_schema(database: &Database) -> Result<(), Failure> {
    let schema = database.schema().await?;
    schema.check()?;
    if !schema.missing.is_empty() {
        let message = "the database's schema is behind this version; run: referral-events migrate";
        return Err(SettingError::new(message).into());
    }
    Ok(())
}
