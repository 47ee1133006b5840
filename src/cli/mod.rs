//! The command line.

mod demo;
mod import;
mod keys;
mod migrate;
mod organisation;
mod serve;
mod user;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, builder::RangedU64ValueParser, value_parser};
use tracing_subscriber::EnvFilter;

use crate::{
    config::{HASH_KEY, SettingError, TOKEN_KEY},
    error::Error,
    logging::Log,
    storage::{Database, PoolOptions},
};

/// Creates referral customer events in bulk, over gRPC and REST.
#[derive(Debug, Parser)]
#[command(name = "referral-events", version)]
pub struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

/// The settings that all commands share.
#[derive(Args)]
struct Settings {
    /// The database: a SQLite file (sqlite:PATH), or PostgreSQL (postgres://USER@HOST/DATABASE?sslmode=verify-full)
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true, default_value = DEFAULT_DATABASE_URL)]
    database_url: String,
    /// How many connections to PostgreSQL are open at most
    #[arg(
        long,
        global = true,
        value_name = "NUMBER",
        env = "REFERRAL_EVENTS_DATABASE_CONNECTIONS",
        default_value_t = PoolOptions::DEFAULT.connections,
        value_parser = value_parser!(u32).range(1..)
    )]
    database_connections: u32,
    /// How long a call waits for a connection to the database before it is refused with ServiceUnavailableException,
    /// in seconds
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        env = "REFERRAL_EVENTS_DATABASE_ACQUIRE_TIMEOUT",
        default_value_t = PoolOptions::DEFAULT.acquire_timeout.as_secs(),
        value_parser = seconds()
    )]
    database_acquire_timeout: u64,
    /// How long a connection to PostgreSQL is kept that nobody uses, in seconds
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        env = "REFERRAL_EVENTS_DATABASE_IDLE_TIMEOUT",
        default_value_t = PoolOptions::DEFAULT.idle_timeout.as_secs(),
        value_parser = seconds()
    )]
    database_idle_timeout: u64,
    /// The key that signs tokens, 64 hex digits; made beside the database where it is SQLite
    #[arg(long, global = true, env = TOKEN_KEY, hide_env_values = true)]
    token_key: Option<String>,
    /// The key that hashes the codes of access tokens, 64 hex digits; made beside the database where it is SQLite
    #[arg(long, global = true, env = HASH_KEY, hide_env_values = true)]
    hash_key: Option<String>,
    /// What to log: a level, or levels by module (info,referral_events=debug)
    #[arg(long, global = true, env = "REFERRAL_EVENTS_LOG", default_value = "info,sea_orm_migration=warn")]
    log: String,
}

const DEFAULT_DATABASE_URL: &str = "sqlite:referral-events.db";

/// Shows neither the keys nor the URL, which may hold a password.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("log", &self.log).finish_non_exhaustive()
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves gRPC and REST on one port
    Serve(serve::ServeArguments),
    /// Brings the database's schema up to date
    Migrate,
    /// Loads directory rows from a file
    Import(import::ImportArguments),
    /// Manages organisations
    #[command(subcommand)]
    Organisation(organisation::OrganisationCommand),
    /// Manages users
    #[command(subcommand)]
    User(user::UserCommand),
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
    let filter = EnvFilter::try_new(setting)
        .map_err(|error| SettingError::new(format!("the log setting cannot be read: {error}")))?;
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
        Command::Migrate => migrate::run(&settings).await?,
        Command::Import(arguments) => return import::run(arguments, &settings).await,
        Command::Organisation(command) => organisation::run(command, &settings).await?,
        Command::User(command) => user::run(command, &settings).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A time of at least a second and at most a day.
fn seconds() -> RangedU64ValueParser {
    value_parser!(u64).range(1..=86_400)
}

/// How long a statement of a command may take. No caller waits for it, and the database may be large.
const COMMAND_TIME_LIMIT: Duration = Duration::from_secs(24 * 3600);

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
        let schema = database.schema().await?;
        schema.check()?;
        if !schema.missing.is_empty() {
            let message = "the database's schema is behind this version; run: referral-events migrate";
            return Err(SettingError::new(message).into());
        }
        Ok(database)
    }
}
