//! `fields_set`: which fields of an answer the caller wants.

use crate::{
    contract::{
        BulkCreateReferralEventsResponse, CreateReferralEventResponse, ProcessedCustomerEvent, UnprocessedCustomerEvent,
    },
    error::{Error, ErrorKind, Result},
};

/// The documented fields of the answer's event objects, and those that the documentation does not have.
const DOCUMENTED: [&str; 5] = ["request_unique_identifier", "id", "number", "error_code", "error_description"];
const MORE: [&str; 6] = ["index", "replayed", "violations", "retryable", "conflicting_event", "summary"];

/// What is answered where the caller names no fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByDefault {
    /// The documented shape, for those who know no other.
    Documented,
    Everything,
}

/// The fields to answer.
pub struct Fields(Vec<&'static str>);

impl Fields {
    /// Reads names, each of which may be several, separated by commas.
    pub fn parse(fields_set: &[String], by_default: ByDefault) -> Result<Self> {
        Self::read(fields_set, by_default, &DOCUMENTED, &MORE)
    }

    fn read(
        fields_set: &[String],
        by_default: ByDefault,
        documented: &[&'static str],
        more: &[&'static str],
    ) -> Result<Self> {
        let all = || documented.iter().chain(more).copied();
        let fields = names(fields_set).map(|name| all().find(|field| *field == name).ok_or_else(|| unknown(name)));
        let fields: Vec<&str> = fields.collect::<Result<_>>()?;
        Ok(Self(match (fields.is_empty(), by_default) {
            (false, _) => fields,
            (true, ByDefault::Documented) => documented.to_vec(),
            (true, ByDefault::Everything) => all().collect(),
        }))
    }

    /// The same for the answer to a call of one event.
    pub fn parse_of_one(fields_set: &[String], by_default: ByDefault) -> Result<Self> {
        Self::read(fields_set, by_default, &["id", "number"], &["replayed"])
    }

    fn wants(&self, field: &str) -> bool {
        self.0.contains(&field)
    }

    /// Leaves in the answer what the caller wants.
    pub fn keep(&self, response: &mut BulkCreateReferralEventsResponse) {
        for event in &mut response.processed_customer_events_set {
            let ProcessedCustomerEvent { request_unique_identifier, id, number, index, replayed } = event;
            self.keep_field("request_unique_identifier", request_unique_identifier);
            self.keep_field("id", id);
            self.keep_field("number", number);
            self.keep_field("index", index);
            self.keep_field("replayed", replayed);
        }
        for event in &mut response.unprocessed_customer_events_set {
            let UnprocessedCustomerEvent {
                request_unique_identifier,
                error_code,
                error_description,
                index,
                violations,
                retryable,
                conflicting_event,
            } = event;
            self.keep_field("request_unique_identifier", request_unique_identifier);
            self.keep_field("error_code", error_code);
            self.keep_field("error_description", error_description);
            self.keep_field("index", index);
            self.keep_field("violations", violations);
            self.keep_field("retryable", retryable);
            self.keep_field("conflicting_event", conflicting_event);
        }
        self.keep_field("summary", &mut response.summary);
    }

    pub fn keep_of_one(&self, response: &mut CreateReferralEventResponse) {
        let CreateReferralEventResponse { id, number, replayed } = response;
        self.keep_field("id", id);
        self.keep_field("number", number);
        self.keep_field("replayed", replayed);
    }

    fn keep_field<T: Default>(&self, name: &str, value: &mut T) {
        if !self.wants(name) {
            *value = T::default();
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
