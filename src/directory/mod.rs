//! The directory: reference data, loaded from files.
//!
//! A file goes through these, top to bottom:
//!
//! | module | does |
//! |---|---|
//! | `kind` | the eight kinds and the rules of their columns, as tables |
//! | `source` | the file's format, found out from its first bytes; `rows` has its bytes in UTF-8, and its records |
//! | `header`, `csv_rows` | what the columns of CSV are, and its records into rows |
//! | `ndjson` | objects into rows |
//! | `row` | a row's cells, each checked by its column's rule; codes become hashes here |
//! | `batch` | rows on their way to the database; what names the same as an earlier row is noticed (`repeats`) |
//! | `plan` | what is to be inserted and updated and what is refused, decided without the database (`taps`) |
//! | `store` | look-ups, plan and writes of a batch in one transaction, and the transaction again where it lost a race |
//! | `import` | all of it, batch after batch, until the end or until it is told to stop |
//! | `rejected` | the rows that were refused (`rejection`: why), as a file that can be mended and imported |
//!
//! `service` answers the rows to callers, changes their states, and imports rows that come by a stream.
//!
//! A row that is refused never refuses another; only a file whose header is wrong, or that cannot be read on, does.

mod batch;
mod columns;
mod csv_rows;
mod header;
mod import;
mod kind;
mod ndjson;
mod plan;
mod reading;
mod rejected;
mod rejection;
mod repeats;
mod row;
mod service;
mod source;
mod store;
mod summary;
mod taps;

pub use crate::rows::encoding::Encoding;
pub use crate::storage::directory_rows::{
    AccessToken, Account, BusinessUnit, Classification, Device, DirectoryRow, Participant, Tap, Unit,
};
pub use columns::{describe, template};
pub use import::{End, ImportOptions, Progress, import, import_with};
pub use kind::{Content, DirectoryKind, Need};
pub use service::{
    AccessTokenName, Directory, DirectoryImport, ListedRows, NewTokenState, RowFilterRequest, RowListRequest, Values,
};
pub use store::Target;
pub use summary::{ImportSummary, NAMED, Remarks};
