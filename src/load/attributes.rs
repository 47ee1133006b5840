//! The attributes of an event by their paths, as the contract has them.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, SecondsFormat, Utc};
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
    fields: Vec<FieldDescriptor>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Text,
    Number,
    Date,
}

/// A value that an attribute takes.
#[derive(Clone, Debug)]
pub enum Given {
    Text(String),
    Number(f64),
    Date(DateTime<Utc>),
}

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

    pub fn iter(&self) -> impl Iterator<Item = &Attribute> {
        self.all.iter().map(Arc::as_ref)
    }

    /// The attribute of that path, in any case.
    pub fn find(&self, path: &str) -> Option<&Arc<Attribute>> {
        self.by_path.get(path).or_else(|| self.by_path.get(&path.to_ascii_lowercase()))
    }

    /// Says of a path that there is no such attribute, and which one was probably meant.
    pub fn unknown(&self, path: &str) -> String {
        let paths = self.iter().map(|attribute| attribute.path.as_str());
        let within: Vec<&str> = paths.filter(|other| other.starts_with(&format!("{path}."))).collect();
        if !within.is_empty() {
            return format!("{path} has attributes, and no value of its own: say which, of {}", within.join(", "));
        }
        let nearest = text::nearest(path, self.iter().map(|attribute| attribute.path.as_str()));
        let suggestion = nearest.map(|path| format!("; {path} is probably meant")).unwrap_or_default();
        format!("an event has no attribute {}{suggestion}", text::quoted(path))
    }

    /// An event without attributes.
    pub fn event(&self) -> DynamicMessage {
        DynamicMessage::new(self.event.clone())
    }

    /// What an event has, each attribute with its value as a text, in the contract's order. Secrets are not told.
    pub fn of<'a>(&'a self, event: &ReferralCustomerEvent) -> Result<Vec<(&'a Attribute, String)>, String> {
        let mut message = self.event();
        message.transcode_from(event).map_err(|error| error.to_string())?;
        Ok(self.iter().filter_map(|attribute| Some((attribute, attribute.told_of(&message)?))).collect())
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
        all.push(Arc::new(Attribute { path, content, is_secret: redacted.unwrap_or_default(), fields }));
    }
    Ok(())
}

impl Attribute {
    /// Gives the attribute to an event; answers whether it had none before.
    pub fn give(&self, event: &mut DynamicMessage, given: Given) -> bool {
        let Some((last, above)) = self.fields.split_last() else { return false };
        let mut message = event;
        for field in above {
            let Some(inner) = message.get_field_mut(field).as_message_mut() else { return false };
            message = inner;
        }
        let is_first = !message.has_field(last);
        let value = match (given, last.kind()) {
            (Given::Text(text), _) => Value::String(text),
            (Given::Number(number), _) => Value::F64(number),
            (Given::Date(date), Kind::Message(descriptor)) => {
                let mut message = DynamicMessage::new(descriptor);
                if message.transcode_from(&timestamp(date)).is_err() {
                    return false;
                }
                Value::Message(message)
            }
            (Given::Date(_), _) => return false,
        };
        message.set_field(last, value);
        is_first
    }

    pub fn is_given(&self, event: &DynamicMessage) -> bool {
        self.value(event).is_some()
    }

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
