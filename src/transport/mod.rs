//! The two transports. Both convert what they read and call the same [`api::Api`]; neither dials the other.

pub mod api;
pub mod codec;
mod convert;
pub mod deprecation;
mod fields;
pub mod grpc;
pub mod request;
pub mod rest;
pub mod status;
