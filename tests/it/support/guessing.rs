//! Servers that make those wait who guess.

use std::time::Duration;

use referral_events::{config::Config, guessing::Limits};

/// Waits so long that no test outlasts one. No call is refused because others are under way.
pub fn strict() -> Config {
    Config {
        guessing: Limits { wrong_passwords: 3, wrong_codes: 4, longest_wait: Duration::from_secs(3600) },
        maximum_wait: Duration::from_secs(60),
        ..Config::default()
    }
}

/// Waits so short that tests can wait.
pub fn brief() -> Config {
    let limits = Limits { longest_wait: Duration::from_secs(2), ..strict().guessing };
    Config { guessing: limits, ..Config::default() }
}
