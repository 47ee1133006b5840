//! The messages of the contract as schemas of JSON, in the forms that the gateway reads and writes.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comments::Commented;
use crate::{
    contract::{MAXIMUM_EVENTS, json::MAY_BE_A_NUMBER},
    referral::rules::validate::MAXIMUM_TEXT_LENGTH,
    transport::fields::MAXIMUM_NAMES,
};

/// The schemas, by name.
#[derive(Default)]
pub struct Schemas(Map<String, Value>);

/// Which way a message goes. What is read may be `null`, and must be known; what is written may get more attributes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Read,
    Written,
}

/// A date and time as the service reads it.
const DATE: &str = "Date";
const FORM_OF_DATES: &str = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\
                             (\\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])?$";

impl Schemas {
    pub fn into_inner(self) -> Map<String, Value> {
        self.0
    }

    pub fn insert(&mut self, name: &str, schema: Value) {
        self.0.insert(name.to_owned(), schema);
    }

    /// The schema of a request of these attributes, under this name.
    pub fn request(
        &mut self,
        name: &str,
        comment: &str,
        attributes: &[FieldDescriptor],
        optional: Option<&str>,
    ) -> Value {
        let mut properties = self.properties(attributes, Way::Read);
        if let Some(schema) = optional.and_then(|name| properties.get_mut(name)) {
            *schema = json!({"type": ["string", "null"], "description": "Optional here, and has no meaning."});
        }
        let is_mandatory = |field: &&FieldDescriptor| optional != Some(field.name()) && is_mandatory(field);
        let mandatory: Vec<&str> = attributes.iter().filter(is_mandatory).map(FieldDescriptor::name).collect();
        self.object(name, comment, properties, &mandatory, Way::Read);
        reference(name)
    }

    /// The schema of what is answered.
    pub fn answer(&mut self, message: &MessageDescriptor) -> Value {
        self.message(message, Way::Written)
    }

    fn message(&mut self, message: &MessageDescriptor, way: Way) -> Value {
        let name = message.name();
        if !self.0.contains_key(name) {
            // Its place, ahead of what it refers to.
            self.insert(name, Value::Null);
            let fields: Vec<FieldDescriptor> = message.fields().collect();
            let properties = self.properties(&fields, way);
            let is_there = |field: &&FieldDescriptor| match way {
                Way::Read => is_mandatory(field),
                Way::Written if field.is_list() => name.ends_with("Response"),
                Way::Written => !field.supports_presence(),
            };
            let there: Vec<&str> = fields.iter().filter(is_there).map(FieldDescriptor::name).collect();
            self.object(name, &message.comment().0, properties, &there, way);
        }
        reference(name)
    }

    fn object(&mut self, name: &str, comment: &str, properties: Map<String, Value>, required: &[&str], way: Way) {
        let mut schema = json!({"type": "object", "description": comment, "properties": properties});
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if way == Way::Read {
            schema["additionalProperties"] = json!(false);
        }
        self.insert(name, schema);
    }

    fn properties(&mut self, fields: &[FieldDescriptor], way: Way) -> Map<String, Value> {
        let property = |field: &FieldDescriptor| (field.name().to_owned(), self.field(field, way));
        fields.iter().map(property).collect()
    }

    fn field(&mut self, field: &FieldDescriptor, way: Way) -> Value {
        let mut schema = self.value(field, way);
        if way == Way::Read && !is_mandatory(field) {
            let is_referred_to = schema.get("$ref").is_some();
            match schema.get_mut("type") {
                Some(kind) => *kind = or_null(kind),
                None if is_referred_to => schema = json!({"anyOf": [schema, {"type": "null"}]}),
                None => {}
            }
        }
        annotate(&mut schema, field);
        schema
    }

    fn value(&mut self, field: &FieldDescriptor, way: Way) -> Value {
        if field.is_list() {
            return self.list(field, way);
        }
        match field.kind() {
            Kind::Message(message) if message.full_name() == "google.protobuf.Timestamp" => self.date(way),
            Kind::Message(message) => self.message(&message, way),
            _ => scalar(field, way == Way::Read),
        }
    }

