//! The REST gateway: the documented paths and envelope around the same calls.

mod calls;
mod date;
mod envelope;
mod json;
mod query;
mod routes;
mod whole;

pub use envelope::Answers;
pub use routes::router;
