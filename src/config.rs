//! The settings of a server, and the keys.

use std::time::Duration;

use axum::http::HeaderValue;
use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::{
    clock::Clock,
    guessing::Limits,
    referral::ReferralSettings,
    secret::{Key, KeyRing},
    tls::Tls,
};

/// How a server behaves.
#[derive(Clone, Debug)]
pub struct Config {
    pub clock: Clock,
    pub referral: ReferralSettings,
    /// How much may be guessed.
    pub guessing: Limits,
    /// Answers refused REST calls with HTTP 200 too.
    pub always_ok: bool,
    /// The origins whose pages may call, as browsers name them; `*` stands for all.
    pub cors_origins: Vec<HeaderValue>,
    /// How long a call may take.
    pub time_limit: Duration,
    /// How many calls that write may be under way or wait at once, and as many that read; more are refused.
    pub maximum_calls: usize,
    /// How long a call may be expected to wait for others of its organisation before it is refused.
    pub maximum_wait: Duration,
    /// How many bytes the bodies being read and the answers not yet taken may have together.
    pub memory_budget: usize,
    pub connections: ConnectionLimits,
    /// What is served by TLS; `None` for plain text.
    pub tls: Option<Tls>,
    /// What the spans of calls are handed to; `None` where nobody wants them.
    pub spans: Option<SdkTracerProvider>,
    /// How long calls are still taken once the server is told to stop and its health says so; at most half of
    /// `drain_limit`.
    pub drain_pause: Duration,
    /// How long the server takes at most to end once it is told to stop.
    pub drain_limit: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            clock: Clock::default(),
            referral: ReferralSettings::default(),
            guessing: Limits::default(),
            always_ok: false,
            cors_origins: Vec::new(),
            time_limit: Duration::from_secs(30),
            maximum_calls: 256,
            maximum_wait: Duration::from_millis(500),
            memory_budget: 256 * 1024 * 1024,
            connections: ConnectionLimits::default(),
            tls: None,
            spans: None,
            drain_pause: Duration::from_secs(1),
            drain_limit: Duration::from_secs(10),
        }
    }
}

/// What the connections of callers may cost.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// How many may be open at once. Where there are as many, a new one takes the place of one on which nothing is at
    /// work, or waits for a place.
    pub maximum: usize,
    /// How long the head of a request may take, and what comes before the first one.
    pub head_timeout: Duration,
    /// How long a peer may leave a body or an answer where it is; in twice that time it must move 16 KiB a second.
    pub stall_timeout: Duration,
    /// How long a connection is kept on which there are no calls.
    pub idle_timeout: Duration,
    /// How long a connection takes new calls; some less by chance, so that not all go at once.
    pub maximum_age: Duration,
    /// How long the calls under way on a connection may take to end once it takes no new ones: longer than any call.
    pub retirement: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            maximum: 4096,
            head_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(300),
            maximum_age: Duration::from_secs(3600),
            retirement: Duration::from_secs(60),
        }
    }
}

impl ConnectionLimits {
    /// How often connections are looked at: several times in the shortest of the limits.
    pub fn review_interval(&self) -> Duration {
        let shortest = self.head_timeout.min(self.stall_timeout).min(self.idle_timeout).min(self.maximum_age);
        (shortest / 8).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }
}

/// Why a setting cannot be used, for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SettingError(String);

impl SettingError {
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

type Result<T> = std::result::Result<T, SettingError>;

/// The keys of a server.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Sign tokens.
    pub token: KeyRing,
    /// Hash the codes of access tokens.
    pub hash: KeyRing,
}

/// The names under which the keys are set in the environment, and stand in the key file.
pub const TOKEN_KEY: &str = "REFERRAL_EVENTS_TOKEN_KEY";
pub const HASH_KEY: &str = "REFERRAL_EVENTS_HASH_KEY";

impl Keys {
    /// New keys, kept nowhere.
    pub fn generate() -> Result<Self> {
        let generate = || Key::generate().map_err(|error| SettingError::new(format!("no key can be made: {error}")));
        Ok(Self { token: KeyRing::of_one(generate()?), hash: KeyRing::of_one(generate()?) })
    }
}
