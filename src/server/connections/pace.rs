//! How fast a peer moves what the server waits for.

use std::time::{Duration, Instant};

/// What a peer must move while it is waited for, in bytes a second.
const MINIMUM_RATE: u128 = 16 * 1024;

/// For how many stall times a peer is waited for before its rate is looked at.
const BEFORE_RATE: u32 = 2;

/// Bytes that a peer is to send, or to take. Only the time counts in which the server waits for the peer.
#[derive(Debug, Default)]
pub struct Pace {
    waiting_since: Option<Instant>,
    /// How long it was waited for before, since the rate was last found good.
    waited: Duration,
    /// The bytes that were moved in that time.
    moved: usize,
}

impl Pace {
    /// The peer is waited for from now on, unless it is already.
    pub fn wait(&mut self, now: Instant) {
        self.waiting_since.get_or_insert(now);
    }

    /// The peer has moved this many bytes, and is no longer waited for.
    pub fn moved(&mut self, bytes: usize, now: Instant) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += now.saturating_duration_since(since);
        }
        self.moved = self.moved.saturating_add(bytes);
    }

    pub fn waiting_since(&self) -> Option<Instant> {
        self.waiting_since
    }

    /// Whether the peer has moved nothing for `stall`, or too little for longer.
    pub fn is_stalled(&mut self, stall: Duration, now: Instant) -> bool {
        let waiting = self.waiting_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if waiting >= stall {
            return true;
        }
        let waited = self.waited + waiting;
        if waited < stall * BEFORE_RATE {
            return false;
        }
        let least = MINIMUM_RATE * waited.as_millis() / 1000;
        if (self.moved as u128) < least {
            return true;
        }
        // What was moved fast at first must not pay for a crawl ever after.
        (self.waited, self.moved) = (Duration::ZERO, 0);
        false
    }
}
