//! From JSON to the messages of the contract.
//!
//! An object is first split into its members, each a piece of text, and each member is then read by itself. So one
//! malformed event leaves its neighbours alone, and one malformed attribute is named by its path. What the attributes
//! of a message are called is generated from the contract.
//!
//! This reads each byte several times, so events are read by [`whole`](super::whole) where nothing is wrong with them.
//! It keeps nothing of what it does not know, so an object of any number of members costs its text and no more.

use std::{borrow::Cow, fmt};

use prost_types::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{error::Category, value::RawValue};

use super::date::{looks_like_a_date, parse_date, timestamp};
use crate::{
    contract,
    error::{Error, ErrorKind, Result},
    referral::violation::{Violation, ViolationKind},
};

/// The most violations of one object that are told, those that come first in the catalogue before the others.
const MAXIMUM_VIOLATIONS: usize = 100;
/// The most names that `fields_set` may have: many times as many as there are fields.
const MAXIMUM_NAMES: usize = 1000;

/// A message that is read from an object.
pub trait Attributes {
    /// Reads the attribute `name`; answers its position in the message, or `None` where there is none of that name.
    fn read(&mut self, name: &str, value: &RawValue, reader: &mut Reading) -> Option<u32>;
}

include!(concat!(env!("OUT_DIR"), "/attributes.rs"));

impl<M: Attributes> Attributes for Box<M> {
    fn read(&mut self, name: &str, value: &RawValue, reader: &mut Reading) -> Option<u32> {
        self.as_mut().read(name, value, reader)
    }
}

/// A value that is read from JSON other than `null`; what is wrong with it goes to the reader.
pub trait FromJson {
    fn read(&mut self, name: &'static str, value: &RawValue, reader: &mut Reading);
}

/// Where in the document the reading is, and what was wrong so far.
#[derive(Default)]
pub struct Reading {
    path: String,
    violations: Vec<Violation>,
    /// The kind among the violations that comes last in the catalogue.
    latest: Option<ViolationKind>,
}

/// A message under way.
#[derive(Default)]
pub struct Partial<M> {
    pub message: M,
    /// The positions of the attributes that it has had, a bit each.
    seen: u64,
}

impl Reading {
    pub fn read<T: FromJson>(&mut self, name: &'static str, value: &RawValue, target: &mut T) {
        if value.get() != "null" {
            target.read(name, value, self);
        }
    }

    /// Reads a text of digits, which may come as a number.
    fn read_digits(&mut self, name: &'static str, value: &RawValue, target: &mut Option<String>) {
        if is_digits(value.get()) {
            *target = Some(value.get().to_owned());
        } else {
            self.read(name, value, target);
        }
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub fn malformed(&mut self, name: &str, description: &str) {
        self.add(ViolationKind::MalformedEvent, |reader| Violation::malformed(&reader.path_of(name), description));
    }

    pub fn unknown_attribute(&mut self, name: &str) {
        self.add(ViolationKind::UnknownAttribute, |reader| {
            Violation::unknown_attribute(&reader.path_of(&printable(name)))
        });
    }

    /// Adds a violation. Of too many, one that comes later in the catalogue gives way, if there is one.
    fn add(&mut self, kind: ViolationKind, violation: impl FnOnce(&Self) -> Violation) {
        if self.violations.len() == MAXIMUM_VIOLATIONS {
            // Of few kinds that there are, so this looks for one to drop only a few hundred times.
            if Some(kind) >= self.latest {
                return;
            }
            let later = self.violations.iter().rposition(|kept| Some(kept.kind) == self.latest);
            later.map(|position| self.violations.remove(position));
        }
        let violation = violation(self);
        self.violations.push(violation);
        self.latest = self.violations.iter().map(|kept| kept.kind).max();
    }

    /// What was wrong.
    pub fn into_violations(self) -> Vec<Violation> {
        self.violations
    }

    /// Reads a member's name. One that is no text spoils the object, but leaves its other members readable.
    pub fn name<'a>(&mut self, name: &'a RawValue) -> Option<Cow<'a, str>> {
        let read = serde_json::from_str(name.get()).ok().map(|Name(name)| name);
        if read.is_none() {
            self.malformed(&printable(name.get().trim_matches('"')), "The attribute's name is not valid Unicode");
        }
        read
    }

