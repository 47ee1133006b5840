//! From JSON to the messages of the contract, by what the contract says of them.
//!
//! An object is first split into its members, each a piece of text, and each member is then read by itself. So one
//! malformed event leaves its neighbours alone, and one malformed attribute is named by its path.
//!
//! This reads each byte several times, so events that nothing is wrong with are read by [`contract::json`]. It keeps
//! nothing of what it does not know, so an object of any number of members costs its text and no more.
//!
//! [`contract::json`]: crate::contract::json

use std::{borrow::Cow, collections::BTreeMap};

use prost::{Message, Name, encoding};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use prost_types::Timestamp;
use serde_json::{error::Category, value::RawValue};

use super::parts::{First, each_member, is_empty_array};
use crate::{
    contract::{
        MAXIMUM_EVENTS,
        date::timestamp,
        descriptor,
        json::{MAY_BE_A_NUMBER, Text, is_digits},
    },
    date::{self, NotADate},
    error::{Error, ErrorKind, Result},
    referral::violation::{Violation, ViolationKind},
    text::{is_blank, listed, nearest, printable, shown_short},
    transport::fields::MAXIMUM_NAMES,
};

/// The most violations of one object that are told, those that come first in the catalogue before the others.
const MAXIMUM_VIOLATIONS: usize = 100;
const DATE_EXPECTED: &str = "A date and time is expected, such as 2016-06-22T15:00:00, with a fraction if need be, and with Z \
                             or an offset such as +02:00 where it is not UTC";
/// Of so many attributes at most all are named to who gives one that does not exist.
const FEW: usize = 5;
const REQUEST_UNIQUE_IDENTIFIER: &str = "request_unique_identifier";

/// Where in the document the reading is, and what was wrong so far.
#[derive(Default)]
pub struct Reading<'a> {
    path: String,
    violations: Vec<Violation>,
    /// The kind among the violations that comes last in the catalogue.
    latest: Option<ViolationKind>,
    /// The set of messages of the object, unread.
    pub set: Option<Set<'a>>,
    /// The message that the one being read stands in.
    pub around: Option<MessageDescriptor>,
    /// The attribute in whose place stand those of its message.
    pub in_place_of: Option<FieldDescriptor>,
}

/// A set of messages, each a piece of the text.
pub struct Set<'a> {
    pub kind: MessageDescriptor,
    pub messages: First<&'a RawValue, MAXIMUM_EVENTS>,
}

/// A message under way.
pub struct Object {
    kind: MessageDescriptor,
    /// Each attribute that it has had, by its number, as it stands on the wire; empty where it is absent all the same.
    attributes: BTreeMap<u32, Vec<u8>>,
}

impl Object {
    pub fn new(kind: MessageDescriptor) -> Self {
        Self { kind, attributes: BTreeMap::new() }
    }

    pub fn of<M: Name>() -> Result<Self> {
        descriptor::<M>().map(Self::new).map_err(Error::internal)
    }

    pub fn message<M: Message + Default>(self) -> Result<M> {
        let mut message = M::default();
        // Each by itself, and gone thereafter: a text may be as long as the body.
        for attribute in self.attributes.into_values() {
            message.merge(&*attribute).map_err(Error::internal)?;
        }
        Ok(message)
    }

    fn wire(self) -> Vec<u8> {
        let attributes: Vec<Vec<u8>> = self.attributes.into_values().collect();
        attributes.concat()
    }
}

impl<'a> Reading<'a> {
    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn malformed(&mut self, name: &str, description: &str) {
        self.add(ViolationKind::MalformedEvent, |reader| Violation::malformed(&reader.path_of(name), description));
    }

    fn unknown_attribute(&mut self, name: &str, kind: &MessageDescriptor) {
        self.add(ViolationKind::UnknownAttribute, |reader| {
            let name = printable(name);
            Violation::unknown_attribute(&reader.path_of(&name), reader.hint(&name, kind))
        });
    }

    /// Where a name that does not exist in a message would be right, or which one was probably meant.
    fn hint(&self, name: &str, kind: &MessageDescriptor) -> Option<String> {
        if self.around.as_ref().is_some_and(|around| around.get_field_by_name(name).is_some()) {
            return Some("it belongs one level up".to_owned());
        }
        if self.in_place_of.as_ref().is_some_and(|field| field.name() == name) {
            return Some("its attributes stand by themselves here".to_owned());
        }
        let fields: Vec<FieldDescriptor> = kind.fields().collect();
        let inner = |field: &FieldDescriptor| {
            field.kind().as_message().filter(|inner| inner.package_name() == kind.package_name()).cloned()
        };
        if let Some(field) =
            fields.iter().find(|field| inner(field).is_some_and(|inner| inner.get_field_by_name(name).is_some()))
        {
            return Some(format!("it belongs one level down, as in {}", field.name()));
        }
        let names: Vec<&str> = fields.iter().map(FieldDescriptor::name).collect();
        match nearest(name, names.iter().copied()) {
            Some(meant) => Some(format!("perhaps {meant} is meant")),
            None => (names.len() <= FEW).then(|| format!("what there is here is {}", listed(&names))),
        }
    }

