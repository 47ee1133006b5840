//! `serve`: runs the server until it is told to stop.

use std::time::Duration;

use axum::http::HeaderValue;
use clap::{Args, builder::FalseyValueParser};
use tempfile::TempDir;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use super::{
    Failure, Settings,
    admin::{self, AdminArguments},
    demo,
    key_settings::{KeyArguments, MissingKeys},
    keys::{self, NewKey},
    say,
    tls::TlsArguments,
    traces::TraceArguments,
    unprocessed::UnprocessedSettings,
    values::{DAY, Listen, number},
};
use crate::{
    clock::Clock,
    config::{Config, ConnectionLimits, SettingError},
    guessing::Limits,
    referral::{ReferralSettings, rules::release::Release},
    server::{self, Listeners, descriptors},
};

#[derive(Args, Debug)]
#[command(next_help_heading = "Settings of serve")]
pub struct ServeArguments {
    /// The address to serve on, HOST:PORT; :PORT is all addresses of this machine, and port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", env = "REFERRAL_EVENTS_LISTEN", default_value = "127.0.0.1:50051")]
    pub listen: Listen,
    #[command(flatten)]
    pub tls: TlsArguments,
    #[command(flatten)]
    traces: TraceArguments,
    /// Serves a demo organisation, in a database of its own that is gone afterwards; on loopback only
    #[arg(long)]
    pub demo: bool,
    /// Lets referrals form circles
    #[arg(long, env = "REFERRAL_EVENTS_ALLOW_CIRCLES", value_parser = FalseyValueParser::new())]
    allow_circles: bool,
    /// The release of the API whose attributes are served, R10.0 to R18.0
    #[arg(long, env = "REFERRAL_EVENTS_RELEASE", default_value_t)]
    release: Release,
    /// Answers refused REST calls with HTTP 200 too, for callers that look at status.code alone
    #[arg(long, env = "REFERRAL_EVENTS_ALWAYS_OK", value_parser = FalseyValueParser::new())]
    always_ok: bool,
    /// An origin whose web pages may call, as https://shop.example.com; can be given several times, and * stands for all
    #[arg(
        long,
        value_name = "ORIGIN",
        env = "REFERRAL_EVENTS_CORS_ORIGIN",
        value_delimiter = ',',
        value_parser = origin,
        hide_short_help = true
    )]
    cors_origin: Vec<HeaderValue>,
    /// How long a call may take, in seconds (1 to 86400)
    #[arg(
        long,
        value_name = "SECONDS",
        env = "REFERRAL_EVENTS_TIME_LIMIT",
        default_value_t = 30,
        value_parser = number::<u64>(1..=DAY),
        hide_short_help = true
    )]
    pub time_limit: u64,
    /// How many calls that write may be under way or wait at once, and as many that read; more are refused with
    /// TooManyRequestsException (1 to 100000)
    #[arg(
        long,
        value_name = "NUMBER",
        env = "REFERRAL_EVENTS_MAXIMUM_CALLS",
        default_value_t = 256,
        value_parser = number::<usize>(1..=100_000),
        hide_short_help = true
    )]
    maximum_calls: usize,
    /// How long a call may be expected to wait for others of its organisation, in milliseconds (1 to 60000); past it,
    /// it is refused with TooManyRequestsException
    #[arg(
        long,
        value_name = "MILLISECONDS",
        env = "REFERRAL_EVENTS_MAXIMUM_WAIT",
        default_value_t = 500,
        value_parser = number::<u64>(1..=60_000),
        hide_short_help = true
    )]
    maximum_wait: u64,
    /// How many events of calls of one organisation that wait are created together, in one transaction, at most (1 to
    /// 100000); a call with more is carried out by itself
    #[arg(
        long,
        value_name = "NUMBER",
        env = "REFERRAL_EVENTS_MAXIMUM_GROUP",
        default_value_t = 1000,
        value_parser = number::<usize>(1..=100_000),
        hide_short_help = true
    )]
    maximum_group: usize,
    /// How much memory the requests being read and the answers not yet taken may have together, in MiB (128 to 1048576)
    #[arg(
        long,
        value_name = "MIB",
        env = "REFERRAL_EVENTS_MEMORY_BUDGET",
        default_value_t = 256,
        value_parser = number::<u32>(128..=1_048_576),
        hide_short_help = true
    )]
    memory_budget: u32,
    /// How many wrong passwords may be given for a user, from one address, before one has to wait (1 to 1000000)
    #[arg(
        long,
        value_name = "NUMBER",
        env = "REFERRAL_EVENTS_WRONG_PASSWORDS",
        default_value_t = 5,
        value_parser = number::<u32>(1..=1_000_000),
        hide_short_help = true
    )]
    wrong_passwords: u32,
    /// How many wrong codes of access tokens a caller may give before it has to wait (1 to 1000000)
    #[arg(
        long,
        value_name = "NUMBER",
        env = "REFERRAL_EVENTS_WRONG_CODES",
        default_value_t = 10,
        value_parser = number::<u32>(1..=1_000_000),
        hide_short_help = true
    )]
    wrong_codes: u32,
    /// The longest time that one has to wait after wrong passwords or codes, in seconds (1 to 3600)
    #[arg(
        long,
        value_name = "SECONDS",
        env = "REFERRAL_EVENTS_LONGEST_WAIT",
        default_value_t = 60,
        value_parser = number::<u32>(1..=3600),
        hide_short_help = true
    )]
    longest_wait: u32,
    /// How long the answers of calls with an idempotency key are kept, in hours (1 to 87600)
    #[arg(
        long,
        value_name = "HOURS",
        env = "REFERRAL_EVENTS_IDEMPOTENCY_RETENTION",
        default_value_t = 168,
        value_parser = number::<u32>(1..=87_600),
        hide_short_help = true
    )]
    idempotency_retention: u32,
    /// How many connections of callers may be open at once (1 to 4294967295) [default: 4096, or as many as there
    /// are descriptors for]
    #[arg(
        long,
        value_name = "NUMBER",
        env = "REFERRAL_EVENTS_MAXIMUM_CONNECTIONS",
        value_parser = number::<u32>(1..=u32::MAX.into()),
        hide_short_help = true
    )]
    pub maximum_connections: Option<u32>,
    /// How long the body of a request may not come, or an answer not be taken, before its connection is ended, in
    /// seconds (1 to 86400)
    #[arg(
        long,
        value_name = "SECONDS",
        env = "REFERRAL_EVENTS_STALL_TIMEOUT",
        default_value_t = 10,
        value_parser = number::<u64>(1..=DAY),
        hide_short_help = true
    )]
    stall_timeout: u64,
    /// How long a connection is kept on which there are no calls, in seconds (1 to 86400)
    #[arg(
        long,
        value_name = "SECONDS",
        env = "REFERRAL_EVENTS_IDLE_TIMEOUT",
        default_value_t = 300,
        value_parser = number::<u64>(1..=DAY),
        hide_short_help = true
    )]
    idle_timeout: u64,
    /// How long a connection takes new calls before its caller is told to open another one, in seconds (1 to 86400)
    #[arg(
        long,
        value_name = "SECONDS",
        env = "REFERRAL_EVENTS_CONNECTION_AGE",
        default_value_t = 3600,
        value_parser = number::<u64>(1..=DAY),
        hide_short_help = true
    )]
    connection_age: u64,
    /// How long calls are still taken once the server is told to stop and its health says so, in seconds (0 to 86400);
    /// at most half of the drain limit
    #[arg(
        long,
        value_name = "SECONDS",
        env = "REFERRAL_EVENTS_DRAIN_PAUSE",
        default_value_t = 1,
        value_parser = number::<u64>(0..=DAY),
        hide_short_help = true
    )]
    drain_pause: u64,
    /// How long the server takes at most to end once it is told to stop, in seconds (0 to 86400)
    #[arg(
        long,
        value_name = "SECONDS",
        env = "REFERRAL_EVENTS_DRAIN_LIMIT",
        default_value_t = 10,
        value_parser = number::<u64>(0..=DAY),
        hide_short_help = true
    )]
    drain_limit: u64,
    #[command(flatten)]
    pub admin: AdminArguments,
    #[command(flatten)]
    unprocessed: UnprocessedSettings,
}

