//! The documented form of a date, and how serde reads and writes it.

use std::sync::LazyLock;

use chrono::{
    DateTime, SecondsFormat, Utc,
    format::{Item, Parsed, StrftimeItems, parse},
};
use prost_types::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::json::Text;

/// As of an attribute of an event; an error where there is no such date.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(Text(text)) = Option::deserialize(deserializer)? else { return Ok(None) };
    parse_date(&text).map(|date| Some(timestamp(date))).ok_or_else(|| D::Error::custom("no date"))
}

/// As of an answer: `2016-06-22T15:00:00Z`, with a fraction where there is one.
pub fn serialize<S: Serializer>(date: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    let date = date
        .as_ref()
        .and_then(|date| DateTime::<Utc>::from_timestamp(date.seconds, u32::try_from(date.nanos).unwrap_or_default()));
    date.map(|date| date.to_rfc3339_opts(SecondsFormat::AutoSi, true)).serialize(serializer)
}

/// Reads `2016-06-22T15:00:00`, with a fraction and an offset where given; without an offset it is UTC.
pub fn parse_date(text: &str) -> Option<DateTime<Utc>> {
    if !looks_like_a_date(text) {
        return None;
    }
    let without_colon = || DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z").ok();
    read(text).or_else(|| without_colon().map(|date| date.to_utc()))
}

/// It is chrono that reads, and takes more than the documented form.
fn read(text: &str) -> Option<DateTime<Utc>> {
    // Read once: a call may have five thousand dates.
    static WITHOUT_OFFSET: LazyLock<Vec<Item>> = LazyLock::new(|| StrftimeItems::new("%Y-%m-%dT%H:%M:%S%.f").collect());
    if let Ok(date) = DateTime::parse_from_rfc3339(text) {
        return Some(date.to_utc());
    }
    let mut parsed = Parsed::new();
    parse(&mut parsed, text, WITHOUT_OFFSET.iter()).ok()?;
    Some(parsed.to_naive_datetime_with_offset(0).ok()?.and_utc())
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
