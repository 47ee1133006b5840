//! Files of rows, read a row at a time whatever their length, and rows written as such files have them.
//!
//! `encoding` has a file's bytes in UTF-8; `delimiter` finds out what separates the cells of CSV, whose records `csv` reads;
//! `ndjson` reads lines and their objects; `refused` is the file of the rows that were refused.

pub mod csv;
pub mod delimiter;
pub mod encoding;
pub mod ndjson;
pub mod refused;

/// The most bytes of one row. A row with every column full is far below; a CSV file with an open quote is not.
pub const MAXIMUM_ROW_BYTES: usize = 1 << 20;

/// What a file of refused rows has for each of them beside the row itself, and its readers pass over. They come first, so
/// that they are in place beside a row of any number of cells.
pub const ERROR_COLUMNS: [&str; 2] = ["error_code", "error_description"];
