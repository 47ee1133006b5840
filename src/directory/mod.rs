//! The directory: reference data, loaded from files.
//!
//! A file goes through these, top to bottom:
//!
//! | module | does |
//! |---|---|
//! | `kind` | the eight kinds and the rules of their columns, as tables |
//! | `source` | the file's format, found out from its first byte; batches of rows out of its bytes |
//! | `csv`, `ndjson` | one row at a time, with its line number (`position`) |
//! | `row` | a row's cells, each checked by its column's rule; codes become hashes here |
//! | `plan` | what is to be inserted and updated and what is refused, decided without the database |
//! | `import` | look-ups, plan and writes of a batch in one transaction, and the transaction again where it lost a race |
//!
//! A row that is refused never refuses another; only a file whose header is wrong, or that cannot be read on, does.

mod csv;
mod import;
mod kind;
mod ndjson;
mod plan;
mod position;
mod row;
mod source;

pub use import::{ImportSummary, Progress, REJECTIONS_KEPT, import};
pub use kind::{Column, Content, DirectoryKind, Need};
pub use row::Rejection;
