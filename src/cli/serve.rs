//! `serve`: runs the server until it is told to stop.

use std::{net::SocketAddr, time::Duration};

use clap::{Args, builder::FalseyValueParser, value_parser};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{DEFAULT_DATABASE_URL, Failure, Settings, demo};
use crate::{
    config::{Config, MissingKeys, SettingError},
    referral::{Rules, release::Release},
    server,
};

#[derive(Args, Debug)]
pub struct ServeArguments {
    /// The address to serve on; port 0 takes a free one
    #[arg(long, env = "REFERRAL_EVENTS_LISTEN", default_value = "127.0.0.1:50051")]
    listen: SocketAddr,
    /// Serves a demo organisation, in a database of its own that is gone afterwards; on loopback only
    #[arg(long)]
    demo: bool,
    /// Lets referrals form circles
    #[arg(long, env = "REFERRAL_EVENTS_ALLOW_CIRCLES", value_parser = FalseyValueParser::new())]
    allow_circles: bool,
    /// The release of the API whose attributes are served, R10.0 to R18.0
    #[arg(long, env = "REFERRAL_EVENTS_RELEASE", default_value_t)]
    release: Release,
    /// Answers refused REST calls with HTTP 200 too, for callers that look at status.code alone
    #[arg(long, env = "REFERRAL_EVENTS_ALWAYS_OK", value_parser = FalseyValueParser::new())]
    always_ok: bool,
    /// How long a call may take, in seconds
    #[arg(long, env = "REFERRAL_EVENTS_TIME_LIMIT", default_value_t = 30)]
    time_limit: u64,
    /// How many calls may be under way at once; more are refused with TooManyRequestsException
    #[arg(long, env = "REFERRAL_EVENTS_MAXIMUM_CALLS", default_value_t = 256)]
    maximum_calls: usize,
    /// How much memory the requests being read and the answers not yet taken may have together, in MiB; at least 128
    #[arg(long, env = "REFERRAL_EVENTS_MEMORY_BUDGET", default_value_t = 256, value_parser = value_parser!(u32).range(128..))]
    memory_budget: u32,
    /// How long the answers of calls with an idempotency key are kept, in hours
    #[arg(long, env = "REFERRAL_EVENTS_IDEMPOTENCY_RETENTION", default_value_t = 168)]
    idempotency_retention: u32,
    /// How long calls under way may take to end once the server is told to stop, in seconds
    #[arg(long, env = "REFERRAL_EVENTS_DRAIN_LIMIT", default_value_t = 10)]
    drain_limit: u64,
}

pub async fn run(arguments: ServeArguments, mut settings: Settings) -> Result<(), Failure> {
    let is_loopback = arguments.listen.ip().is_loopback();
    let demo_directory = if arguments.demo {
        if !is_loopback {
            return Err(
                SettingError::new("--demo has a password that everybody knows; it serves on loopback only").into()
            );
        }
        let directory = tempfile::Builder::new().prefix("referral-events-demo-").tempdir()?;
        if settings.database_url == DEFAULT_DATABASE_URL {
            settings.database_url = format!("sqlite:{}", directory.path().join("demo.db").display());
        }
        Some(directory)
    } else {
        None
    };
    let missing = if is_loopback { MissingKeys::KeepBesideDatabase } else { MissingKeys::Refuse };
    let keys = settings.keys(missing)?;
    let time_limit = Duration::from_secs(arguments.time_limit);
    let database = settings.open(time_limit).await?;
    let listener = TcpListener::bind(arguments.listen)
        .await
        .map_err(|error| SettingError::new(format!("{} cannot be listened on: {error}", arguments.listen)))?;
    let address = listener.local_addr()?;
    if demo_directory.is_some() {
        demo::prepare(&database, &keys).await?;
        demo::print_calls(address, &database, &keys).await?;
    }
    println!("serving gRPC and REST on {address}");
    let config = Config {
        rules: Rules {
            allow_circles: arguments.allow_circles,
            release: arguments.release,
            idempotency_retention: Duration::from_secs(u64::from(arguments.idempotency_retention) * 3600),
        },
        always_ok: arguments.always_ok,
        time_limit,
        maximum_calls: arguments.maximum_calls,
        memory_budget: arguments.memory_budget as usize * 1024 * 1024,
        drain_limit: Duration::from_secs(arguments.drain_limit),
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
    };
    server::run(listener, database.clone(), keys, config, shutdown).await?;
    Ok(database.close().await?)
}
