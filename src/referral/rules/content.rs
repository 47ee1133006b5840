//! Whether two events under one external reference say the same. Pure.

use sha2::{Digest, Sha256};

use crate::{
    id::{AccountKey, EntryKey},
    referral::event::Details,
};

/// 128 bits suffice to tell contents apart, and every event row carries them.
pub type ContentHash = [u8; 16];

/// A fingerprint of an event's content: every documented attribute but `request_unique_identifier`, with identifiers
/// as the rows they name. Places that were derived are left out, so that a retry stays the same event though the
/// directory has got another default TAP since.
///
/// `named_keys` are the keys of the classification and the places, in a fixed order; `account_keys` those of the
/// referred account and of its referrer.
pub fn content_hash(
    named_keys: [Option<EntryKey>; 5],
    account_keys: [AccountKey; 2],
    details: &Details,
) -> ContentHash {
    let mut hash = Sha256::new();
    let mut add = |part: Option<&[u8]>| match part {
        // The length first, and a byte for absence: no two contents give the same bytes.
        Some(bytes) => {
            hash.update([1]);
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        }
        None => hash.update([0]),
    };
    for key in named_keys {
        add(key.map(|key| key.0.to_be_bytes()).as_ref().map(|bytes| bytes.as_slice()));
    }
    for key in account_keys {
        add(Some(&key.0.to_be_bytes()));
    }
    add(Some(&details.performed_on.timestamp_micros().to_be_bytes()));
    add(details.description.as_deref().map(str::as_bytes));
    add(Some(details.external_system.as_bytes()));
    add(details.external_system_reference_number.as_deref().map(str::as_bytes));
    for text in &details.udf_strings {
        add(text.as_deref().map(str::as_bytes));
    }
    for number in details.udf_floats {
        // Minus zero is zero.
        add(number.map(|number| (number + 0.0).to_be_bytes()).as_ref().map(|bytes| bytes.as_slice()));
    }
    for date in details.udf_dates {
        add(date.map(|date| date.timestamp_micros().to_be_bytes()).as_ref().map(|bytes| bytes.as_slice()));
    }
    let mut content_hash = ContentHash::default();
    content_hash.copy_from_slice(&hash.finalize()[..16]);
    content_hash
}
