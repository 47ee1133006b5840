//! The two calls that create events, from JSON: what is around the events is read here, the events later.

use std::collections::HashSet;

use axum::body::Bytes;
use serde_json::value::RawValue;

use super::{
    json::{Attributes, First, Name, Partial, Reading, each_member, members, printable, refuse_violations},
    whole::whole,
};
use crate::{
    contract::{self, MAXIMUM_EVENTS},
    error::Result,
    referral::{Options, event::EventRequest, violation::Violation},
    transport::api::CreateCall,
};

/// The most names of attributes that do not exist among which one that is given twice is found.
const MAXIMUM_NAMES: usize = 1000;

/// An event of the request, not yet read: a part of the body, which is gone once all its events are.
pub struct RawEvent(Bytes);

impl From<RawEvent> for EventRequest {
    fn from(RawEvent(text): RawEvent) -> Self {
        if let Some(event) = whole::<contract::ReferralCustomerEvent>(&text) {
            return event.into();
        }
        let mut event = Event::default();
        let text = std::str::from_utf8(&text).unwrap_or_default();
        if !text.starts_with('{') || each_member(text, |name, value| event.member(name, value)).is_err() {
            return Self { violations: vec![Violation::not_an_object()], ..Self::default() };
        }
        event.into()
    }
}

/// An event that is read member by member.
#[derive(Default)]
struct Event {
    partial: Partial<contract::ReferralCustomerEvent>,
    reader: Reading,
}

impl Event {
    fn member(&mut self, name: &RawValue, value: &RawValue) {
        self.reader.member(name, value, &mut self.partial);
    }
}

impl From<Event> for EventRequest {
    fn from(event: Event) -> Self {
        Self { violations: event.reader.into_violations(), ..event.partial.message.into() }
    }
}

/// The bulk request, its events not yet read.
#[derive(Default)]
struct BulkRequest<'a> {
    token: Option<String>,
    /// No more of them than a call may have.
    events: Vec<&'a RawValue>,
    number_of_events: usize,
    fields_set: Vec<String>,
    validate_only: Option<bool>,
    all_or_nothing: Option<bool>,
}

impl<'a> BulkRequest<'a> {
    fn read(&mut self, name: &str, value: &'a RawValue, reader: &mut Reading) {
        match name {
            "token" => reader.read("token", value, &mut self.token),
            "fields_set" => reader.read("fields_set", value, &mut self.fields_set),
            "validate_only" => reader.read("validate_only", value, &mut self.validate_only),
            "all_or_nothing" => reader.read("all_or_nothing", value, &mut self.all_or_nothing),
            "referral_customer_events_set" if value.get() == "null" => {}
            "referral_customer_events_set" => {
                match serde_json::from_str::<First<&RawValue, MAXIMUM_EVENTS>>(value.get()) {
                    Ok(events) => (self.events, self.number_of_events) = (events.elements, events.count),
                    Err(_) => reader.malformed("referral_customer_events_set", "A set of events is expected"),
                }
            }
            _ => reader.unknown_attribute(name),
        }
    }
}

/// Reads the envelope of a bulk request.
pub fn bulk_call(body: &Bytes) -> Result<CreateCall<RawEvent>> {
    let mut request = BulkRequest::default();
    let mut reader = Reading::default();
    let mut seen = HashSet::new();
    members(body, |name, value| {
        let Some(name) = reader.name(name) else { return };
        request.read(&name, value, &mut reader);
        if seen.contains(&name) {
            reader.malformed(&printable(&name), "The attribute is given more than once");
        } else if seen.len() < MAXIMUM_NAMES {
            seen.insert(name);
        }
    })?;
    refuse_violations(reader)?;
    let events = request.events.into_iter().map(|event| RawEvent(body.slice_ref(event.get().as_bytes()))).collect();
    let options = Options {
        validate_only: request.validate_only.unwrap_or_default(),
        all_or_nothing: request.all_or_nothing.unwrap_or_default(),
    };
    Ok(CreateCall {
        token: request.token,
        events,
        number_of_events: request.number_of_events,
        fields_set: request.fields_set,
        options,
    })
}

/// Reads the request of one event: the attributes of the call and those of the event, in one object.
pub fn create_call(body: &[u8]) -> Result<CreateCall<EventRequest>> {
    let mut call = Partial::<CreateRequest>::default();
    let mut reader = Reading::default();
    let mut event = None::<Event>;
    members(body, |name, value| {
        let is_of_call = serde_json::from_str(name.get()).is_ok_and(|Name(name)| OF_CALL.contains(&&*name));
        if is_of_call {
            reader.member(name, value, &mut call);
        } else {
            event.get_or_insert_default().member(name, value);
        }
    })?;
    refuse_violations(reader)?;
    let CreateRequest { token, fields_set, validate_only } = call.message;
    let events: Vec<EventRequest> = event.into_iter().map(Into::into).collect();
    let options = Options { validate_only: validate_only.unwrap_or_default(), ..Options::default() };
    Ok(CreateCall { token, number_of_events: events.len(), events, fields_set, options })
}

/// The attributes of the call that stand beside those of its event.
#[derive(Default)]
struct CreateRequest {
    token: Option<String>,
    fields_set: Vec<String>,
    validate_only: Option<bool>,
}

const OF_CALL: [&str; 3] = ["token", "fields_set", "validate_only"];

impl Attributes for CreateRequest {
    fn read(&mut self, name: &str, value: &RawValue, reader: &mut Reading) -> Option<u32> {
        match name {
            "token" => reader.read("token", value, &mut self.token),
            "fields_set" => reader.read("fields_set", value, &mut self.fields_set),
            "validate_only" => reader.read("validate_only", value, &mut self.validate_only),
            _ => return None,
        }
        OF_CALL.iter().zip(0..).find(|(attribute, _)| **attribute == name).map(|(_, position)| position)
    }
}