/// An origin as browsers name it.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_origin =
        text == "*" || host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', '?', '#', ' ']));
    let value = HeaderValue::from_str(&text.to_ascii_lowercase()).ok().filter(|_| is_origin);
    value.ok_or_else(|| "an origin is https://shop.example.com, with its port where it has one, and no path".to_owned())
}

/// The descriptors that are not for connections: the database's, the log, and what the system takes.
const OTHER_DESCRIPTORS: u64 = 128;

impl ServeArguments {
    /// The limits of connections; there are never more of them than descriptors.
    pub fn connections(&self, database_connections: u32) -> Result<ConnectionLimits, SettingError> {
        let others = OTHER_DESCRIPTORS + u64::from(database_connections);
        let descriptors = descriptors::raise_limit().unwrap_or(u64::MAX);
        let possible = usize::try_from(descriptors.saturating_sub(others)).unwrap_or(usize::MAX);
        let limits = ConnectionLimits::default();
        let maximum = match self.maximum_connections.map(|maximum| maximum as usize) {
            Some(maximum) if maximum > possible => {
                return Err(SettingError::new(format!(
                    "--maximum-connections {maximum} takes {} descriptors and the system allows {descriptors}: set it \
                     to {possible} or less, or raise the system's limit (ulimit -n)",
                    others + maximum as u64
                )));
            }
            Some(maximum) => maximum,
            None => limits.maximum.min(possible).max(1),
        };
        Ok(ConnectionLimits {
            maximum,
            stall_timeout: Duration::from_secs(self.stall_timeout),
            idle_timeout: Duration::from_secs(self.idle_timeout),
            maximum_age: Duration::from_secs(self.connection_age),
            retirement: Duration::from_secs(self.time_limit.saturating_add(self.stall_timeout)),
            ..limits
        })
    }
}

