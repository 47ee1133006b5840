//! What is known of one call on a connection.

use std::time::Instant;

use super::pace::Pace;

/// How long a call goes on for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// Until it is answered.
    Answered,
    /// For as many messages as the caller sends, with pauses in between: how long one may take is the affair of its reader.
    Messages,
    /// For as long as the caller likes, and so it keeps nothing from ending: to watch the health, and to ask for the
    /// contract.
    OpenEnded,
}

impl Lasting {
    pub fn of(path: &str) -> Self {
        match path {
            "/referral.v1.ReferralEventService/LoadReferralEvents"
            | "/referral.v1.DirectoryService/ImportDirectory" => Self::Messages,
            path if path.starts_with("/grpc.") => Self::OpenEnded,
            _ => Self::Answered,
        }
    }
}

/// What is known of a call under way: it ends when its answer was taken, or dropped.
pub struct Call {
    began: Instant,
    pub lasting: Lasting,
    pub body: Pace,
    pub answer: Pace,
    /// The bytes of the body that came.
    pub received: usize,
    /// The bytes of the answer that the peer has not taken.
    pub untaken: usize,
}

impl Call {
    pub fn new(lasting: Lasting, now: Instant) -> Self {
        Self { began: now, lasting, body: Pace::default(), answer: Pace::default(), received: 0, untaken: 0 }
    }

    /// Since when it has waited for its peer; none where it is at work.
    pub fn quiet_since(&self) -> Option<Instant> {
        let since = self.body.waiting_since().or(self.answer.waiting_since());
        if self.is_open_ended() { since.or(Some(self.began)) } else { since }
    }

    pub fn is_open_ended(&self) -> bool {
        self.lasting == Lasting::OpenEnded
    }
}
