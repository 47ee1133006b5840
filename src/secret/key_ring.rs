//! The keys for one purpose, of which there may be two while one takes the place of the other.

use super::{Key, Secret};

/// A key, and the number by which it is told from those before and after it.
#[derive(Clone, Debug)]
pub struct NumberedKey {
    pub number: u16,
    pub key: Key,
}

/// What is made, is made with the first; what was made with the second is accepted.
#[derive(Clone, Debug)]
pub struct KeyRing {
    pub first: NumberedKey,
    pub second: Option<NumberedKey>,
}

/// The number of a key that has none, as all of earlier versions.
pub const FIRST_NUMBER: u16 = 1;

/// Why a text is not read as keys. It shows none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("must be 64 hex digits")]
    NotHex,
    #[error("is all zeros, which is no secret: {MAKE_A_KEY}")]
    Zeros,
    #[error("has more than two keys")]
    TooMany,
    #[error("has a key whose number is not one from 1 to 65535; the form is NUMBER:KEY")]
    Number,
    #[error("has two keys of the number {0}; of two keys each needs its own, as in 2:KEY")]
    SameNumber(u16),
    #[error("has the same key twice: {MAKE_A_KEY}")]
    SameKey,
}

pub const MAKE_A_KEY: &str = "openssl rand -hex 32 makes one";

impl KeyRing {
    pub fn of_one(key: Key) -> Self {
        Self { first: NumberedKey { number: FIRST_NUMBER, key }, second: None }
    }

    /// Reads one key or two, with blanks, commas or line ends between: each NUMBER:KEY, or a KEY alone, whose number is 1.
    pub fn read(text: &str) -> Result<Self, KeyFault> {
        let mut keys = text.split([',', ' ', '\t', '\r', '\n']).filter(|part| !part.is_empty()).map(NumberedKey::read);
        let first = keys.next().ok_or(KeyFault::NotHex)??;
        let second = keys.next().transpose()?;
        if keys.next().is_some() {
            return Err(KeyFault::TooMany);
        }
        match &second {
            Some(second) if second.number == first.number => Err(KeyFault::SameNumber(first.number)),
            Some(second) if second.key.as_bytes() == first.key.as_bytes() => Err(KeyFault::SameKey),
            _ => Ok(Self { first, second }),
        }
    }

    pub fn all(&self) -> impl Iterator<Item = &NumberedKey> {
        [&self.first].into_iter().chain(&self.second)
    }

    pub fn find(&self, number: u16) -> Option<&Key> {
        self.all().find(|key| key.number == number).map(|key| &key.key)
    }

    /// The keys with a new one, which is their first; the second goes.
    pub fn with_first(self, key: Key) -> Self {
        let first = NumberedKey { number: self.next_number(), key };
        Self { first, second: Some(self.first) }
    }

    /// A number that no key has had.
    pub fn next_number(&self) -> u16 {
        self.all().map(|key| key.number).max().unwrap_or_default().saturating_add(1)
    }

    /// As [`read`](Self::read) reads them.
    pub fn to_text(&self) -> Secret {
        Secret::new(self.all().map(|key| key.to_text().expose().to_owned()).collect::<Vec<_>>().join(","))
    }
}

impl NumberedKey {
    fn read(text: &str) -> Result<Self, KeyFault> {
        let (number, key) = match text.split_once(':') {
            Some((number, key)) => (number.parse().ok().filter(|number| *number > 0).ok_or(KeyFault::Number)?, key),
            None => (FIRST_NUMBER, text),
        };
        let key = Key::from_hex(key).ok_or(KeyFault::NotHex)?;
        if key.as_bytes().iter().all(|byte| *byte == 0) {
            return Err(KeyFault::Zeros);
        }
        Ok(Self { number, key })
    }

    pub fn to_text(&self) -> Secret {
        let key = self.key.to_hex();
        // As a program of an earlier version reads it.
        if self.number == FIRST_NUMBER { key } else { Secret::new(format!("{}:{}", self.number, key.expose())) }
    }
}
