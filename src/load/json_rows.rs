//! Objects of NDJSON, and of the documented body of the bulk call, into events.
//!
//! The body is taken apart as it is read: serde hands over the elements of the array one by one, and one is kept at a time.

use std::{
    cell::Cell,
    fmt,
    io::{self, BufRead, Read},
    ops::ControlFlow,
    rc::Rc,
};

use prost::bytes::Bytes;
use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    attributes::Values,
    chunks::{Chunks, Flow},
    csv_rows::unreadable,
    fault::{Code, Fault, Trouble},
    mapping::Mapping,
};
use crate::rows::{
    ERROR_COLUMNS, MAXIMUM_ROW_BYTES,
    csv::count_line_ends,
    ndjson::{Line, Lines, Object, Text},
    refused::Format,
};

/// The attribute of the body that has the events.
pub const EVENTS: &str = "referral_customer_events_set";

pub fn read_lines(source: impl BufRead, chunks: &mut Chunks<'_>) -> Result<(), Trouble> {
    if begin(chunks)?.is_break() {
        return Ok(());
    }
    let mut lines = Lines::new(source, 1);
    while let Some(line) = lines.read_next().map_err(unreadable)? {
        let flow = match line {
            Line::Whole(line, bytes) => add(chunks, line, bytes),
            Line::TooLong(line) => {
                let fault = Fault::new(Code::RowTooLong, format!("longer than {MAXIMUM_ROW_BYTES} bytes"));
                chunks.add(line, b"", |_, _| Err(fault), Box::default)
            }
        };
        if flow?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Reads a body, or an array of events.
pub fn read_body(source: impl BufRead, chunks: &mut Chunks<'_>) -> Result<(), Trouble> {
    if begin(chunks)?.is_break() {
        return Ok(());
    }
    read_through(source, Some(chunks))
}

/// Refuses a body that asks, wherever in it, for what no load does. What else is wrong with it is told once it is read.
pub fn check_flags(source: impl BufRead) -> Result<(), Trouble> {
    match read_through(source, None) {
        Err(Trouble::Unusable(sentence)) => Err(Trouble::Unusable(sentence)),
        _ => Ok(()),
    }
}

/// Reads a body to its end; its events are passed over where no chunks take them.
fn read_through(source: impl BufRead, chunks: Option<&mut Chunks<'_>>) -> Result<(), Trouble> {
    let place = Place::default();
    let mut deserializer = serde_json::Deserializer::from_reader(Watched { source, place: place.clone() });
    let mut body = Body { chunks, place: &place, end: None, has_events: false };
    let read = deserializer.deserialize_any(&mut body).and_then(|()| deserializer.end());
    match (body.end, read) {
        (Some(end), _) => end,
        (None, Err(error)) => Err(unreadable(error.into())),
        (None, Ok(())) if body.has_events => Ok(()),
        (None, Ok(())) => Err(Trouble::unusable(format!("the object has no {EVENTS}"))),
    }
}

/// The attributes of a body that say what is done with its events.
const FLAGS: [&str; 2] = ["validate_only", "all_or_nothing"];

fn flag(name: &str) -> Option<&'static str> {
    FLAGS.into_iter().find(|flag| *flag == name)
}

fn not_from_a_file(flag: &str) -> String {
    let instead = if flag == FLAGS[0] { ": leave it out, and say --dry-run" } else { "" };
    format!("the file asks for {flag}, which no load does from a file{instead}")
}

fn begin(chunks: &mut Chunks<'_>) -> Flow {
    chunks.mapping.check_objects().map_err(Trouble::unusable)?;
    Ok(chunks.begin(b"", Format::Ndjson, Vec::new()))
}

fn add(chunks: &mut Chunks<'_>, line: u64, raw: &[u8]) -> Flow {
    chunks.add(line, raw, |mapping, number| event(mapping, raw, number), || in_one_line(raw))
}

/// An object of a body may have several lines, all of them between its tokens.
fn in_one_line(raw: &[u8]) -> Box<[u8]> {
    raw.trim_ascii().iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect()
}

fn event(mapping: &Mapping, raw: &[u8], number: u64) -> Result<Bytes, Fault> {
    let text = std::str::from_utf8(raw).map_err(|_| Fault::new(Code::WrongEncoding, "not UTF-8"))?;
    let mut event = mapping.begin();
    give_object(mapping, &mut event, "", text.trim_end())?;
    Ok(mapping.finish(event, number))
}

/// Gives an event what an object holds, whose name and a dot are `prefix`.
fn give_object(mapping: &Mapping, event: &mut Values, prefix: &str, text: &str) -> Result<(), Fault> {
    // The parser's own message could quote the line, and with it a secret.
    let object: Object<&RawValue> = serde_json::from_str(text).map_err(|error| {
        let place = if error.column() == 0 { String::new() } else { format!(" (column {})", error.column()) };
        Fault::new(Code::NotAnObject, format!("{prefix}not a JSON object{place}"))
    })?;
    for (name, value) in object.0 {
        if prefix.is_empty() && ERROR_COLUMNS.contains(&name.as_ref()) {
            continue;
        }
        let path = if prefix.is_empty() { name } else { [prefix, &name].concat().into() };
        let attributes = mapping.attributes_of(&path);
        if attributes.is_some_and(<[_]>::is_empty) {
            continue;
        }
        let mut give = |text: &str| mapping.give_named(event, (&path, attributes), text);
        let wrong = || Fault::new(Code::WrongType, format!("{path}: of the wrong type"));
        let value = value.get();
        match value.as_bytes().first() {
            Some(b'{') => give_object(mapping, event, &[&path, "."].concat(), value)?,
            Some(b'[') => return Err(wrong()),
            Some(b'n') => {}
            Some(b'"') => {
                let Text(text) = serde_json::from_str(value).map_err(|_| wrong())?;
                if !text.is_empty() {
                    give(&text)?;
                }
            }
            // Numbers and flags are taken for texts too, as programs that write JSON make them of codes.
            _ => give(value)?,
        }
    }
    Ok(())
}

/// How far a body was read.
#[derive(Clone, Default)]
struct Place {
    lines: Rc<Cell<u64>>,
    /// Of the element that is read.
    bytes: Rc<Cell<usize>>,
}

/// Watches what is read, which comes byte by byte. One element must not take all memory.
struct Watched<R> {
    source: R,
    place: Place,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        let Place { lines, bytes } = &self.place;
        lines.set(lines.get() + count_line_ends(&buffer[..read]));
        bytes.set(bytes.get() + read);
        if bytes.get() > MAXIMUM_ROW_BYTES {
            return Err(io::Error::other(format!(
                "what is before line {} is longer than {MAXIMUM_ROW_BYTES} bytes; a quote may be open",
                lines.get() + 1
            )));
        }
        Ok(read)
    }
}

