//! `fields_set`: which fields of the answer's event objects the caller wants.

use crate::{
    contract::{ProcessedCustomerEvent, UnprocessedCustomerEvent},
    error::{Error, ErrorKind, Result},
};

/// The fields of the answer's event objects.
pub const FIELDS: [&str; 5] = ["request_unique_identifier", "id", "number", "error_code", "error_description"];

/// The fields to answer; empty for all of them.
pub struct Fields(Vec<&'static str>);

impl Fields {
    /// Reads names, each of which may be several, separated by commas.
    pub fn parse(fields_set: &[String]) -> Result<Self> {
        let fields =
            names(fields_set).map(|name| FIELDS.into_iter().find(|field| *field == name).ok_or_else(|| unknown(name)));
        Ok(Self(fields.collect::<Result<_>>()?))
    }

    fn wants(&self, field: &str) -> bool {
        self.0.is_empty() || self.0.contains(&field)
    }

    pub fn keep_of_processed(&self, event: &mut ProcessedCustomerEvent) {
        let fields = [
            ("request_unique_identifier", &mut event.request_unique_identifier),
            ("id", &mut event.id),
            ("number", &mut event.number),
        ];
        self.keep(fields);
    }

    pub fn keep_of_unprocessed(&self, event: &mut UnprocessedCustomerEvent) {
        let fields = [
            ("request_unique_identifier", &mut event.request_unique_identifier),
            ("error_code", &mut event.error_code),
            ("error_description", &mut event.error_description),
        ];
        self.keep(fields);
    }

    fn keep(&self, fields: [(&str, &mut Option<String>); 3]) {
        for (name, value) in fields {
            if !self.wants(name) {
                *value = None;
            }
        }
    }
}

/// The names, each of which may be several, separated by commas.
pub fn names(fields_set: &[String]) -> impl Iterator<Item = &str> {
    fields_set.iter().flat_map(|names| names.split(',')).map(str::trim).filter(|name| !name.is_empty())
}

pub fn unknown(name: &str) -> Error {
    let name: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
    Error::new(ErrorKind::InvalidFieldsSet, format!("The field {name} does not exist in the answer."))
        .at_field("fields_set")
}
