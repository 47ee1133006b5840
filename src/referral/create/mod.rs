//! Creating events in bulk: validate, resolve, decide, store, report.
//!
//! `bulk_create` is the call; `attempt` is one transaction of it, which is tried again where it lost a race
//! (`interrupted`). `decide` asks the database what the rules must know, `row` makes the rows, `report` holds an answer for
//! every event, `call` and `fingerprint` what belongs to a call as a whole.

mod attempt;
mod bulk_create;
mod call;
mod decide;
mod fingerprint;
mod interrupted;
mod report;
mod row;

pub use call::{Answered, Idempotency, Options};
pub use report::{Outcome, Report, Reported};