    /// Adds a violation. Of too many, one that comes later in the catalogue gives way, if there is one.
    fn add(&mut self, kind: ViolationKind, violation: impl FnOnce(&Self) -> Violation) {
        if self.violations.len() == MAXIMUM_VIOLATIONS {
            // Each gives way to one of an earlier kind, of which there are few: a few hundred times at most.
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
    fn name<'n>(&mut self, name: &'n RawValue) -> Option<Cow<'n, str>> {
        let read = serde_json::from_str(name.get()).ok().map(|Text(name)| name);
        if read.is_none() {
            self.malformed(&printable(name.get().trim_matches('"')), "The attribute's name is not valid Unicode");
        }
        read
    }

    /// Reads one member of an object into its message.
    pub fn member(&mut self, name: &RawValue, value: &'a RawValue, into: &mut Object) {
        let Some(name) = self.name(name) else { return };
        let Some(field) = into.kind.get_field_by_name(&name) else { return self.unknown_attribute(&name, &into.kind) };
        let read = if value.get() == "null" { None } else { self.value(&field, value) };
        let is_repeated = into.attributes.contains_key(&field.number());
        let attribute = into.attributes.entry(field.number()).or_default();
        if let Some(read) = read {
            *attribute = read;
        }
        if is_repeated {
            self.malformed(&name, "The attribute is given more than once");
        }
    }

    /// Reads a value other than `null`, as it stands on the wire; what is wrong with it is a violation.
    fn value(&mut self, field: &FieldDescriptor, value: &'a RawValue) -> Option<Vec<u8>> {
        let (name, number, text) = (field.name(), field.number(), value.get());
        let mut wire = Vec::new();
        let read = match field.kind() {
            Kind::String if field.is_list() => {
                names(text).map(|names| encoding::string::encode_repeated(number, &names, &mut wire))
            }
            Kind::String if name == REQUEST_UNIQUE_IDENTIFIER && is_scalar(text) => {
                // As it was written: its event is told by it all the same.
                self.malformed(name, "A text is expected");
                encoding::string::encode(number, &text.to_owned(), &mut wire);
                Ok(())
            }
            Kind::String => string(name, text).map(|text| encoding::string::encode(number, &text, &mut wire)),
            Kind::Double => double(text).map(|double| encoding::double::encode(number, &double, &mut wire)),
            Kind::Bool => flag(text).map(|flag| encoding::bool::encode(number, &flag, &mut wire)),
            Kind::Uint32 => whole(text).map(|whole| encoding::uint32::encode(number, &whole, &mut wire)),
            Kind::Message(kind) if field.is_list() => serde_json::from_str(text)
                .map(|messages| self.set = Some(Set { kind, messages }))
                .or(Err("A set of events is expected")),
            Kind::Message(kind) if kind.full_name() == "google.protobuf.Timestamp" => {
                encoding::message::encode(number, &self.date(name, text)?, &mut wire);
                Ok(())
            }
            Kind::Message(kind) if text.starts_with('{') || is_empty_array(text) => {
                let around = field.parent_message().clone();
                encoding::bytes::encode(number, &self.object(name, text, kind, around), &mut wire);
                Ok(())
            }
            Kind::Message(_) => Err("An object is expected"),
            _ => Err("The attribute cannot be given in JSON"),
        };
        read.map_err(|description| self.malformed(name, description)).ok()?;
        Some(wire)
    }

    /// Reads a date; a blank text is none.
    fn date(&mut self, name: &str, text: &str) -> Option<Timestamp> {
        let Ok(text) = serde_json::from_str::<String>(text) else {
            self.malformed(name, DATE_EXPECTED);
            return None;
        };
        match date::read(&text) {
            Ok(date) => return Some(timestamp(date)),
            Err(_) if is_blank(&text) => {}
            Err(NotADate::Form) => self.malformed(name, DATE_EXPECTED),
            Err(fault) => self.add(ViolationKind::InvalidAttributeValue, |reader| {
                Violation::invalid_value(&reader.path_of(name), &format!("{} is {fault}", shown_short(&text)))
            }),
        }
        None
    }

