//! One answer for every event of a call, by position.

use uuid::Uuid;

use super::violation::Violation;
use crate::error::{Error, Result};

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Processed {
        /// `None` for an event that a rehearsal would create.
        event: Option<Created>,
        /// It was there before, or stands earlier in the call.
        replayed: bool,
    },
    Unprocessed {
        /// What is wrong with it, by precedence; never empty.
        violations: Vec<Violation>,
        /// The event that stands in its way.
        cause: Option<Created>,
    },
}

/// The event that the answer names: made by this call, or by the earlier one that it repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    pub id: Uuid,
    pub number: i64,
}

/// The answer to a call: what the caller named each event, and what became of it, in request order.
pub type Report = Vec<(Option<String>, Outcome)>;

/// A slot for the outcome of each event, each to be filled exactly once.
pub struct Slots(Vec<Option<Outcome>>);

impl Slots {
    pub fn new(events: usize) -> Self {
        Self(vec![None; events])
    }

    pub fn processed(&mut self, position: usize, event: Option<Created>, replayed: bool) {
        self.fill(position, Outcome::Processed { event, replayed });
    }

    pub fn unprocessed(&mut self, position: usize, mut violations: Vec<Violation>, cause: Option<Created>) {
        violations.sort_by_key(|violation| violation.kind);
        self.fill(position, Outcome::Unprocessed { violations, cause });
    }

    /// The event at a position, once it is there.
    pub fn created(&self, position: usize) -> Option<Created> {
        match self.0.get(position) {
            Some(Some(Outcome::Processed { event, .. })) => *event,
            _ => None,
        }
    }

    /// Whether an event has failed so far.
    pub fn any_failed(&self) -> bool {
        self.0.iter().flatten().any(|outcome| matches!(outcome, Outcome::Unprocessed { .. }))
    }

    fn fill(&mut self, position: usize, outcome: Outcome) {
        if let Some(slot) = self.0.get_mut(position) {
            debug_assert!(slot.is_none(), "event {position} is answered twice");
            *slot = Some(outcome);
        }
    }

    /// The report; an event without an answer is a fault of ours that must not pass in silence.
    pub fn into_report(self, identifiers: &[Option<String>]) -> Result<Report> {
        let outcomes: Option<Vec<Outcome>> = self.0.into_iter().collect();
        let outcomes = outcomes.ok_or_else(|| Error::internal("an event of the call has no answer"))?;
        Ok(identifiers.iter().cloned().zip(outcomes).collect())
    }
}
