//! NDJSON, a line at a time.

use std::{
    borrow::Cow,
    fmt,
    io::{self, BufRead},
    marker::PhantomData,
};

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::{json, value::RawValue};

use super::{ERROR_COLUMNS, MAXIMUM_ROW_BYTES};

pub struct Lines<R> {
    source: R,
    /// The number of the next line.
    line: u64,
    /// The line that was read last, or more than a row may have of one that is too long.
    bytes: Vec<u8>,
}

pub enum Line<'a> {
    Whole(u64, &'a [u8]),
    TooLong(u64),
}

impl<R: BufRead> Lines<R> {
    /// The lines of a source whose first byte is on `line`.
    pub fn new(source: R, line: u64) -> Self {
        Self { source, line, bytes: Vec::new() }
    }

    /// The next line that is not blank.
    pub fn read_next(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            let number = self.line;
            self.bytes.clear();
            let is_last = self.read_line()?;
            if self.bytes.len() > MAXIMUM_ROW_BYTES {
                return Ok(Some(Line::TooLong(number)));
            }
            if !self.bytes.trim_ascii().is_empty() {
                return Ok(Some(Line::Whole(number, &self.bytes)));
            }
            if is_last {
                return Ok(None);
            }
        }
    }

    /// Reads through the next line feed, keeping hardly more than a row may have; answers whether the source ended.
    fn read_line(&mut self) -> io::Result<bool> {
        loop {
            let input = self.source.fill_buf()?;
            let end = input.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
            let part = &input[..end.unwrap_or(input.len())];
            if self.bytes.len() <= MAXIMUM_ROW_BYTES {
                self.bytes.extend_from_slice(part);
            }
            self.line += u64::from(end.is_some());
            let (length, is_last) = (part.len(), input.is_empty());
            self.source.consume(length);
            if end.is_some() || is_last {
                return Ok(is_last);
            }
        }
    }
}

/// Appends a line for a refused row: the members of `error`, and the row's own; those of a line that is no object stay
/// as they are, to be mended.
pub fn write_refused<'a>(text: &mut Vec<u8>, error: impl Iterator<Item = (&'static str, &'a str)>, row: &[u8]) {
    let row = row.trim_ascii();
    let mut members: Vec<Vec<u8>> =
        error.map(|(name, value)| format!("{}:{}", json!(name), json!(value)).into()).collect();
    let object: Option<Object<&RawValue>> = serde_json::from_slice(row).ok();
    let end: &[u8] = if object.is_some() || row.is_empty() { b"}\n" } else { b"\n" };
    match object {
        Some(Object(own)) => members.extend(
            own.iter()
                .filter(|(name, _)| !ERROR_COLUMNS.contains(&name.as_ref()))
                .map(|(name, value)| format!("{}:{}", json!(name), value.get()).into()),
        ),
        None if row.is_empty() => {}
        None => members.push(row.strip_prefix(b"{").unwrap_or(row).to_vec()),
    }
    text.push(b'{');
    text.extend_from_slice(&members.join(b",".as_slice()));
    text.extend_from_slice(end);
}

/// An object with its names in order and any name given twice still twice, which a map would hide.
pub struct Object<'a, V>(pub Vec<(Cow<'a, str>, V)>);

/// A text of JSON; not copied where it has no escape.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Object<'de, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for ObjectVisitor<V> {
    type Value = Object<'de, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((Text(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(Object(members))
    }
}
