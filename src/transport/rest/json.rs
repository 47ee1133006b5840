//! From JSON to the messages of the contract.
//!
//! An object is first split into its members, each a piece of text, and each member is then read by itself. So one
//! malformed event leaves its neighbours alone, and one malformed attribute is named by its path. What the attributes
//! of a message are called is generated from the contract.
//!
//! This reads each byte several times, so events are read by [`whole`](super::whole) where nothing is wrong with them.

use std::{borrow::Cow, fmt};

use axum::body::Bytes;
use prost_types::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{error::Category, value::RawValue};

use super::{
    date::{looks_like_a_date, parse_date, timestamp},
    whole::whole,
};
use crate::{
    contract,
    error::{Error, ErrorKind, Result},
    referral::{
        Options,
        event::EventRequest,
        violation::{Violation, ViolationKind},
    },
    transport::api::CreateCall,
};

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
trait FromJson {
    fn read(&mut self, name: &'static str, value: &RawValue, reader: &mut Reading);
}

/// Where in the document the reading is, and what was wrong so far.
#[derive(Default)]
pub struct Reading {
    path: String,
    violations: Vec<Violation>,
}

impl Reading {
    fn read<T: FromJson>(&mut self, name: &'static str, value: &RawValue, target: &mut T) {
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

    fn malformed(&mut self, name: &str, description: &str) {
        self.violations.push(Violation::malformed(&self.path_of(name), description));
    }

    /// Reads a member's name. One that is no text spoils the object, but leaves its other members readable.
    fn name<'a>(&mut self, name: &'a RawValue) -> Option<Cow<'a, str>> {
        let read = serde_json::from_str(name.get()).ok().map(|Name(name)| name);
        if read.is_none() {
            self.malformed(&printable(name.get().trim_matches('"')), "The attribute's name is not valid Unicode");
        }
        read
    }

    /// Reads the members of an object into a message.
    fn object<M: Attributes>(&mut self, object: &RawValue, message: &mut M) {
        match serde_json::from_str(object.get()) {
            Ok(Members(members)) => self.members(members, message),
            Err(_) => self.violations.push(Violation::malformed(&self.path, "An object is expected")),
        }
    }

    fn members<M: Attributes>(&mut self, members: Vec<(&RawValue, &RawValue)>, message: &mut M) {
        let mut seen = 0u64;
        for (name, value) in members {
            let Some(name) = self.name(name) else { continue };
            match message.read(&name, value, self) {
                Some(position) if seen & (1 << position) != 0 => {
                    self.malformed(&name, "The attribute is given more than once");
                }
                Some(position) => seen |= 1 << position,
                None => {
                    let path = self.path_of(&printable(&name));
                    self.violations.push(Violation::unknown_attribute(&path));
                }
            }
        }
    }
}

/// An attribute's name for an answer: a stranger's text, cut short, without control characters.
fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}

fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

/// The members of an object, in order, their names and values unread.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
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
                let path = reader.path_of(name);
                reader.violations.push(Violation::invalid_value(&path, "There is no such date"));
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
        let mut message = M::default();
        reader.object(value, &mut message);
        *self = Some(message);
        reader.path = outer;
    }
}

/// An event of the request, not yet read: a part of the body, which is gone once all its events are.
pub struct RawEvent(Bytes);

impl From<RawEvent> for EventRequest {
    fn from(RawEvent(text): RawEvent) -> Self {
        if let Some(event) = whole::<contract::ReferralCustomerEvent>(&text) {
            return event.into();
        }
        let Some(Members(members)) = text.starts_with(b"{").then(|| serde_json::from_slice(&text).ok()).flatten()
        else {
            return Self { violations: vec![Violation::not_an_object()], ..Self::default() };
        };
        event(members)
    }
}

/// The bulk request, its events not yet read.
#[derive(Default)]
struct BulkRequest<'a> {
    token: Option<String>,
    events: Vec<&'a RawValue>,
    fields_set: Vec<String>,
    validate_only: Option<bool>,
    all_or_nothing: Option<bool>,
}

