//! Dates in JSON, by serde.

use chrono::{DateTime, SecondsFormat, Utc};
use prost_types::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::json::Text;
use crate::date;

/// As of an attribute of an event; an error where there is no such date.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(Text(text)) = Option::deserialize(deserializer)? else { return Ok(None) };
    date::read(&text).map(|date| Some(timestamp(date))).map_err(D::Error::custom)
}

/// As of an answer: `2016-06-22T15:00:00Z`, with a fraction where there is one.
pub fn serialize<S: Serializer>(date: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    let date = date
        .as_ref()
        .and_then(|date| DateTime::<Utc>::from_timestamp(date.seconds, u32::try_from(date.nanos).unwrap_or_default()));
    date.map(|date| date.to_rfc3339_opts(SecondsFormat::AutoSi, true)).serialize(serializer)
}

pub fn timestamp(date: DateTime<Utc>) -> Timestamp {
    let nanos = i32::try_from(date.timestamp_subsec_nanos()).unwrap_or(i32::MAX);
    Timestamp { seconds: date.timestamp(), nanos }
}
