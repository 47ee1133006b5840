//! The queue of the logins. They cost much and anybody may send them, so few wait, no place of the calls is theirs for
//! long, and one source cannot take all of the queue.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::password;
use crate::error::{Error, ErrorKind, Result};

/// How many logins may wait for one that is under way. Each takes some 20 ms.
const WAITING: usize = 32;
/// How many of them may be from one address.
const WAITING_FROM_ONE: usize = WAITING / 2;
/// How long a login waits for its turn at most, where the machine is so busy that hashes take long.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// What is said to who finds the queue full: it is empty in less.
const COME_BACK_AFTER: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub struct Queue {
    turns: Arc<Semaphore>,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    all: usize,
    by_peer: HashMap<Option<IpAddr>, usize>,
}

/// A login's turn; as many have one at once as hashes may be computed.
pub struct Turn(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit);

impl Queue {
    pub fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(*password::HASHES)), waiting: Arc::default() }
    }

    /// Waits for a turn, first come, first served; refuses when too many wait or it takes too long. A caller that stops
    /// waiting leaves no trace.
    pub async fn turn(&self, peer: Option<IpAddr>) -> Result<Turn> {
        if let Ok(turn) = self.turns.clone().try_acquire_owned() {
            return Ok(Turn(turn));
        }
        let full = || {
            let message = "Too many logins wait already; try again.";
            Error::new(ErrorKind::TooManyRequests, message).retry_after(COME_BACK_AFTER)
        };
        let _place = Place::take(&self.waiting, peer).ok_or_else(full)?;
        let turn = tokio::time::timeout(LONGEST_WAIT, self.turns.clone().acquire_owned()).await.map_err(|_| full())?;
        Ok(Turn(turn.map_err(Error::internal)?))
    }
}

/// A place in the queue.
struct Place<'a> {
    waiting: &'a Mutex<Waiting>,
    peer: Option<IpAddr>,
}

impl<'a> Place<'a> {
    fn take(waiting: &'a Mutex<Waiting>, peer: Option<IpAddr>) -> Option<Self> {
        let mut places = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = places.by_peer.get(&peer).copied().unwrap_or_default();
        if places.all >= WAITING || of_peer >= WAITING_FROM_ONE {
            return None;
        }
        places.all += 1;
        places.by_peer.insert(peer, of_peer + 1);
        Some(Self { waiting, peer })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut places = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        places.all = places.all.saturating_sub(1);
        if let Some(of_peer) = places.by_peer.get_mut(&self.peer) {
            *of_peer = of_peer.saturating_sub(1);
            if *of_peer == 0 {
                places.by_peer.remove(&self.peer);
            }
        }
    }
}
