//! The database: connecting, transactions, and the queries, each a set at a time.
//!
//! Every finder takes the organisation first. Where the engines differ in what they read, `sql` has the two forms; how
//! rows are loaded (`bulk_load`), how a transaction begins (`transaction`) and whether calls wait for a turn
//! (`counters`) differ by nature.

pub mod access_tokens;
pub mod bulk_load;
pub mod connect;
pub mod counters;
pub mod directory;
pub mod entity;
mod error;
pub mod event_views;
pub mod idempotency;
pub mod parties;
pub mod places;
mod pool;
pub mod referral_events;
mod sql;
mod transaction;
pub mod users;

pub use connect::{Database, PoolOptions};
pub use error::{is_contention, is_unique_violation};
pub use pool::Pool;
pub use sql::OfDirectory;
pub use transaction::Transaction;
