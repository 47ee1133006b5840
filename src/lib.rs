//! Creates referral customer events in bulk.
pub mod cli;
pub mod contract;
pub mod directory;
pub mod error;
pub mod referral;
pub mod secret;
pub mod server;
pub mod storage;
pub mod transport;
