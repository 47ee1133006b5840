//! How often something is tried, and how long the client waits in between.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::error::Error;

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Is told of a failure before the client tries again.
pub type OnRetry = Arc<dyn Fn(&Retry<'_>) + Send + Sync>;

/// A failure after which the client tries again.
#[derive(Debug)]
pub struct Retry<'a> {
    pub error: &'a Error,
    /// How many attempts have failed in a row.
    pub attempt: u32,
    /// How long the client waits before the next one.
    pub wait: Duration,
}

/// What holds for all calls of a client.
#[derive(Clone)]
pub struct Settings {
    /// A PEM file of the authorities whose certificates are trusted, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// How long an attempt at a call may take, or the answer to a chunk.
    pub deadline: Duration,
    /// How many attempts may fail in a row; `None` for as many as it takes.
    pub attempts: Option<u32>,
    /// Is told of each failure after which there is another attempt.
    pub on_retry: Option<OnRetry>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { ca_file: None, deadline: Duration::from_secs(60), attempts: Some(8), on_retry: None }
    }
}

/// The attempts at something.
pub struct Attempts {
    settings: Settings,
    failed: u32,
    has_renewed: bool,
}

impl Attempts {
    pub fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone(), failed: 0, has_renewed: false }
    }

    /// What comes from now on is counted anew.
    pub fn succeeded(&mut self) {
        (self.failed, self.has_renewed) = (0, false);
    }

    /// Waits for the next attempt; fails where there is none. `is_renewed` says that the next one has another token.
    pub async fn next(&mut self, error: Error, is_renewed: bool) -> Result<(), Error> {
        let renews = is_renewed && !std::mem::replace(&mut self.has_renewed, is_renewed);
        self.failed += 1;
        let is_last = self.settings.attempts.is_some_and(|attempts| self.failed >= attempts);
        if !renews && (is_last || !error.is_retryable()) {
            return Err(error);
        }
        let wait = if renews { Duration::ZERO } else { self.wait(&error) };
        if let Some(tell) = &self.settings.on_retry {
            tell(&Retry { error: &error, attempt: self.failed, wait });
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Grows with the failures, and differs between clients, so that those who failed together don't meet again.
    fn wait(&self, error: &Error) -> Duration {
        let doublings = (self.failed - 1).min(16);
        let longest = (FIRST_WAIT * 2u32.pow(doublings)).min(LONGEST_WAIT);
        let random = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
        let wait = longest.mul_f64(0.5 + 0.5 * random);
        error.wait().map_or(wait, |asked| asked.max(wait))
    }
}
