//! The tables of the directory, as tests read them: the program reads and writes them a set at a time.

pub mod access_token;
pub mod account_receivable;
pub mod business_unit;
pub mod classification;
pub mod device;
pub mod rewards_participant;
pub mod tap;
