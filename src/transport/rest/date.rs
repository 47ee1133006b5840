//! The documented form of a date.

use std::sync::LazyLock;

use chrono::{
    DateTime, Utc,
    format::{Item, Parsed, StrftimeItems},
};
use prost_types::Timestamp;

/// Reads `2016-06-22T15:00:00`, with a fraction and an offset where given; without an offset it is UTC.
pub fn parse_date(text: &str) -> Option<DateTime<Utc>> {
    // Read once: a call may have five thousand dates.
    static WITHOUT_OFFSET: LazyLock<Vec<Item>> = LazyLock::new(|| StrftimeItems::new("%Y-%m-%dT%H:%M:%S%.f").collect());
    if !looks_like_a_date(text) {
        return None;
    }
    if let Ok(date) = DateTime::parse_from_rfc3339(text) {
        return Some(date.to_utc());
    }
    let mut parsed = Parsed::new();
    if chrono::format::parse(&mut parsed, text, WITHOUT_OFFSET.iter()).is_ok() {
        return parsed.to_naive_datetime_with_offset(0).ok().map(|date| date.and_utc());
    }
    DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z").ok().map(|date| date.to_utc())
}

/// Whether the text has the form of a date, be there such a date or not.
pub fn looks_like_a_date(text: &str) -> bool {
    let Some((day, time)) = text.split_once('T') else { return false };
    let is_numbers = |part: &str, separator: char| {
        part.split(separator).count() == 3
            && part.split(separator).all(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let clock = time.find(|c: char| !c.is_ascii_digit() && c != ':').map_or(time, |end| &time[..end]);
    is_numbers(day, '-') && is_numbers(clock, ':')
}

pub fn timestamp(date: DateTime<Utc>) -> Timestamp {
    // A leap second has no place in a Timestamp; its nanoseconds say so to those who check.
    let nanos = i32::try_from(date.timestamp_subsec_nanos()).unwrap_or(i32::MAX);
    Timestamp { seconds: date.timestamp(), nanos }
}
