//! From the query of a GET to the JSON of a request, which is then read like any other.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use prost::Name;
use serde_json::json;

use crate::{
    contract::descriptor,
    error::{Error, ErrorKind, Result},
};

/// The query as an object. An identifier comes a field at a time: `customer_event_identifier=number=8`, as the
/// documentation has it, or `customer_event_identifier.number=8`, as the contract's annotation means it. The names of
/// `fields_set` may come one at a time too. What else is given twice stands there twice, and is refused when the object is
/// read.
pub fn to_json(query: &str) -> Result<String> {
    let mut members = Vec::new();
    let mut identifiers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut fields_set = Vec::new();
    // What is not UTF-8 would be replaced below, not refused.
    if percent_decode_str(query).decode_utf8().is_err() {
        return Err(malformed("The query is not UTF-8."));
    }
    for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
        if name == "fields_set" {
            fields_set.push(value);
        } else if let Some((identifier, field)) = name.split_once('.') {
            identifiers.entry(identifier.to_owned()).or_default().push(member(field, &value));
        } else if name.ends_with("_identifier") {
            let (field, value) = value.split_once('=').ok_or_else(|| {
                malformed("An identifier in the query is not the name of a field, an equals sign and a value.")
            })?;
            identifiers.entry(name).or_default().push(member(field, value));
        } else {
            members.push(member(&name, &value));
        }
    }
    members.extend(identifiers.into_iter().map(|(name, fields)| format!("{}:{{{}}}", json!(name), fields.join(","))));
    if !fields_set.is_empty() {
        members.push(format!("\"fields_set\":{}", json!(fields_set)));
    }
    Ok(format!("{{{}}}", members.join(",")))
}

/// The same for a method that is about one thing, the fields of whose identifier may stand there by themselves:
/// `number=8`.
pub fn of_identifier<I: Name>(query: &str, attribute: &str) -> Result<String> {
    let identifier = descriptor::<I>().map_err(Error::internal)?;
    let parts = query.split('&').map(|part| {
        let is_field = part.split_once('=').is_some_and(|(name, _)| identifier.get_field_by_name(name).is_some());
        if is_field { format!("{attribute}.{part}") } else { part.to_owned() }
    });
    to_json(&parts.collect::<Vec<_>>().join("&"))
}

fn member(name: &str, value: &str) -> String {
    format!("{}:{}", json!(name), json!(value))
}

fn malformed(message: &str) -> Error {
    Error::new(ErrorKind::MalformedRequest, message)
}
