//! The two transports. Both convert what they read and call the same [`api::Api`]; neither dials the other.

pub mod admission;
pub mod api;
mod body;
pub mod budget;
pub mod codec;
mod convert;
pub mod customer_event;
pub mod deprecation;
mod directory;
mod directory_changes;
mod directory_rows;
pub mod fields;
pub mod grpc;
mod grpc_directory;
mod head;
mod import;
mod load;
mod look_back;
mod packed;
pub mod protocol;
pub mod raw;
pub mod refusal;
pub mod request;
pub mod rest;
pub mod status;
mod unprocessed;
