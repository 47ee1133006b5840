//! Doing again what others were faster at.

use std::time::Duration;

/// The attempts at something that may lose a race.
pub struct Attempts {
    number: u32,
    most: u32,
}

impl Attempts {
    pub fn up_to(most: u32) -> Self {
        Self { number: 1, most }
    }

    /// Which it is, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    pub fn is_last(&self) -> bool {
        self.number >= self.most
    }

    /// Comes to the next one, after a pause that grows with them and differs between the losers, so that they don't meet
    /// again.
    pub async fn next(&mut self) {
        /// In milliseconds.
        const LONGEST: u64 = 128;
        let longest = 1u64.checked_shl(self.number).map_or(LONGEST, |longest| longest.min(LONGEST));
        let random = getrandom::u64().unwrap_or_default();
        tokio::time::sleep(Duration::from_micros(random % (longest * 1000))).await;
        self.number += 1;
    }
}
