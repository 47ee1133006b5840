//! The contract in Rust: what `build.rs` generates from `proto/`, and the descriptor set that reflection serves.

use std::fmt;

pub use generated::*;

/// The comments of the contract are laid out for readers of the contract.
#[allow(clippy::doc_lazy_continuation, clippy::doc_overindented_list_items)]
mod generated {
    tonic::include_proto!("referral.v1");
}

/// Every file of the contract, encoded as a `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

/// The most events that one call may hold.
pub const MAXIMUM_EVENTS: usize = 1000;

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

redact!(
    AccessTokenIdentifier,
    BulkCreateReferralEventsRequest,
    CreateTokenRequest,
    CreateTokenResponse,
    ReleaseTokenRequest
);
