//! Archives of old events: files that have all that looking back tells of them, before they are removed.
//!
//! `old_events` writes them and removes what is in a file; `format` has how they stand there, `file` makes, packs and
//! reads a file.

mod file;
mod format;
mod old_events;

pub use file::{Archive, NewArchive};
pub use old_events::{OldEvents, Removed, State, moment, remove};