    /// Reads one member of an object into its message.
    pub fn member<M: Attributes>(&mut self, name: &RawValue, value: &RawValue, into: &mut Partial<M>) {
        let Some(name) = self.name(name) else { return };
        match into.message.read(&name, value, self) {
            Some(position) if into.seen & (1 << position) != 0 => {
                self.malformed(&name, "The attribute is given more than once");
            }
            Some(position) => into.seen |= 1 << position,
            None => self.unknown_attribute(&name),
        }
    }
}

/// An attribute's name for an answer: a stranger's text, cut short, without control characters.
pub fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}

fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

/// A function that is handed the members of an object, one after the other, their names and values unread.
struct Members<F>(F);

impl<'de, F: FnMut(&'de RawValue, &'de RawValue)> DeserializeSeed<'de> for Members<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(&'de RawValue, &'de RawValue)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry()? {
            (self.0)(name, value);
        }
        Ok(())
    }
}

/// Hands out the members of a text that is an object. Where it is none, they may have been handed out in part.
pub fn each_member<'a>(text: &'a str, take: impl FnMut(&'a RawValue, &'a RawValue)) -> serde_json::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Members(take).deserialize(&mut deserializer)?;
    deserializer.end()
}

/// The first elements of an array, as many as `LIMIT` at most, and how many it has.
pub struct First<T, const LIMIT: usize> {
    pub elements: Vec<T>,
    pub count: usize,
}

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Deserialize<'de> for First<T, LIMIT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T, const LIMIT: usize>(First<T, LIMIT>);

        impl<'de, T: Deserialize<'de>, const LIMIT: usize> Visitor<'de> for Elements<T, LIMIT> {
            type Value = First<T, LIMIT>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
                let Self(mut first) = self;
                while first.count < LIMIT
                    && let Some(element) = array.next_element()?
                {
                    first.elements.push(element);
                    first.count += 1;
                }
                while array.next_element::<IgnoredAny>()?.is_some() {
                    first.count += 1;
                }
                Ok(first)
            }
        }

        deserializer.deserialize_seq(Elements(First { elements: Vec::new(), count: 0 }))
    }
}

/// A member's name, or another text, borrowed where it has no escapes.
#[derive(Deserialize)]
pub struct Name<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl FromJson for Option<String> {
    fn read(&mut self, name: &'static str, value: &RawValue, reader: &mut Reading) {
        if !value.get().starts_with('"') {
            return reader.malformed(name, "A text is expected");
        }
        match serde_json::from_str(value.get()) {
            Ok(text) => *self = Some(text),
            Err(_) => reader.malformed(name, "The text is not valid Unicode"),
        }
    }
}

impl FromJson for Option<f64> {
    fn read(&mut self, name: &'static str, value: &RawValue, reader: &mut Reading) {
        *self = number(value.get());
        if self.is_none() {
            reader.malformed(name, "A number is expected");
        }
    }
}

impl FromJson for Option<bool> {
    fn read(&mut self, name: &'static str, value: &RawValue, reader: &mut Reading) {
        match serde_json::from_str(value.get()) {
            Ok(flag) => *self = Some(flag),
            Err(_) => reader.malformed(name, "true or false is expected"),
        }
    }
}

impl FromJson for Option<u32> {
    fn read(&mut self, name: &'static str, value: &RawValue, reader: &mut Reading) {
        match serde_json::from_str(value.get()) {
            Ok(number) => *self = Some(number),
            Err(_) => reader.malformed(name, "A whole number is expected"),
        }
    }
}