/// Takes the events out of a body.
struct Body<'a, 'b> {
    /// Where the events go.
    chunks: Option<&'a mut Chunks<'b>>,
    place: &'a Place,
    /// What ends the reading before the end of the body.
    end: Option<Result<(), Trouble>>,
    has_events: bool,
}

impl Body<'_, '_> {
    /// Ends the reading, which goes by way of an error.
    fn stop<T, E: serde::de::Error>(&mut self, end: Result<(), Trouble>) -> Result<T, E> {
        self.end = Some(end);
        Err(E::custom("stopped"))
    }
}

impl<'de> Visitor<'de> for &mut Body<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body of a call")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            match flag(&name) {
                Some(flag) if map.next_value::<Option<bool>>()? == Some(true) => {
                    let sentence = not_from_a_file(flag);
                    return self.stop(Err(match self.has_events && self.chunks.is_some() {
                        true => Trouble::stopped(format!("{sentence}; the events before it are loaded")),
                        false => Trouble::unusable(sentence),
                    }));
                }
                Some(_) => {}
                None if name == EVENTS => map.next_value_seed(&mut *self)?,
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut events: A) -> Result<(), A::Error> {
        self.has_events = true;
        self.place.bytes.set(0);
        let Some(chunks) = &mut self.chunks else {
            while let Some(IgnoredAny) = events.next_element()? {
                self.place.bytes.set(0);
            }
            return Ok(());
        };
        while let Some(event) = events.next_element::<Box<RawValue>>()? {
            self.place.bytes.set(0);
            let raw = event.get().as_bytes();
            let line = 1 + self.place.lines.get() - count_line_ends(raw);
            match add(chunks, line, raw) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return self.stop(Ok(())),
                Err(trouble) => return self.stop(Err(trouble)),
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for &mut Body<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}