    /// Reads a message within another. On the wire it is the same as bytes.
    fn object(&mut self, name: &str, text: &'a str, kind: MessageDescriptor, around: MessageDescriptor) -> Vec<u8> {
        let path = self.path_of(name);
        let outer = std::mem::replace(&mut self.path, path);
        let around = self.around.replace(around);
        let mut object = Object::new(kind);
        if each_member(text, |name, value| self.member(name, value, &mut object)).is_err() {
            self.add(ViolationKind::MalformedEvent, |reader| {
                Violation::malformed(&reader.path, "An object is expected")
            });
        }
        self.path = outer;
        self.around = around;
        object.wire()
    }
}

/// A value, or what is expected in its place.
type Read<T> = Result<T, &'static str>;

/// `true` or `false`, which may come as a text, as it does in a query.
fn flag(text: &str) -> Read<bool> {
    match text.trim_matches('"') {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("true or false is expected"),
    }
}

/// A whole number, which may come as a text, and with a fraction of zero.
fn whole(text: &str) -> Read<u32> {
    let digits = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let digits = digits
        .split_once('.')
        .filter(|(_, zeros)| !zeros.is_empty() && zeros.trim_end_matches('0').is_empty())
        .map_or(digits, |(digits, _)| digits);
    if is_digits(digits) {
        digits.parse().or(Err("The number is too large"))
    } else {
        Err("A whole number is expected")
    }
}

/// A number, or true or false.
fn is_scalar(text: &str) -> bool {
    !text.starts_with(['"', '{', '['])
}

/// The names of several fields, separated by commas, or an array of names.
fn names(text: &str) -> Read<Vec<String>> {
    if let Ok(names) = serde_json::from_str(text) {
        return Ok(vec![names]);
    }
    match serde_json::from_str::<First<String, MAXIMUM_NAMES>>(text) {
        Ok(names) if names.count <= MAXIMUM_NAMES => Ok(names.elements),
        Ok(_) => Err("A thousand names at most are expected"),
        Err(_) => Err("A text or an array of texts is expected"),
    }
}

fn string(name: &str, text: &str) -> Read<String> {
    if name == MAY_BE_A_NUMBER && is_digits(text) {
        return Ok(text.to_owned());
    }
    if !text.starts_with('"') {
        return Err(match name {
            MAY_BE_A_NUMBER => "A text or a whole number in digits is expected",
            _ => "A text is expected",
        });
    }
    serde_json::from_str(text).or(Err("The text is not valid Unicode"))
}

/// Reads a number of JSON. One too large becomes infinite here, and is refused for that later.
fn double(text: &str) -> Read<f64> {
    let is_number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).ok_or("A number is expected")
}

/// Reads a request that is one object.
pub fn request<M: Message + Name + Default>(body: &[u8]) -> Result<M> {
    let mut request = Object::of::<M>()?;
    let mut reader = Reading::default();
    members(body, |name, value| reader.member(name, value, &mut request))?;
    refuse_violations(reader.into_violations())?;
    request.message()
}

/// What is wrong with the attributes of the call itself refuses it.
pub fn refuse_violations(violations: Vec<Violation>) -> Result<()> {
    let Some(first) = violations.into_iter().min_by_key(|violation| violation.kind) else { return Ok(()) };
    let (kind, message) = match first.kind {
        ViolationKind::InvalidAttributeValue => return Err(first.into()),
        ViolationKind::UnknownAttribute => {
            let named = format!("The attribute {}", first.field);
            let sentence = first.description().replacen("The attribute", &named, 1);
            (ErrorKind::UnknownAttribute, format!("{sentence}."))
        }
        _ => {
            let expected = begin_small(first.description());
            (ErrorKind::MalformedRequest, format!("The attribute {} cannot be read: {expected}.", first.field))
        }
    };
    Err(Error::new(kind, message).at_field(first.field))
}

/// A sentence as the rest of another.
fn begin_small(sentence: &str) -> String {
    let mut characters = sentence.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}

/// Hands out the members of the body, which is an object. An empty body, and the empty array that PHP makes of an object
/// without members, have none; what may stand before a text of UTF-8 is passed over.
pub fn members<'a>(body: &'a [u8], take: impl FnMut(&'a RawValue, &'a RawValue)) -> Result<()> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let text = std::str::from_utf8(body).map_err(|error| {
        let before = &body[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        Error::new(ErrorKind::MalformedRequest, format!("The body is not UTF-8 at line {line} column {column}."))
    })?;
    if text.trim().is_empty() || is_empty_array(text.trim()) {
        return Ok(());
    }
    each_member(text, take).map_err(|error| match error.classify() {
        Category::Data => Error::new(ErrorKind::MalformedRequest, "The body is not an object, at line 1 column 1."),
        _ => malformed_body(error),
    })
}

fn malformed_body(error: serde_json::Error) -> Error {
    let (line, column) = (error.line(), error.column());
    Error::new(ErrorKind::MalformedRequest, format!("The body is not JSON at line {line} column {column}."))
}
