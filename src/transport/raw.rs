//! What gRPC sends for events, before it is read.

use prost::{
    DecodeError, Message,
    bytes::{Buf, BufMut, Bytes},
    encoding::{DecodeContext, WireType, skip_field},
};

pub use crate::contract::services::RawCreateReferralEventRequest as CreateReferralEventRequest;
use crate::{
    contract::{MAXIMUM_EVENTS, ReferralCustomerEvent, services::RawBulkCreateReferralEventsRequest},
    error::{Error, ErrorKind, Result},
    referral::{event::EventRequest, violation::Violation},
};

/// The most names that `fields_set` may have: many times as many as there are fields.
const MAXIMUM_NAMES: usize = 1000;

/// A bulk request as it is read from the wire. Of what may stand in it again and again no more is kept than a call may
/// have; the rest is counted.
#[derive(Debug, Default)]
pub struct BulkCreateReferralEventsRequest {
    request: RawBulkCreateReferralEventsRequest,
    number_of_events: usize,
    number_of_names: usize,
}

impl BulkCreateReferralEventsRequest {
    /// The request, and how many events it had.
    pub fn into_parts(self) -> Result<(RawBulkCreateReferralEventsRequest, usize)> {
        if self.number_of_names > MAXIMUM_NAMES {
            let message = format!("The attribute fields_set has more than {MAXIMUM_NAMES} names.");
            return Err(Error::new(ErrorKind::MalformedRequest, message).at_field("fields_set"));
        }
        Ok((self.request, self.number_of_events))
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
        let kept = match tag {
            tags::REFERRAL_CUSTOMER_EVENTS_SET => {
                self.number_of_events += 1;
                self.number_of_events <= MAXIMUM_EVENTS
            }
            tags::FIELDS_SET => {
                self.number_of_names += 1;
                self.number_of_names <= MAXIMUM_NAMES
            }
            _ => true,
        };
        if kept {
            self.request.merge_field(tag, wire_type, buffer, context)
        } else {
            skip_field(wire_type, tag, buffer, context)
        }
    }

    fn encoded_len(&self) -> usize {
        self.request.encoded_len()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The numbers of the fields of the bulk request.
mod tags {
    include!(concat!(env!("OUT_DIR"), "/tags.rs"));
}

/// An event of a request, not yet read: a part of the message.
pub struct RawEvent(pub Bytes);

impl From<RawEvent> for EventRequest {
    fn from(RawEvent(bytes): RawEvent) -> Self {
        if let Ok(event) = ReferralCustomerEvent::decode(bytes.clone()) {
            return event.into();
        }
        // Its name stands at its beginning, if it has one that can be read.
        let mut named = Named::default();
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
struct Named {
    #[prost(string, optional, tag = "1")]
    request_unique_identifier: Option<String>,
}
