//! The description of the API, made of the contract and its comments, so that it cannot drift from either: what is added to
//! the contract appears by itself.
//!
//! `openapi` describes REST, by the `operations` that the contract has a path for, the `schemas` of their messages and the
//! `refusals` of each. `reference` tells of gRPC, `requests` is a collection to send. `examples` are calls, in an order
//! in which they can be made.

mod comments;
mod examples;
mod openapi;
mod operations;
mod reference;
mod refusals;
mod requests;
mod schemas;

pub use examples::{Example, examples};
pub use openapi::openapi;
pub use reference::reference;
pub use requests::requests;

/// The package of the contract.
const PACKAGE: &str = "referral.v1";
/// The attribute that has the caller's token, which a header has too.
const TOKEN: &str = "token";
