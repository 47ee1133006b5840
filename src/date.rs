//! The documented form of a date.

use std::sync::LazyLock;

use chrono::{
    DateTime, Utc,
    format::{Item, Parsed, StrftimeItems, parse},
};

/// Reads `2016-06-22T15:00:00`, with a fraction and an offset or `Z` where given; without an offset it is UTC. It is
/// chrono that reads, and takes more than that: who calls looks at the form first.
pub fn read(text: &str) -> Option<DateTime<Utc>> {
    // Read once: a call may have five thousand dates.
    static WITHOUT_OFFSET: LazyLock<Vec<Item>> = LazyLock::new(|| StrftimeItems::new("%Y-%m-%dT%H:%M:%S%.f").collect());
    if let Ok(date) = DateTime::parse_from_rfc3339(text) {
        return Some(date.to_utc());
    }
    let mut parsed = Parsed::new();
    parse(&mut parsed, text, WITHOUT_OFFSET.iter()).ok()?;
    Some(parsed.to_naive_datetime_with_offset(0).ok()?.and_utc())
}
