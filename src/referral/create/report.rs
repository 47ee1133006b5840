//! One answer for every event of a call, by position.

use crate::{
    error::{Error, Result, ViolationKind},
    metrics::EventOutcome,
    referral::{
        event::EventIdentity,
        resolve::ResolvedEvent,
        rules::{
            judge::{Cause, Verdict},
            validate::Checked,
        },
        violation::Violation,
    },
};

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Processed {
        /// `None` for an event that a rehearsal would create.
        event: Option<EventIdentity>,
        /// It was there before, or stands earlier in the call.
        replayed: bool,
    },
    Unprocessed {
        /// What is wrong with it, by precedence; never empty.
        violations: Vec<Violation>,
        /// The event that stands in its way.
        cause: Option<EventIdentity>,
    },
}

impl Outcome {
    /// As what it is counted.
    pub fn counted(&self) -> EventOutcome {
        match self {
            Self::Processed { replayed: true, .. } => EventOutcome::Replayed,
            Self::Processed { event: Some(_), .. } => EventOutcome::Created,
            Self::Processed { event: None, .. } => EventOutcome::Rehearsed,
            Self::Unprocessed { violations, .. } => {
                let first = violations.first().map_or(ViolationKind::MalformedEvent, |first| first.kind);
                EventOutcome::Unprocessed(first.code())
            }
        }
    }
}

/// What the caller named an event, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    pub request_unique_identifier: Option<String>,
    pub outcome: Outcome,
}

/// The answer to a call, in request order.
pub type Report = Vec<Reported>;

/// The events that calls create, in the order of their numbers; none where they are only rehearsed.
#[derive(Default)]
pub struct NewEvents {
    identities: Vec<EventIdentity>,
    /// How many of them are reported.
    reported: usize,
}

impl NewEvents {
    pub fn of(identities: impl Iterator<Item = EventIdentity>) -> Self {
        Self { identities: identities.collect(), reported: 0 }
    }

    fn next(&mut self) -> Option<EventIdentity> {
        self.reported += 1;
        self.identities.get(self.reported - 1).copied()
    }

    fn identity(&self, cause: Cause) -> Option<EventIdentity> {
        match cause {
            Cause::Stored(event) => Some(event),
            Cause::New(n) => self.identities.get(n).copied(),
        }
    }
}

/// A slot for the outcome of each event, each to be filled exactly once.
#[derive(Clone, Default)]
pub struct Slots(Vec<Option<Outcome>>);

impl Slots {
    pub fn new(events: usize) -> Self {
        Self(vec![None; events])
    }

    fn processed(&mut self, position: usize, event: Option<EventIdentity>, replayed: bool) {
        self.fill(position, Outcome::Processed { event, replayed });
    }

    pub fn unprocessed(&mut self, position: usize, mut violations: Vec<Violation>, cause: Option<EventIdentity>) {
        violations.sort_by_key(|violation| violation.kind);
        self.fill(position, Outcome::Unprocessed { violations, cause });
    }

    /// What became of events, by the verdicts on them.
    pub fn report(&mut self, events: &[ResolvedEvent<'_>], verdicts: Vec<Verdict>, new: &mut NewEvents) {
        for (ResolvedEvent { position, .. }, verdict) in events.iter().zip(verdicts) {
            match verdict {
                Verdict::Create => self.processed(*position, new.next(), false),
                Verdict::Replay(cause) => self.processed(*position, new.identity(cause), true),
                Verdict::Refuse { violations, cause } => {
                    self.unprocessed(*position, violations, cause.and_then(|cause| new.identity(cause)));
                }
                Verdict::Abandon => self.unprocessed(*position, vec![Violation::not_attempted()], None),
            }
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
    pub fn into_report(self, events: &[Checked]) -> Result<Report> {
        let reported = events.iter().zip(self.0).map(|(event, outcome)| {
            let request_unique_identifier = event.request_unique_identifier.clone();
            outcome.map(|outcome| Reported { request_unique_identifier, outcome })
        });
        let report: Option<Report> = reported.collect();
        report.ok_or_else(|| Error::internal("an event of the call has no answer"))
    }
}
