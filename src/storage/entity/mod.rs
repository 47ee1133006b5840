//! The tables, one a file; `migrations/` says what the columns are for.

pub mod access_token;
pub mod account_receivable;
pub mod business_unit;
pub mod classification;
pub mod counter;
pub mod device;
pub mod organisation;
pub mod referral_event;
pub mod released_token;
pub mod rewards_participant;
pub mod tap;
pub mod unit;
pub mod user;