    fn list(&mut self, field: &FieldDescriptor, way: Way) -> Value {
        match (field.kind(), way) {
            (Kind::Message(message), Way::Read) => json!({
                "type": "array", "items": self.message(&message, way), "minItems": 1, "maxItems": MAXIMUM_EVENTS,
            }),
            (Kind::Message(message), Way::Written) => json!({"type": "array", "items": self.message(&message, way)}),
            (_, Way::Read) => json!({
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": "string"}, "maxItems": MAXIMUM_NAMES},
                    {"type": "null"},
                ],
            }),
            (_, Way::Written) => json!({"type": "array", "items": {"type": "string"}}),
        }
    }

    fn date(&mut self, way: Way) -> Value {
        if way == Way::Written {
            return json!({"type": "string", "format": "date-time"});
        }
        let comment = "A date and time, such as `2016-06-22T15:00:00`, with a fraction if need be, and with `Z` or an \
                       offset such as `+02:00` where it is not UTC.";
        self.insert(
            DATE,
            json!({
                "type": "string", "description": comment, "pattern": FORM_OF_DATES,
                "examples": ["2016-06-22T15:00:00", "2016-06-22T17:00:00.25+02:00"],
            }),
        );
        reference(DATE)
    }
}

/// The schema of a parameter of a query, which is a text; never `null`.
pub fn parameter(field: &FieldDescriptor) -> Value {
    if field.is_list() {
        return json!({"type": "array", "items": {"type": "string"}, "maxItems": MAXIMUM_NAMES});
    }
    scalar(field, true)
}

fn scalar(field: &FieldDescriptor, is_read: bool) -> Value {
    let comment = field.comment();
    match field.kind() {
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Double => json!({"type": "number"}),
        Kind::Uint32 => {
            let (minimum, maximum) = comment.range().filter(|_| is_read).unwrap_or((0, u32::MAX));
            json!({"type": "integer", "minimum": minimum, "maximum": maximum})
        }
        _ if field.name() == MAY_BE_A_NUMBER => json!({"type": ["string", "integer"], "minimum": 0}),
        _ => {
            let mut schema = json!({"type": "string"});
            let of_comment = comment.maximum_length();
            if let Some(length) = of_comment.or_else(|| of_events(field)).filter(|_| is_read) {
                schema["maxLength"] = json!(length);
            }
            if is_read && comment.is_mandatory() {
                schema["minLength"] = json!(1);
            }
            schema
        }
    }
}

/// What holds for all texts of events, and of what they name things by.
fn of_events(field: &FieldDescriptor) -> Option<usize> {
    let message = field.parent_message();
    let is_of_event = message.name() == "ReferralCustomerEvent" || message.name().ends_with("Identifier");
    is_of_event.then_some(MAXIMUM_TEXT_LENGTH)
}

/// Adds what the contract says of a field, whatever it holds.
fn annotate(schema: &mut Value, field: &FieldDescriptor) {
    let comment = field.comment();
    if let Some(default) = comment.default() {
        schema["default"] = default;
    }
    schema["description"] = json!(comment.0);
    if is_deprecated(field) {
        schema["deprecated"] = json!(true);
    }
    if is_secret(field) {
        schema["format"] = json!("password");
    }
}

pub fn is_deprecated(field: &FieldDescriptor) -> bool {
    field.field_descriptor_proto().options.as_ref().is_some_and(|options| options.deprecated())
}

pub fn is_secret(field: &FieldDescriptor) -> bool {
    let secret = field.options().get_field_by_name("debug_redact").and_then(|secret| secret.as_bool());
    secret.unwrap_or_default()
}

pub fn is_mandatory(field: &FieldDescriptor) -> bool {
    let is_set_of_messages = field.is_list() && matches!(field.kind(), Kind::Message(_));
    is_set_of_messages || field.comment().is_mandatory()
}

fn or_null(kind: &Value) -> Value {
    let kinds = kind.as_array().cloned().unwrap_or_else(|| vec![kind.clone()]);
    kinds.into_iter().chain([json!("null")]).collect()
}

pub fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}
