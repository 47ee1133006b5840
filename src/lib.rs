//! Creates referral customer events in bulk.
pub mod cli;
pub mod contract;
pub mod directory;
pub mod error;
pub mod secret;
pub mod storage;
mod transport;
