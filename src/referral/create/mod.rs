//! Creating events in bulk: validate, resolve, decide, store, report.
//!
//! `bulk_create` is the call, `groups` the calls that wait, and `carry_out` takes those of one organisation together
//! through their attempts, until each of these `open_calls` has its answer. An `attempt` is one transaction; it is tried
//! again where it lost a race (`interrupted`). `decide` asks the database what the rules must know, `row` makes the rows,
//! `report` holds an answer for every event, `call`, `fingerprint` and `kept_answers` what belongs to a call as a whole.

mod attempt;
mod bulk_create;
mod call;
mod carry_out;
mod decide;
mod fingerprint;
mod groups;
mod interrupted;
mod kept_answers;
mod open_calls;
mod report;
mod row;

pub use call::{Answered, Idempotency, Options};
pub use groups::Groups;
pub use report::{Outcome, Report, Reported};
