//! `fields_set`: which fields of an answer the caller wants.

use std::collections::BTreeSet;

use prost::{
    DecodeError, Message, Name,
    encoding::{DecodeContext, decode_key, skip_field},
};

use crate::{
    contract::{
        BulkCreateReferralEventsResponse, CreateReferralEventResponse, ProcessedCustomerEvent,
        UnprocessedCustomerEvent, descriptor,
    },
    error::{Error, ErrorKind, Result},
    text::{nearest, printable},
};

/// The most names that `fields_set` may have: many times as many as there are fields.
pub const MAXIMUM_NAMES: usize = 1000;

/// The documented fields of the answer's event objects.
const DOCUMENTED: [&str; 5] = ["request_unique_identifier", "id", "number", "error_code", "error_description"];
/// The same of the answer to a call of one event.
const DOCUMENTED_OF_ONE: [&str; 2] = ["id", "number"];
/// The one field that can be named beside those of the event objects.
const SUMMARY: &str = "summary";

/// What is answered where the caller names no fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByDefault {
    /// The documented shape, for those who know no other.
    Documented,
    Everything,
}

/// The names of the fields to answer; `None` for all of them.
pub struct Fields(Option<BTreeSet<String>>);

impl Fields {
    /// Reads the names of fields of the answer to a bulk call.
    pub fn of_bulk(fields_set: &[String], by_default: ByDefault) -> Result<Self> {
        let exist = || {
            let of_events = [names_of::<ProcessedCustomerEvent>()?, names_of::<UnprocessedCustomerEvent>()?];
            Ok(of_events.concat().into_iter().chain([SUMMARY.to_owned()]).collect())
        };
        Self::read(fields_set, exist, (by_default == ByDefault::Documented).then_some(&DOCUMENTED))
    }

    pub fn of_one(fields_set: &[String], by_default: ByDefault) -> Result<Self> {
        let documented = (by_default == ByDefault::Documented).then_some(DOCUMENTED_OF_ONE.as_slice());
        Self::read(fields_set, names_of::<CreateReferralEventResponse>, documented)
    }

    /// Those of what is answered whole where none are named.
    pub fn of<M: Name>(fields_set: &[String]) -> Result<Self> {
        Self::read(fields_set, names_of::<M>, None)
    }

    /// Reads names, each of which may be several, separated by commas.
    fn read(fields_set: &[String], exist: fn() -> Result<Vec<String>>, by_default: Option<&[&str]>) -> Result<Self> {
        let names = fields_set.iter().flat_map(|names| names.split(',')).map(str::trim);
        let mut names = names.filter(|name| !name.is_empty()).peekable();
        if names.peek().is_none() {
            return Ok(Self(by_default.map(|names| names.iter().copied().map(str::to_owned).collect())));
        }
        let known = exist()?;
        let mut wanted = BTreeSet::new();
        for name in names {
            // A text may have millions of names, and there are few fields.
            if wanted.contains(name) {
                continue;
            }
            if !known.iter().any(|known| known == name) {
                return Err(unknown(name, &known));
            }
            wanted.insert(name.to_owned());
        }
        Ok(Self(Some(wanted)))
    }

    /// Leaves in the answer to a bulk call what the caller wants.
    pub fn keep_in_bulk(&self, response: &mut BulkCreateReferralEventsResponse) -> Result<()> {
        let unnamed = |event: &UnprocessedCustomerEvent| match event.request_unique_identifier {
            Some(_) => None,
            None => event.index,
        };
        let places: Vec<Option<u32>> = response.unprocessed_customer_events_set.iter().map(unnamed).collect();
        self.keep(&mut response.processed_customer_events_set)?;
        self.keep(&mut response.unprocessed_customer_events_set)?;
        // What has no name that could be read is told by its place, whether it was asked for or not.
        for (event, place) in response.unprocessed_customer_events_set.iter_mut().zip(places) {
            event.index = event.index.or(place);
        }
        let Self(names) = self;
        response.summary.take_if(|_| names.as_ref().is_some_and(|names| !names.contains(SUMMARY)));
        Ok(())
    }

    /// Leaves in messages what the caller wants.
    pub fn keep<M: Message + Name + Default>(&self, messages: &mut [M]) -> Result<()> {
        let Self(Some(names)) = self else { return Ok(()) };
        let descriptor = descriptor::<M>().map_err(Error::internal)?;
        let fields = names.iter().filter_map(|name| descriptor.get_field_by_name(name));
        let numbers: Vec<u32> = fields.map(|field| field.number()).collect();
        let mut wire = Vec::new();
        for message in messages {
            wire.clear();
            message.encode_raw(&mut wire);
            *message = decode(&wire, &numbers).map_err(Error::internal)?;
        }
        Ok(())
    }
}

/// Reads the fields of these numbers, and skips the others.
fn decode<M: Message + Default>(mut wire: &[u8], numbers: &[u32]) -> Result<M, DecodeError> {
    let mut message = M::default();
    while !wire.is_empty() {
        let (number, wire_type) = decode_key(&mut wire)?;
        if numbers.contains(&number) {
            message.merge_field(number, wire_type, &mut wire, DecodeContext::default())?;
        } else {
            skip_field(wire_type, number, &mut wire, DecodeContext::default())?;
        }
    }
    Ok(message)
}

fn names_of<M: Name>() -> Result<Vec<String>> {
    let message = descriptor::<M>().map_err(Error::internal)?;
    Ok(message.fields().map(|field| field.name().to_owned()).collect())
}

fn unknown(name: &str, names: &[String]) -> Error {
    let name = printable(name);
    let hint = nearest(&name, names.iter().map(String::as_str)).map(|meant| format!("; perhaps {meant} is meant"));
    let message = format!("The field {name} does not exist in the answer{}.", hint.unwrap_or_default());
    Error::new(ErrorKind::InvalidFieldsSet, message).at_field("fields_set")
}
