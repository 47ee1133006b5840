//! The contract in Rust: what `build.rs` generates from `proto/`, and the descriptors of it, from which the transports
//! know the names of its fields.

use std::{fmt, sync::LazyLock};

use prost::Name;
use prost_reflect::{DescriptorError, DescriptorPool, MessageDescriptor};
use tonic_reflection::pb::{v1, v1alpha};

pub use generated::*;

pub mod date;
pub mod json;

/// The comments of the contract are laid out for readers of the contract. What derives from a message uses its
/// deprecated fields.
#[allow(clippy::doc_lazy_continuation, clippy::doc_overindented_list_items, deprecated)]
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

/// The largest answer as a message of protobuf, in bytes: what clients of gRPC read unless told otherwise.
pub const MAXIMUM_ANSWER_SIZE: usize = 4 * 1024 * 1024;

/// Every file of what is served: of the contract, and of gRPC's own services beside it. They are read once, when this is
/// first asked for, which a server does as it starts: with their comments they take two megabytes.
pub fn files() -> Result<&'static DescriptorPool, String> {
    static FILES: LazyLock<Result<DescriptorPool, DescriptorError>> = LazyLock::new(|| {
        let mut files = DescriptorPool::decode(DESCRIPTOR_SET)?;
        for beside in [tonic_health::pb::FILE_DESCRIPTOR_SET, v1::FILE_DESCRIPTOR_SET, v1alpha::FILE_DESCRIPTOR_SET] {
            files.decode_file_descriptor_set(beside)?;
        }
        Ok(files)
    });
    FILES.as_ref().map_err(|error| format!("the contract cannot be read: {error}"))
}

/// What the contract says of the message.
pub fn descriptor<M: Name>() -> Result<MessageDescriptor, String> {
    let name = M::full_name();
    files()?.get_message_by_name(&name).ok_or_else(|| format!("{name} is not in the contract"))
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

use services::*;

// The messages of which the contract says that something in them is to be redacted.
include!(concat!(env!("OUT_DIR"), "/secrets.rs"));