/// Gives the demo a folder of its own, and a database in it. Nothing that is set for other databases is used.
fn prepare_demo(settings: &mut Settings, is_loopback: bool) -> Result<TempDir, Failure> {
    if !is_loopback {
        let message = "--demo has a password that everybody knows; it serves on loopback only";
        return Err(SettingError::new(message).into());
    }
    let folder = tempfile::Builder::new().prefix("referral-events-demo-").tempdir()?;
    settings.database_url = demo::database_url(folder.path());
    settings.keys = KeyArguments::none();
    Ok(folder)
}

pub async fn run(arguments: ServeArguments, mut settings: Settings) -> Result<(), Failure> {
    let addresses = arguments.listen.addresses("--listen").await?;
    let is_loopback = addresses.iter().all(|address| address.ip().is_loopback());
    // Removed when it is dropped, once the server has ended.
    let demo_folder = arguments.demo.then(|| prepare_demo(&mut settings, is_loopback)).transpose()?;
    let tls = arguments.tls.open(&addresses)?;
    let spans = arguments.traces.open()?;
    let missing = if is_loopback { MissingKeys::KeepBesideDatabase } else { MissingKeys::Refuse };
    let connections = arguments.connections(settings.database_connections)?;
    let time_limit = Duration::from_secs(arguments.time_limit);
    let (database, keys) = keys::open(&settings, missing, NewKey::Use, time_limit).await?;
    let listener = admin::listen(&addresses).await?;
    let address = listener.local_addr()?;
    let admin = arguments.admin.listen().await?;
    if let Some(folder) = &demo_folder {
        demo::prepare(&database, &keys).await?;
        demo::introduce(address, folder.path(), arguments.tls.certificate());
    }
    say(&format!("serving gRPC and REST on {address}"));
    if let Some(admin) = &admin {
        say(&format!("serving /metrics, /livez and /readyz on {}", admin.local_addr()?));
    }
    let config = Config {
        clock: Clock::default(),
        referral: ReferralSettings {
            allow_circles: arguments.allow_circles,
            release: arguments.release,
            idempotency_retention: Duration::from_secs(u64::from(arguments.idempotency_retention) * 3600),
            maximum_group: arguments.maximum_group,
            unprocessed_retention: arguments.unprocessed.retention(),
        },
        guessing: Limits {
            wrong_passwords: arguments.wrong_passwords,
            wrong_codes: arguments.wrong_codes,
            longest_wait: Duration::from_secs(arguments.longest_wait.into()),
        },
        always_ok: arguments.always_ok,
        cors_origins: arguments.cors_origin,
        time_limit,
        maximum_calls: arguments.maximum_calls,
        maximum_wait: Duration::from_millis(arguments.maximum_wait),
        memory_budget: arguments.memory_budget as usize * 1024 * 1024,
        connections,
        tls,
        spans,
        drain_pause: Duration::from_secs(arguments.drain_pause),
        drain_limit: Duration::from_secs(arguments.drain_limit),
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let (stopping, stopped) = oneshot::channel();
    let shutdown = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
        _ = stopping.send(());
    };
    let drain_limit = config.drain_limit;
    let serving = async {
        let listeners = Listeners { calls: listener, admin };
        server::run(listeners, database.clone(), keys, config, shutdown).await?;
        Ok(database.close().await?)
    };
    // A database that does not answer is waited for no longer than the calls are.
    let out_of_time = async {
        match stopped.await {
            Ok(()) => tokio::time::sleep(drain_limit).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = serving => ended,
        () = out_of_time => Ok(()),
    }
}
