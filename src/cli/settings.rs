//! The settings that all commands share, and the database that they lead to.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{
    Failure, OF_ALL,
    key_settings::KeyArguments,
    values::{DAY, number},
};
use crate::{
    config::SettingError,
    logging,
    storage::{Database, PoolOptions, sqlite_file},
};

const OF_THE_DATABASE: &str = "Settings of the database";

/// The settings that all commands share.
#[derive(Args)]
pub struct Settings {
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
    pub database_url: String,
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
    pub database_connections: u32,
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
    pub database_acquire_timeout: u64,
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
    pub database_idle_timeout: u64,
    #[command(flatten)]
    pub keys: KeyArguments,
    /// What to log: off, error, warn, info, debug or trace, or levels by module (info,referral_events=debug)
    #[arg(
        long,
        global = true,
        value_name = "LEVELS",
        env = "REFERRAL_EVENTS_LOG",
        default_value = "info,sea_orm_migration=warn,sqlx::postgres::notice=warn",
        help_heading = OF_ALL
    )]
    pub log: String,
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
    pub log_format: logging::Format,
    /// A TOML file of settings, each under the name of its flag; flags and the environment come before it
    #[arg(long, global = true, value_name = "FILE", env = "REFERRAL_EVENTS_CONFIG", help_heading = OF_ALL)]
    pub config: Option<PathBuf>,
}

const DEFAULT_DATABASE_URL: &str = "sqlite:referral-events.db";

/// Shows neither the keys nor the URL, which may hold a password.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("log", &self.log).finish_non_exhaustive()
    }
}

impl Settings {
    pub async fn connect(&self, time_limit: Duration) -> Result<Database, Failure> {
        let options = PoolOptions {
            connections: self.database_connections,
            acquire_timeout: Duration::from_secs(self.database_acquire_timeout),
            idle_timeout: Duration::from_secs(self.database_idle_timeout),
            time_limit,
        };
        Ok(Database::connect_with(&self.database_url, options).await?)
    }

    /// Refuses a database of SQLite that is not there: who looks at one wants none to be made.
    pub fn require_file(&self) -> Result<(), Failure> {
        match sqlite_file(&self.database_url)? {
            Some(file) if !file.exists() => {
                let message = format!("there is no database {}: --database-url names it", file.display());
                Err(SettingError::new(message).into())
            }
            _ => Ok(()),
        }
    }

    /// The database, its schema up to date: SQLite is brought there, PostgreSQL must be already. One that is newer is
    /// taken where this program can use it.
    pub async fn open(&self, time_limit: Duration) -> Result<Database, Failure> {
        self.require_file()?;
        self.open_or_make(time_limit).await
    }

    /// The same of a database of SQLite that need not be there yet.
    pub async fn open_or_make(&self, time_limit: Duration) -> Result<Database, Failure> {
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
pub async fn check_schema(database: &Database) -> Result<(), Failure> {
    let schema = database.schema().await?;
    schema.check()?;
    if !schema.missing.is_empty() {
        let message = "the database's schema is behind this version; run: referral-events migrate";
        return Err(SettingError::new(message).into());
    }
    Ok(())
}