/// Reads the envelope of a bulk request.
pub fn bulk_call(body: Bytes) -> Result<CreateCall<RawEvent>> {
    let mut request = BulkRequest::default();
    let mut reader = Reading::default();
    let mut seen: Vec<Cow<str>> = Vec::new();
    for (name, value) in members(&body)? {
        let Some(name) = reader.name(name) else { continue };
        match &*name {
            "token" => reader.read("token", value, &mut request.token),
            "fields_set" => reader.read("fields_set", value, &mut request.fields_set),
            "validate_only" => reader.read("validate_only", value, &mut request.validate_only),
            "all_or_nothing" => reader.read("all_or_nothing", value, &mut request.all_or_nothing),
            "referral_customer_events_set" if value.get() == "null" => {}
            "referral_customer_events_set" => match serde_json::from_str(value.get()) {
                Ok(events) => request.events = events,
                Err(_) => reader.malformed("referral_customer_events_set", "A set of events is expected"),
            },
            _ => reader.violations.push(Violation::unknown_attribute(&printable(&name))),
        }
        if seen.contains(&name) {
            reader.malformed(&printable(&name), "The attribute is given more than once");
        }
        seen.push(name);
    }
    refuse_violations(reader)?;
    let events = request.events.into_iter().map(|event| RawEvent(body.slice_ref(event.get().as_bytes()))).collect();
    let options = Options {
        validate_only: request.validate_only.unwrap_or_default(),
        all_or_nothing: request.all_or_nothing.unwrap_or_default(),
    };
    Ok(CreateCall { token: request.token, events, fields_set: request.fields_set, options })
}

/// Reads the request of one event: the attributes of the call and those of the event, in one object.
pub fn create_call(body: &[u8]) -> Result<CreateCall<EventRequest>> {
    let mut call = contract::CreateReferralEventRequest::default();
    let mut reader = Reading::default();
    let mut seen: Vec<Cow<str>> = Vec::new();
    let mut of_event = Vec::new();
    for (name_text, value) in members(body)? {
        let name = serde_json::from_str(name_text.get()).ok().map(|Name(name)| name);
        match name.as_deref() {
            Some("token") => reader.read("token", value, &mut call.token),
            Some("fields_set") => reader.read("fields_set", value, &mut call.fields_set),
            Some("validate_only") => reader.read("validate_only", value, &mut call.validate_only),
            _ => {
                of_event.push((name_text, value));
                continue;
            }
        }
        if let Some(name) = name {
            if seen.contains(&name) {
                reader.malformed(&name, "The attribute is given more than once");
            }
            seen.push(name);
        }
    }
    refuse_violations(reader)?;
    let events = if of_event.is_empty() { Vec::new() } else { vec![event(of_event)] };
    let options = Options { validate_only: call.validate_only.unwrap_or_default(), ..Options::default() };
    Ok(CreateCall { token: call.token, events, fields_set: call.fields_set, options })
}

fn event(members: Vec<(&RawValue, &RawValue)>) -> EventRequest {
    let mut event = contract::ReferralCustomerEvent::default();
    let mut reader = Reading::default();
    reader.members(members, &mut event);
    EventRequest { violations: reader.violations, ..EventRequest::from(event) }
}

/// Reads a request that is one object.
pub fn request<M: Attributes + Default>(body: &[u8]) -> Result<M> {
    let mut message = M::default();
    let mut reader = Reading::default();
    reader.members(members(body)?, &mut message);
    refuse_violations(reader)?;
    Ok(message)
}

/// The names of several fields, separated by commas, or an array of names.
impl FromJson for Vec<String> {
    fn read(&mut self, name: &'static str, value: &RawValue, reader: &mut Reading) {
        let names = serde_json::from_str(value.get());
        match names.or_else(|_| serde_json::from_str(value.get()).map(|name| vec![name])) {
            Ok(names) => *self = names,
            Err(_) => reader.malformed(name, "A text or an array of texts is expected"),
        }
    }
}

/// What is wrong with the attributes of the call itself refuses it.
fn refuse_violations(reader: Reading) -> Result<()> {
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

/// The members of the body, which is an object.
fn members(body: &[u8]) -> Result<Vec<(&RawValue, &RawValue)>> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let before = &body[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        Error::new(ErrorKind::MalformedRequest, format!("The body is not UTF-8 at line {line} column {column}."))
    })?;
    let read = serde_json::from_str(text);
    read.map(|Members(members)| members).map_err(|error| match error.classify() {
        Category::Data => Error::new(ErrorKind::MalformedRequest, "The body is not an object, at line 1 column 1."),
        _ => malformed_body(error),
    })
}

fn malformed_body(error: serde_json::Error) -> Error {
    let (line, column) = (error.line(), error.column());
    Error::new(ErrorKind::MalformedRequest, format!("The body is not JSON at line {line} column {column}."))
}
