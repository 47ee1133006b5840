//! What gRPC sends for events, before it is read.

use prost::{
    DecodeError, Message,
    bytes::{Buf, BufMut, Bytes},
    encoding::{DecodeContext, WireType},
};

pub use crate::contract::services::{
    RawCreateReferralEventRequest as CreateReferralEventRequest,
    RawLoadReferralEventsRequest as LoadReferralEventsRequest,
    raw_load_referral_events_request::Message as LoadMessage,
};
use crate::{
    contract::{
        MAXIMUM_EVENTS, ReferralCustomerEvent,
        services::{RawBulkCreateReferralEventsRequest, RawLoadChunkRequest},
    },
    error::{Error, ErrorKind, Result},
    referral::{event::EventRequest, violation::Violation},
    transport::fields::MAXIMUM_NAMES,
};

/// A bulk request as it is read from the wire. Of what may stand in it again and again no more is kept than a call may
/// have; the rest is counted.
#[derive(Debug, Default)]
pub struct BulkCreateReferralEventsRequest {
    request: RawBulkCreateReferralEventsRequest,
    dropped_events: usize,
    dropped_names: usize,
}

impl BulkCreateReferralEventsRequest {
    /// The request, and how many events it had.
    pub fn into_parts(self) -> Result<(RawBulkCreateReferralEventsRequest, usize)> {
        if self.dropped_names > 0 {
            let message = format!("The attribute fields_set has more than {MAXIMUM_NAMES} names.");
            return Err(Error::new(ErrorKind::MalformedRequest, message).at_field("fields_set"));
        }
        let number_of_events = self.request.referral_customer_events_set.len() + self.dropped_events;
        Ok((self.request, number_of_events))
    }
}

impl Message for BulkCreateReferralEventsRequest {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        self.request.encode_raw(buffer);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        self.request.merge_field(tag, wire_type, buffer, context)?;
        self.dropped_events += drop_more_than(MAXIMUM_EVENTS, &mut self.request.referral_customer_events_set);
        self.dropped_names += drop_more_than(MAXIMUM_NAMES, &mut self.request.fields_set);
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.request.encoded_len()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A chunk of a load as it is read from the wire, in the same way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadChunkRequest {
    request: RawLoadChunkRequest,
    dropped_events: usize,
}

impl LoadChunkRequest {
    /// The chunk, and how many events it had.
    pub fn into_parts(self) -> (RawLoadChunkRequest, usize) {
        let number_of_events = self.request.referral_customer_events_set.len() + self.dropped_events;
        (self.request, number_of_events)
    }
}

impl Message for LoadChunkRequest {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        self.request.encode_raw(buffer);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        self.request.merge_field(tag, wire_type, buffer, context)?;
        self.dropped_events += drop_more_than(MAXIMUM_EVENTS, &mut self.request.referral_customer_events_set);
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.request.encoded_len()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

fn drop_more_than<T>(limit: usize, elements: &mut Vec<T>) -> usize {
    let more = elements.len().saturating_sub(limit);
    elements.truncate(limit);
    more
}

/// An event of a request, not yet read: a part of the message.
pub struct RawEvent(pub Bytes);

impl From<RawEvent> for EventRequest {
    fn from(RawEvent(bytes): RawEvent) -> Self {
        if let Ok(event) = ReferralCustomerEvent::decode(bytes.clone()) {
            return event.into();
        }
        // Its name stands at its beginning, if it has one that can be read.
        let mut named = NameOnly::default();
        _ = named.merge(bytes);
        Self {
            request_unique_identifier: named.request_unique_identifier,
            violations: vec![Violation::not_a_message()],
            ..Self::default()
        }
    }
}

/// An event's name, all else in it being skipped.
#[derive(Clone, PartialEq, Message)]
struct NameOnly {
    #[prost(string, optional, tag = "1")]
    request_unique_identifier: Option<String>,
}
