//! What belongs to a call as a whole: what its caller asks for beside the events, and how it is answered.

use chrono::{DateTime, Utc};

use super::report::{Outcome, Report};
use crate::referral::{codes::Sender, rules::validate::Checked};

/// What a caller may ask of a call beside its events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Says what the call would do, and does nothing.
    pub validate_only: bool,
    /// Creates all of the events, or none.
    pub all_or_nothing: bool,
    /// It is of one event, which its caller gives no name.
    pub is_of_one: bool,
}

/// A call under way.
pub struct Call {
    pub sender: Sender,
    pub events: Vec<Checked>,
    pub now: DateTime<Utc>,
    pub options: Options,
    /// With the fingerprints of the call: by the key that is kept, and by the other where there are two.
    pub idempotency: Option<(Idempotency, Vec<Vec<u8>>)>,
}

/// Makes of a call's report the answer to keep for its repeats; `None` where a repeat is a new call.
pub type EncodeAnswer = Box<dyn Fn(&Report) -> Option<Vec<u8>> + Send + Sync>;

/// The idempotency key of a call.
pub struct Idempotency {
    pub key: String,
    /// The method called: each has keys of its own.
    pub method: &'static str,
    pub encode: EncodeAnswer,
}

/// How a call was answered.
pub enum Answered {
    Now(Report),
    /// It repeats a call, whose answer was kept.
    Before(Vec<u8>),
}

impl Answered {
    /// How many events were created.
    pub(super) fn count_created(&self) -> usize {
        let Self::Now(report) = self else { return 0 };
        let is_new = |outcome: &Outcome| matches!(outcome, Outcome::Processed { event: Some(_), replayed: false });
        report.iter().filter(|event| is_new(&event.outcome)).count()
    }
}
