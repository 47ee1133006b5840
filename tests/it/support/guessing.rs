//! Servers that make those wait who guess.

use std::time::Duration;

use referral_events::{config::Config, guessing::Limits};

/// Waits that no test outlasts unless it moves the clock. No call is refused because others are under way.
pub fn strict() -> Config {
    Config {
        guessing: Limits { wrong_passwords: 3, wrong_codes: 4, longest_wait: Duration::from_secs(3600) },
        maximum_wait: Duration::from_secs(60),
        ..Config::default()
    }
}
