//! The tables that are read and written as rows, one a file; `migrations/` says what the columns are for.

pub mod audit_entry;
pub mod counter;
pub mod failed_guess;
pub mod idempotency_key;
pub mod key_check;
pub mod organisation;
pub mod referral_event;
pub mod released_token;
pub mod unit;
pub mod user;
