//! The settings of a server, and the keys.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use axum::http::HeaderValue;

use crate::{clock::Clock, guessing::Limits, referral::ReferralSettings, secret::Key, storage::sqlite_file, tls::Tls};

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
    /// Signs tokens.
    pub token: Key,
    /// Hashes the codes of access tokens.
    pub hash: Key,
}

/// The names under which the keys are set in the environment, and stand in the key file.
pub const TOKEN_KEY: &str = "REFERRAL_EVENTS_TOKEN_KEY";
pub const HASH_KEY: &str = "REFERRAL_EVENTS_HASH_KEY";

/// Where the keys come from that are not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingKeys {
    /// From a file beside a SQLite database, which is made where it is not there.
    KeepBesideDatabase,
    /// From nowhere: they must be set.
    Refuse,
}

/// The keys as far as they are set, and where the others come from.
#[derive(Debug)]
pub struct KeySettings {
    token: Option<Key>,
    hash: Option<Key>,
    /// The file that has those that are not set; `None` where both are.
    file: Option<PathBuf>,
}

impl KeySettings {
    /// Reads what is set; a key that is not set comes from where `missing` says.
    pub fn read(token: Option<&str>, hash: Option<&str>, database_url: &str, missing: MissingKeys) -> Result<Self> {
        let token = token.map(|text| parse(TOKEN_KEY, text)).transpose()?;
        let hash = hash.map(|text| parse(HASH_KEY, text)).transpose()?;
        let database_file = sqlite_file(database_url).map_err(|error| SettingError::new(error.to_string()))?;
        let file = match (missing, database_file) {
            _ if token.is_some() && hash.is_some() => None,
            (MissingKeys::KeepBesideDatabase, Some(path)) => Some(key_file(&path)),
            _ => {
                return Err(SettingError::new(format!(
                    "{TOKEN_KEY} and {HASH_KEY} must be set, each to 64 hex digits: keys are made only for a SQLite \
                     database that is served on a loopback address"
                )));
            }
        };
        Ok(Self { token, hash, file })
    }

    /// The file that the hash key comes from; `None` where it is set.
    pub fn hash_key_file(&self) -> Option<PathBuf> {
        self.file.clone().filter(|_| self.hash.is_none())
    }

    /// The same where the file is not there, so that [`keys`](Self::keys) makes a new hash key.
    pub fn hash_key_to_make(&self) -> Option<PathBuf> {
        self.hash_key_file().filter(|file| !file.exists())
    }

    /// The keys; where the file is needed and not there, it is made.
    pub fn keys(self) -> Result<Keys> {
        let kept = self.file.as_deref().map(read_or_make).transpose()?;
        let (kept_token, kept_hash) = kept.map(|kept| (kept.token, kept.hash)).unzip();
        match (self.token.or(kept_token), self.hash.or(kept_hash)) {
            (Some(token), Some(hash)) if token.as_bytes() == hash.as_bytes() => Err(SettingError::new(format!(
                "{TOKEN_KEY} and {HASH_KEY} must be two keys, and are the same: {MAKE_A_KEY}"
            ))),
            (Some(token), Some(hash)) => Ok(Keys { token, hash }),
            _ => Err(SettingError::new("a key is neither set nor in a file")),
        }
    }
}

impl Keys {
    /// New keys, kept nowhere.
    pub fn generate() -> Result<Self> {
        let generate = || Key::generate().map_err(|error| SettingError::new(format!("no key can be made: {error}")));
        Ok(Self { token: generate()?, hash: generate()? })
    }
}

const MAKE_A_KEY: &str = "openssl rand -hex 32 makes one";

fn parse(name: &str, text: &str) -> Result<Key> {
    let key = Key::from_hex(text).ok_or_else(|| SettingError::new(format!("{name} must be 64 hex digits")))?;
    if key.as_bytes().iter().all(|byte| *byte == 0) {
        return Err(SettingError::new(format!("{name} is all zeros, which is no secret: {MAKE_A_KEY}")));
    }
    Ok(key)
}

/// The file beside a SQLite database that has its keys, where they are not set.
pub fn key_file(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".keys");
    PathBuf::from(name)
}

/// The keys of the file, which is made, readable by its owner alone, if it is not there.
fn read_or_make(file: &Path) -> Result<Keys> {
    if !file.exists() {
        make(file).map_err(|error| unusable(file, error))?;
    }
    let text = std::fs::read_to_string(file).map_err(|error| unusable(file, error))?;
    let line = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        parse(name, value.ok_or_else(|| SettingError::new(format!("{} has no {name}", file.display())))?)
    };
    Ok(Keys { token: line(TOKEN_KEY)?, hash: line(HASH_KEY)? })
}

/// Makes the file whole or not at all: a half-written one would stop every later start. Of two that make it at once,
/// the first one's keys stay.
fn make(file: &Path) -> io::Result<()> {
    let keys = Keys::generate().map_err(io::Error::other)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A temporary file is readable by its owner alone.
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(temporary, "{TOKEN_KEY}={}", keys.token.to_hex().expose())?;
    writeln!(temporary, "{HASH_KEY}={}", keys.hash.to_hex().expose())?;
    temporary.as_file().sync_all()?;
    match temporary.persist_noclobber(file) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

fn unusable(file: &Path, error: io::Error) -> SettingError {
    SettingError::new(format!("the key file {} cannot be used: {error}", file.display()))
}
