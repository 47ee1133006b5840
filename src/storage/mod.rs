//! The database: connecting, transactions, and the queries, each a set at a time.
//!
//! A query of an organisation's rows takes the organisation right after the connection. One row is read and written as
//! its `entity`; sets are looked up by statements that stand whole where they are asked, for each engine where the two
//! differ (`sql`). How rows are loaded (`bulk_load`), how a transaction begins (`settings`) and whether calls wait for a
//! turn (`counters`) differ by nature.
//!
//! No conversation with a database is dropped half-way. A call's transaction (`caller`) and every statement that stands
//! alone (`pool`) run in tasks that live on where their caller leaves, and a connection whose conversation did not end
//! cleanly is closed (`session`).

pub mod access_tokens;
pub mod backup;
pub mod bulk_load;
mod caller;
pub mod calls;
mod checkup;
mod citus;
mod condition;
mod connect;
pub mod counters;
pub mod directory;
pub mod directory_entries;
pub mod directory_names;
pub mod directory_rows;
pub mod directory_states;
pub mod entity;
mod error;
mod event_page_statements;
pub mod event_pages;
pub mod failed_guesses;
mod failures;
mod fault;
pub mod idempotency;
pub mod key_checks;
mod literals;
mod migrate;
pub mod number_ranges;
mod opening;
pub mod participants;
pub mod parties;
pub mod party_states;
pub mod people;
mod pool;
mod probe;
pub mod referral_events;
pub mod referral_tree;
pub mod schema;
mod session;
mod settings;
pub mod shards;
mod sql;
mod transaction;
pub mod unprocessed_events;
mod url;
pub mod users;

pub use caller::{Callers, to_its_end};
pub use citus::{Cluster, Said, Worker};
pub use connect::{Database, PoolOptions, PoolUse};
pub use error::{is_contention, is_unclear, is_unique_violation};
pub use fault::Fault;
pub use sql::Versioned;
pub use transaction::{Transaction, Uncommitted};
pub use url::{sqlite_file, without_password};
