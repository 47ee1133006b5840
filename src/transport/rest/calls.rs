//! The two calls that create events, from JSON: what is around the events is read here, the events later.

use axum::body::Bytes;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::value::RawValue;

use super::{
    json::{Object, Reading, members, refuse_violations},
    parts::{each_member, is_empty_array},
    query,
};
use crate::{
    contract::{
        BulkCreateReferralEventsRequest, CreateReferralEventRequest, ReferralCustomerEvent, descriptor,
        json::{self, Text},
    },
    error::{Error, Result},
    referral::{Options, event::EventRequest, violation::Violation},
    transport::api::CreateCall,
};

/// An event of the request, not yet read: a part of the body, which is gone once all its events are.
pub struct RawEvent {
    text: Bytes,
    kind: MessageDescriptor,
}

impl From<RawEvent> for EventRequest {
    fn from(RawEvent { text, kind }: RawEvent) -> Self {
        if let Ok(event) = json::message::<ReferralCustomerEvent>(&text) {
            return event.into();
        }
        let mut event = Event::new(kind);
        event.reader.around = descriptor::<BulkCreateReferralEventsRequest>().ok();
        let text = std::str::from_utf8(&text).unwrap_or_default();
        if !(text.starts_with('{') || is_empty_array(text))
            || each_member(text, |name, value| event.member(name, value)).is_err()
        {
            return Self { violations: vec![Violation::not_an_object()], ..Self::default() };
        }
        event.into()
    }
}

/// An event that is read member by member.
struct Event<'a> {
    object: Object,
    reader: Reading<'a>,
}

impl<'a> Event<'a> {
    fn new(kind: MessageDescriptor) -> Self {
        Self { object: Object::new(kind), reader: Reading::default() }
    }

    fn member(&mut self, name: &RawValue, value: &'a RawValue) {
        self.reader.member(name, value, &mut self.object);
    }
}

impl From<Event<'_>> for EventRequest {
    fn from(Event { object, reader }: Event<'_>) -> Self {
        match object.message::<ReferralCustomerEvent>() {
            Ok(event) => Self { violations: reader.into_violations(), ..event.into() },
            Err(error) => {
                // Its parts were written by us.
                tracing::error!("an event is not put together: {error:?}");
                Self { violations: vec![Violation::not_a_message()], ..Self::default() }
            }
        }
    }
}

/// Reads the envelope of a bulk request.
pub fn bulk_call(body: &Bytes) -> Result<CreateCall<RawEvent>> {
    let mut request = Object::of::<BulkCreateReferralEventsRequest>()?;
    let mut reader = Reading::default();
    members(body, |name, value| reader.member(name, value, &mut request))?;
    let set = reader.set.take();
    refuse_violations(reader.into_violations())?;
    let request: BulkCreateReferralEventsRequest = request.message()?;
    let (events, number_of_events) = set.map_or_else(Default::default, |set| {
        let event =
            |event: &RawValue| RawEvent { text: body.slice_ref(event.get().as_bytes()), kind: set.kind.clone() };
        (set.messages.elements.into_iter().map(event).collect(), set.messages.count)
    });
    let options = Options {
        validate_only: request.validate_only.unwrap_or_default(),
        all_or_nothing: request.all_or_nothing.unwrap_or_default(),
        ..Options::default()
    };
    Ok(CreateCall { token: request.token, events, number_of_events, fields_set: request.fields_set, options })
}

/// Reads the request of one event: the attributes of the call and those of the event, in one object; those of the call
/// may come in the query too.
pub fn create_call(body: &[u8], in_query: &str) -> Result<CreateCall<EventRequest>> {
    let kind = descriptor::<CreateReferralEventRequest>().map_err(Error::internal)?;
    let kind_of_event = descriptor::<ReferralCustomerEvent>().map_err(Error::internal)?;
    // The attributes of the event stand in the place of the event.
    let is_message = |field: &FieldDescriptor| matches!(field.kind(), Kind::Message(_));
    let is_of_call = |name: &str| kind.get_field_by_name(name).is_some_and(|attribute| !is_message(&attribute));
    let in_query = query::to_json(in_query)?;
    let mut request = Object::new(kind.clone());
    let mut reader = Reading::default();
    let mut event = Event::new(kind_of_event);
    event.reader.in_place_of = kind.fields().find(is_message);
    members(in_query.as_bytes(), |name, value| reader.member(name, value, &mut request))?;
    members(body, |name, value| {
        if serde_json::from_str(name.get()).is_ok_and(|Text(name)| is_of_call(&name)) {
            reader.member(name, value, &mut request);
        } else {
            event.member(name, value);
        }
    })?;
    refuse_violations(reader.into_violations())?;
    let CreateReferralEventRequest { token, fields_set, validate_only, .. } = request.message()?;
    let options = Options { validate_only: validate_only.unwrap_or_default(), ..Options::default() };
    Ok(CreateCall { token, number_of_events: 1, events: vec![event.into()], fields_set, options })
}
