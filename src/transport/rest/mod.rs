//! The REST gateway: the documented paths and envelope around the same calls.

mod calls;
mod directory;
mod envelope;
mod gateway;
mod json;
mod parts;
mod query;
mod routes;

pub use envelope::Responder;
pub use routes::{PREFIX, ROUTES, plain_path, router, with_plain_path};
