//! The contract in Rust: what `build.rs` generates from `proto/`, and the descriptor set that reflection serves.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use prost_types::Timestamp;
use serde::{Serialize, Serializer};

pub use generated::*;

/// The comments of the contract are laid out for readers of the contract.
#[allow(clippy::doc_lazy_continuation, clippy::doc_overindented_list_items)]
mod generated {
    tonic::include_proto!("referral.v1");
}

/// The services as the server has them, and the requests whose events it leaves as pieces of the message at first.
pub mod services {
    include!(concat!(env!("OUT_DIR"), "/services/referral.v1.rs"));
}

/// Every file of the contract, encoded as a `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

/// The most events that one call may hold.
pub const MAXIMUM_EVENTS: usize = 1000;

/// The largest request that is read, in bytes. A call of 1000 events with every attribute filled with the longest
/// text of four-byte characters has 40 MB.
pub const MAXIMUM_REQUEST_SIZE: usize = 48 * 1024 * 1024;

/// A date of an answer in JSON: `2016-06-22T15:00:00Z`, with a fraction where there is one.
fn serialize_date<S: Serializer>(date: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    let date = date
        .as_ref()
        .and_then(|date| DateTime::<Utc>::from_timestamp(date.seconds, u32::try_from(date.nanos).unwrap_or_default()));
    date.map(|date| date.to_rfc3339_opts(SecondsFormat::AutoSi, true)).serialize(serializer)
}

/// A `Debug` that names the message and shows nothing of it.
macro_rules! redact {
    ($($message:ident),*) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($message)).finish_non_exhaustive()
            }
        }
    )*};
}

use services::{RawBulkCreateReferralEventsRequest, RawCreateReferralEventRequest};

redact!(
    RawBulkCreateReferralEventsRequest,
    RawCreateReferralEventRequest,
    AccessTokenIdentifier,
    BulkCreateReferralEventsRequest,
    CancelReferralEventRequest,
    CreateReferralEventRequest,
    CreateTokenRequest,
    CreateTokenResponse,
    GetReferralEventRequest,
    ListReferralEventsRequest,
    ReleaseTokenRequest
);
