//! What is counted of calls, in the form of Prometheus. Each server has a registry of its own; nothing is global.
//!
//! What is noted of a call while it is carried out is its [`CallRecord`], from which its line of the log is made as well.

mod record;

use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

pub use record::{CallRecord, Facts, Step, StepTaken, Timer};

/// Bounds of histograms of seconds: a call takes a millisecond to half a minute.
pub const SECONDS: [f64; 10] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];
/// Bounds of the histogram of the events of a bulk call.
const EVENTS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

pub fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// What became of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    Succeeded,
    WrongCredentials,
    /// Wrong credentials were given before, so nothing was looked at.
    HasToWait,
    /// Too many others wait already.
    QueueFull,
    /// The service failed.
    Failed,
}

impl Login {
    const ALL: [Self; 5] = [Self::Succeeded, Self::WrongCredentials, Self::HasToWait, Self::QueueFull, Self::Failed];

    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::WrongCredentials => "wrong_credentials",
            Self::HasToWait => "has_to_wait",
            Self::QueueFull => "queue_full",
            Self::Failed => "failed",
        }
    }
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventOutcome {
    Created,
    Replayed,
    /// It would be created.
    Rehearsed,
    /// With its error code.
    Unprocessed(&'static str),
}

impl EventOutcome {
    fn labels(self) -> Labels<2> {
        let (outcome, code) = match self {
            Self::Created => ("created", "OK"),
            Self::Replayed => ("replayed", "OK"),
            Self::Rehearsed => ("rehearsed", "OK"),
            Self::Unprocessed(code) => ("unprocessed", code),
        };
        [("outcome", outcome), ("code", code)]
    }
}

type Labels<const N: usize> = [(&'static str, &'static str); N];
type Totals<const N: usize> = Family<Labels<N>, Counter>;

/// What calls count while they are carried out. All their series are there from the beginning, at 0.
#[derive(Clone, Debug)]
pub struct CallMetrics {
    events: Totals<2>,
    batches: Histogram,
    steps: [Histogram; Step::ALL.len()],
    logins: Totals<1>,
    deprecated: Totals<1>,
}

impl CallMetrics {
    /// `codes` are those of events that are not processed, `deprecated` the names of the attributes that are deprecated.
    pub fn register(
        registry: &mut Registry,
        codes: impl IntoIterator<Item = &'static str>,
        deprecated: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        let metrics = Self {
            events: Family::default(),
            batches: Histogram::new(EVENTS),
            steps: [(); Step::ALL.len()].map(|()| seconds()),
            logins: Family::default(),
            deprecated: Family::default(),
        };
        let codes = codes.into_iter().map(EventOutcome::Unprocessed);
        for outcome in [EventOutcome::Created, EventOutcome::Replayed, EventOutcome::Rehearsed].into_iter().chain(codes)
        {
            _ = metrics.events.get_or_create(&outcome.labels());
        }
        for login in Login::ALL {
            _ = metrics.logins.get_or_create(&[("outcome", login.name())]);
        }
        for name in deprecated {
            _ = metrics.deprecated.get_or_create(&[("attribute", name)]);
        }
        let steps = Family::<Labels<1>, Histogram, fn() -> Histogram>::new_with_constructor(seconds);
        let metrics =
            Self { steps: Step::ALL.map(|step| steps.get_or_create_owned(&[("step", step.name())])), ..metrics };
        let help = "Events of calls that create, by what became of each";
        registry.register("referral_events_events", help, metrics.events.clone());
        let help = "Events that a bulk call has";
        registry.register("referral_events_batch_events", help, metrics.batches.clone());
        registry.register("referral_events_call_step_seconds", "Time that a step of a call takes", steps);
        registry.register("referral_events_logins", "Logins, by what became of each", metrics.logins.clone());
        let help = "Events that use a deprecated attribute";
        registry.register("referral_events_deprecated_attributes", help, metrics.deprecated.clone());
        metrics
    }
}
