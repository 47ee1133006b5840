//! The time by which calls, tokens and what is remembered are judged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// The system's clock, or one that is ahead of it: who tests what comes in an hour moves it there. Clones move together.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// In microseconds.
    ahead: Arc<AtomicI64>,
}

impl Clock {
    /// In whole microseconds, as the databases keep it.
    pub fn now(&self) -> DateTime<Utc> {
        let ahead = TimeDelta::microseconds(self.ahead.load(Ordering::Relaxed));
        Utc::now().checked_add_signed(ahead).unwrap_or(DateTime::<Utc>::MAX_UTC).trunc_subsecs(6)
    }

    pub fn advance(&self, time: Duration) {
        let microseconds = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        self.ahead.fetch_add(microseconds, Ordering::Relaxed);
    }
}
