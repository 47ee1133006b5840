//! The command line.

mod demo;
mod import;
mod keys;
mod migrate;
mod organisation;
mod serve;
mod show;
mod unprocessed;
mod user;
mod values;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::{
    ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind as ClapError,
    parser::ValueSource,
};

use crate::{
    config::{HASH_KEY, SettingError, TOKEN_KEY},
    error::Error,
    logging::{self, Log},
    storage::{Database, PoolOptions},
};
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
    /// The key that signs tokens, 64 hex digits; made beside the database where it is SQLite
    #[arg(
        long,
        global = true,
        value_name = "KEY",
        env = TOKEN_KEY,
        hide_env_values = true,
        help_heading = OF_ALL,
        hide_short_help = true
    )]
    token_key: Option<String>,
    /// The key that hashes the codes of access tokens, 64 hex digits; made beside the database where it is SQLite
    #[arg(
        long,
        global = true,
        value_name = "KEY",
        env = HASH_KEY,
        hide_env_values = true,
        help_heading = OF_ALL,
        hide_short_help = true
    )]
    hash_key: Option<String>,
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
}

const DEFAULT_DATABASE_URL: &str = "sqlite:referral-events.db";

/// Shows neither the keys nor the URL, which may hold a password.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("log", &self.log).finish_non_exhaustive()
    }
}

const ADD_ORGANISATION: &str = "Example:\n  referral-events organisation add acme";
const SHOW: &str = "Example:\n  referral-events show event 8 --organisation acme";
const ADD_USER: &str = "Example:\n  echo 'a password' | referral-events user add ann --organisation acme --role caller";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves gRPC and REST on one port
    #[command(after_help = "Example:\n  referral-events serve --listen 127.0.0.1:50051")]
    Serve(serve::ServeArguments),
    /// Brings the database's schema up to date
    #[command(after_help = "Example:\n  referral-events migrate --status")]
    Migrate(migrate::MigrateArguments),
    /// Loads directory rows from a file
    #[command(after_help = "Example:\n  referral-events import --organisation acme units units.csv")]
    Import(import::ImportArguments),
    /// Shows what is known of a request, an event or a participant
    #[command(subcommand, after_help = SHOW)]
    Show(show::ShowCommand),
    /// Manages organisations
    #[command(subcommand, after_help = ADD_ORGANISATION)]
    Organisation(organisation::OrganisationCommand),
    /// Manages users
    #[command(subcommand, after_help = ADD_USER)]
    User(user::UserCommand),
}

/// The settings that the demo has of its own, whatever the environment says; on the command line they are refused.
const OF_THE_DEMO: [(&str, &str); 3] =
    [("database_url", "--database-url"), ("token_key", "--token-key"), ("hash_key", "--hash-key")];

impl Cli {
    /// Reads the command line and the environment. Ends the program where they are wrong or ask for help.
    pub fn read() -> Self {
        let matches = Self::command().get_matches();
        let cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        if let Command::Serve(arguments) = &cli.command
            && arguments.demo
            && let Some((_, flag)) = OF_THE_DEMO.iter().find(|(id, _)| is_given(&matches, id))
        {
            let message = format!("--demo has a database and keys of its own, made new each time: leave {flag} out\n");
            Self::command().error(ClapError::ArgumentConflict, message).exit()
        }
        cli
    }
}

/// Whether a setting stands on the command line, before the command or after it.
fn is_given(matches: &ArgMatches, id: &str) -> bool {
    let of_command = matches.subcommand().map(|(_, of_command)| of_command);
    [Some(matches), of_command]
        .into_iter()
        .flatten()
        .any(|matches| matches.value_source(id) == Some(ValueSource::CommandLine))
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
    let mut log = match start_log(&cli.settings.log) {
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

fn start_log(setting: &str) -> Result<Log, Failure> {
    let filter = logging::filter(setting)
        .map_err(|reason| SettingError::new(format!("the log setting cannot be read: {reason}")))?;
    Ok(Log::start(filter)?)
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
        Command::Import(arguments) => return import::run(arguments, &settings).await,
        Command::Show(command) => show::run(command, &settings).await?,
        Command::Organisation(command) => organisation::run(command, &settings).await?,
        Command::User(command) => user::run(command, &settings).await?,
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
