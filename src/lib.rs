//! Creates referral customer events in bulk: who referred whom, where and when, checked against the rules and stored
//! for good.
//!
//! The modules, from the top to the bottom; each uses only those below it (`docs/architecture.md` walks a call through):
//!
//! - [`cli`]: the commands.
//! - [`server`]: puts a server together and runs it. [`config`]: its settings.
//! - [`description`]: of the API, for people and programs.
//! - [`tls`]: the certificate that is served, and whose callers' are taken.
//! - [`archive`]: files of old events. [`load`]: files of events to create.
//! - [`client`]: a client of the service.
//! - [`transport`]: gRPC and REST, two ways to the same calls. [`contract`]: the messages.
//! - [`auth`]: who calls, and what they may do.
//! - [`referral`]: events and their rules. [`directory`]: the reference data that events name.
//! - [`guessing`]: counts wrong passwords and codes, and makes those wait who give many.
//! - [`storage`]: the database.
//! - [`clock`], [`date`], [`error`], [`id`], [`logging`], [`metrics`], [`retry`], [`rows`],
//!   [`secret`], [`text`], [`together`]: what all of them use.

pub mod archive;
pub mod auth;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod contract;
pub mod date;
pub mod description;
pub mod directory;
pub mod error;
pub mod guessing;
pub mod id;
pub mod load;
pub mod logging;
pub mod metrics;
pub mod referral;
pub mod retry;
pub mod rows;
pub mod secret;
pub mod server;
pub mod storage;
pub mod text;
pub mod tls;
pub mod together;
pub mod transport;
