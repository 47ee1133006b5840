//! Loads events from a file of any size, by the stream of the service.
//!
//! A file goes through these, top to bottom:
//!
//! | module | does |
//! |---|---|
//! | `source` | its bytes, unpacked; notices that it changes |
//! | `reader` | its format, found out by its first bytes, on a thread of its own |
//! | `csv_rows`, `json_rows` | a row at a time, with its line |
//! | `attributes`, `dates`, `mapping` | what its columns are, and a row into an event |
//! | `chunks` | rows on their way, cut by what they are alone |
//! | `run` | sends chunks, and keeps what became of them |
//! | `outcomes` | the files of failed rows and of created events |
//! | `journal` | how far the load came, so that it can go on |
//! | `fault`, `hints` | what was wrong, and what helps |

pub mod attributes;
pub mod chunks;
mod csv_rows;
pub mod dates;
pub mod fault;
pub mod hints;
pub mod journal;
mod json_rows;
pub mod mapping;
pub mod outcomes;
pub mod reader;
pub mod run;
pub mod source;
