//! The attributes of an event by their paths, as the contract has them.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, SecondsFormat, Utc};
use prost::{
    bytes::Bytes,
    encoding::{self, WireType},
};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

use crate::{
    contract::{self, ReferralCustomerEvent, date::timestamp},
    text,
};

/// An attribute that holds a value; those that hold other attributes are on its path.
#[derive(Debug)]
pub struct Attribute {
    /// As `referred_rewards_participant_identifier.number`.
    pub path: String,
    pub content: Content,
    /// Whether its values are not to be shown.
    pub is_secret: bool,
    /// Which of all attributes it is.
    place: usize,
    fields: Vec<FieldDescriptor>,
    /// Those of `fields`, whose descriptors are slow to ask.
    numbers: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Text,
    Number,
    Date,
}

/// The room, in bytes, that most events need as a message.
const USUAL_LENGTH: usize = 512;

/// A value that an attribute takes.
#[derive(Clone, Debug)]
pub enum Given {
    Text(String),
    Number(f64),
    Date(DateTime<Utc>),
}

/// What an event has of its attributes, by their place.
///
/// A reflected message would do it too, and took as much time for a row as the server takes for its event.
#[derive(Clone)]
pub struct Values(Vec<Option<Given>>);

/// All attributes of an event.
pub struct Attributes {
    event: MessageDescriptor,
    /// In the contract's order.
    all: Vec<Arc<Attribute>>,
    by_path: HashMap<String, Arc<Attribute>>,
}

impl Attributes {
    pub fn of_the_contract() -> Result<Self, String> {
        let event = contract::descriptor::<ReferralCustomerEvent>()?;
        let mut all = Vec::new();
        collect(&event, &[], &mut all)?;
        let by_path = all.iter().map(|attribute| (attribute.path.clone(), attribute.clone())).collect();
        Ok(Self { event, all, by_path })
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Attribute>> {
        self.all.iter()
    }

    /// The attribute of that path, in any case.
    pub fn find(&self, path: &str) -> Option<&Arc<Attribute>> {
        self.by_path.get(path).or_else(|| self.by_path.get(&path.to_ascii_lowercase()))
    }

    /// Says of a path that there is no such attribute, and which one was probably meant.
    pub fn unknown(&self, path: &str) -> String {
        let paths = self.all().map(|attribute| attribute.path.as_str());
        let within: Vec<&str> = paths.filter(|other| other.starts_with(&format!("{path}."))).collect();
        if !within.is_empty() {
            return format!("{path} has attributes, and no value of its own: say which, of {}", within.join(", "));
        }
        let nearest = text::nearest(path, self.all().map(|attribute| attribute.path.as_str()));
        let suggestion = nearest.map(|path| format!("; {path} is probably meant")).unwrap_or_default();
        format!("an event has no attribute {}{suggestion}", text::quoted(path))
    }

    /// Those of an event without attributes.
    pub fn values(&self) -> Values {
        Values(vec![None; self.all.len()])
    }

    /// The event that has these values, as its message is written.
    pub fn encode(&self, values: &Values) -> Vec<u8> {
        let mut event = Vec::with_capacity(USUAL_LENGTH);
        encode(&self.all, 0, values, &mut event);
        event
    }

    /// What the event of a message has, each attribute with its value as a text, in the contract's order. Secrets are not
    /// told.
    pub fn of(&self, event: Bytes) -> Result<Vec<(&Attribute, String)>, String> {
        let message = DynamicMessage::decode(self.event.clone(), event).map_err(|error| error.to_string())?;
        Ok(self.all().filter_map(|attribute| Some((attribute.as_ref(), attribute.told_of(&message)?))).collect())
    }
}

fn collect(
    message: &MessageDescriptor,
    above: &[FieldDescriptor],
    all: &mut Vec<Arc<Attribute>>,
) -> Result<(), String> {
    for field in message.fields() {
        let fields = [above, std::slice::from_ref(&field)].concat();
        let content = match field.kind() {
            Kind::String => Content::Text,
            Kind::Double => Content::Number,
            Kind::Message(date) if date.full_name() == "google.protobuf.Timestamp" => Content::Date,
            Kind::Message(inner) => {
                collect(&inner, &fields, all)?;
                continue;
            }
            _ => return Err(format!("{} is of a kind that no file has", field.full_name())),
        };
        let path = fields.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join(".");
        let redacted = field.options().get_field_by_name("debug_redact").map(|option| *option == Value::Bool(true));
        let numbers = fields.iter().map(FieldDescriptor::number).collect();
        let (place, is_secret) = (all.len(), redacted.unwrap_or_default());
        all.push(Arc::new(Attribute { path, content, is_secret, place, fields, numbers }));
    }
    Ok(())
}

/// Writes the attributes, which share their path down to `depth`.
fn encode(attributes: &[Arc<Attribute>], depth: usize, values: &Values, message: &mut Vec<u8>) {
    let is_of_one_field = |one: &Arc<Attribute>, other: &Arc<Attribute>| one.numbers[depth] == other.numbers[depth];
    for within in attributes.chunk_by(is_of_one_field) {
        let first = &within[0];
        let number = first.numbers[depth];
        if depth + 1 == first.numbers.len() {
            match values.of(first) {
                Some(Given::Text(text)) => encoding::string::encode(number, text, message),
                Some(Given::Number(value)) => encoding::double::encode(number, value, message),
                Some(Given::Date(date)) => encoding::message::encode(number, &timestamp(*date), message),
                None => {}
            }
            continue;
        }
        let mut inner = Vec::new();
        encode(within, depth + 1, values, &mut inner);
        if !inner.is_empty() {
            encoding::encode_key(number, WireType::LengthDelimited, message);
            encoding::encode_varint(inner.len() as u64, message);
            message.append(&mut inner);
        }
    }
}

impl Values {
    fn of(&self, attribute: &Attribute) -> Option<&Given> {
        self.0.get(attribute.place)?.as_ref()
    }

    pub fn has(&self, attribute: &Attribute) -> bool {
        self.of(attribute).is_some()
    }

    /// Gives a value; answers whether there was none before.
    pub fn give(&mut self, attribute: &Attribute, given: Given) -> bool {
        self.0[attribute.place].replace(given).is_none()
    }

    /// The same without that one.
    pub fn without(&self, attribute: &Attribute) -> Self {
        let mut values = self.clone();
        values.0[attribute.place] = None;
        values
    }
}

impl Attribute {
    fn value(&self, event: &DynamicMessage) -> Option<Value> {
        let mut value = Value::Message(event.clone());
        for field in &self.fields {
            let message = value.as_message().filter(|message| message.has_field(field))?;
            value = message.get_field(field).into_owned();
        }
        Some(value)
    }

    fn told_of(&self, event: &DynamicMessage) -> Option<String> {
        match self.value(event)? {
            _ if self.is_secret => Some("(secret)".to_owned()),
            Value::String(text) => Some(text),
            Value::F64(number) => Some(number.to_string()),
            Value::Message(date) => {
                let date: prost_types::Timestamp = date.transcode_to().ok()?;
                let date = DateTime::<Utc>::from_timestamp(date.seconds, u32::try_from(date.nanos).ok()?)?;
                Some(date.to_rfc3339_opts(SecondsFormat::AutoSi, true))
            }
            _ => None,
        }
    }
}

impl Content {
    /// What a file has for it.
    pub fn description(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a number like 12.5",
            Self::Date => "a date and time like 2016-06-22T15:00:00, or as --date-format says",
        }
    }
}
