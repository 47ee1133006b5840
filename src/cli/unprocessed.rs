//! The settings of `serve` about the journal of unprocessed events.

use std::time::Duration;

use clap::Args;

use super::values::number;

#[derive(Args, Debug)]
pub struct UnprocessedSettings {
    /// How long unprocessed events are kept, in days (0 to 3650); 0 keeps none
    #[arg(
        long,
        value_name = "DAYS",
        env = "REFERRAL_EVENTS_UNPROCESSED_RETENTION",
        default_value_t = 7,
        value_parser = number::<u32>(0..=3650),
        hide_short_help = true
    )]
    unprocessed_retention: u32,
}

impl UnprocessedSettings {
    pub fn retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.unprocessed_retention) * 24 * 3600)
    }
}