impl FromJson for Option<Timestamp> {
    fn read(&mut self, name: &'static str, value: &RawValue, reader: &mut Reading) {
        let text = serde_json::from_str::<String>(value.get()).unwrap_or_default();
        match parse_date(&text) {
            Some(date) => *self = Some(timestamp(date)),
            None if looks_like_a_date(&text) => {
                reader.add(ViolationKind::InvalidAttributeValue, |reader| {
                    Violation::invalid_value(&reader.path_of(name), "There is no such date")
                });
            }
            None => reader.malformed(name, "A date is expected, such as 2016-06-22T15:00:00"),
        }
    }
}

pub fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads a number of JSON. One too large becomes infinite here, and is refused for that later.
pub fn number(text: &str) -> Option<f64> {
    let is_number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

impl<M: Attributes + Default> FromJson for Option<M> {
    fn read(&mut self, name: &'static str, value: &RawValue, reader: &mut Reading) {
        if !is_object(value) {
            return reader.malformed(name, "An object is expected");
        }
        let path = reader.path_of(name);
        let outer = std::mem::replace(&mut reader.path, path);
        let mut object = Partial::<M>::default();
        if each_member(value.get(), |name, value| reader.member(name, value, &mut object)).is_err() {
            reader.add(ViolationKind::MalformedEvent, |reader| {
                Violation::malformed(&reader.path, "An object is expected")
            });
        }
        *self = Some(object.message);
        reader.path = outer;
    }
}

/// Reads a request that is one object.
pub fn request<M: Attributes + Default>(body: &[u8]) -> Result<M> {
    let mut request = Partial::<M>::default();
    let mut reader = Reading::default();
    members(body, |name, value| reader.member(name, value, &mut request))?;
    refuse_violations(reader)?;
    Ok(request.message)
}

/// The names of several fields, separated by commas, or an array of names.
impl FromJson for Vec<String> {
    fn read(&mut self, name: &'static str, value: &RawValue, reader: &mut Reading) {
        if let Ok(names) = serde_json::from_str(value.get()) {
            *self = vec![names];
            return;
        }
        match serde_json::from_str::<First<String, MAXIMUM_NAMES>>(value.get()) {
            Ok(names) if names.count <= MAXIMUM_NAMES => *self = names.elements,
            Ok(_) => reader.malformed(name, "A thousand names at most are expected"),
            Err(_) => reader.malformed(name, "A text or an array of texts is expected"),
        }
    }
}

/// What is wrong with the attributes of the call itself refuses it.
pub fn refuse_violations(reader: Reading) -> Result<()> {
    let Some(first) = reader.violations.into_iter().min_by_key(|violation| violation.kind) else { return Ok(()) };
    let (kind, message) = match first.kind {
        ViolationKind::InvalidAttributeValue => return Err(first.into()),
        ViolationKind::UnknownAttribute => {
            (ErrorKind::UnknownAttribute, format!("The attribute {} does not exist.", first.field))
        }
        _ => (ErrorKind::MalformedRequest, format!("The attribute {} cannot be read.", first.field)),
    };
    Err(Error::new(kind, message).at_field(first.field))
}

/// Hands out the members of the body, which is an object.
pub fn members<'a>(body: &'a [u8], take: impl FnMut(&'a RawValue, &'a RawValue)) -> Result<()> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let before = &body[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        Error::new(ErrorKind::MalformedRequest, format!("The body is not UTF-8 at line {line} column {column}."))
    })?;
    each_member(text, take).map_err(|error| match error.classify() {
        Category::Data => Error::new(ErrorKind::MalformedRequest, "The body is not an object, at line 1 column 1."),
        _ => malformed_body(error),
    })
}

fn malformed_body(error: serde_json::Error) -> Error {
    let (line, column) = (error.line(), error.column());
    Error::new(ErrorKind::MalformedRequest, format!("The body is not JSON at line {line} column {column}."))
}
