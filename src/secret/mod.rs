//! Secrets: values that cannot be printed by accident, keys, and the keyed hash under which codes are stored.

mod code_hasher;
mod key_ring;

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

pub use code_hasher::{CodeHasher, Hashes, key_check};
pub use key_ring::{KeyRing, MAKE_A_KEY, NumberedKey};

/// A password, a code or a token as the caller gave it. It has no `Display`, its `Debug` shows nothing, and its memory
/// is wiped when it goes.
#[derive(Clone, PartialEq, Eq, Hash, ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself. Each call of this is a place where a secret could leak.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A key of 256 bits: for signing tokens, or for hashing codes.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Key([u8; 32]);

impl Key {
    /// Reads 64 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim(), &mut key).ok()?;
        Some(Self(key))
    }

    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self(key))
    }

    pub fn to_hex(&self) -> Secret {
        Secret(hex::encode(self.0))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Compares in a time that does not tell where the two differ.
pub fn equal_in_constant_time(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}
