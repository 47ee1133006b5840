//! Events that were not created: `journal` keeps them for some days beside the calls, `list` answers them.

mod journal;
mod list;

pub use journal::{Journal, Refused};
pub use list::UnprocessedListRequest;

pub use crate::storage::unprocessed_events::UnprocessedEvent;
