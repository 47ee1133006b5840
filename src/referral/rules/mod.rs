//! What an event must be like, as far as it can be said without asking the database: all of it is pure.
//!
//! `validate` says whether an event is well-formed in a `release` of the API, which has its `attributes`; `performed_by`
//! completes its places, and `judge` says what becomes of it among the events that there are, of which it may repeat one
//! (`content`).

pub mod attributes;
pub mod content;
pub mod judge;
pub mod performed_by;
pub mod release;
pub mod validate;
