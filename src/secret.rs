//! Secrets: values that cannot be printed by accident, and the keyed hash under which codes are stored.

use std::fmt::{self, Display};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::id::{OrganisationId, SubjectKey};

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

/// Hashes the codes of access tokens, and what else must not be made up, with a key that the database does not hold, so
/// that a copy of the database does not give away four-digit codes. What a code is for, its organisation and (for a pass
/// code) its access token go into the hash: equal codes of two tokens don't look equal.
#[derive(Clone)]
pub struct CodeHasher(Hmac<Sha256>);

impl CodeHasher {
    pub fn new(key: &Key) -> Self {
        // HMAC fills a short key up to its block with zeros; done here, no length can be wrong.
        let mut block = Zeroizing::new([0; 64]);
        block[..32].copy_from_slice(&key.0);
        Self(Hmac::new((&*block).into()))
    }

    pub fn authentication_code(&self, organisation_id: OrganisationId, code: &Secret) -> String {
        self.hash(&["authentication_code", &organisation_id.to_string(), code.expose()])
    }

    pub fn one_time_password(&self, organisation_id: OrganisationId, code: &Secret) -> String {
        self.hash(&["one_time_password", &organisation_id.to_string(), code.expose()])
    }

    /// `access_token_id` is the public id of the access token that the pass code belongs to.
    pub fn pass_code(&self, organisation_id: OrganisationId, access_token_id: &str, code: &Secret) -> String {
        self.hash(&["pass_code", &organisation_id.to_string(), access_token_id, code.expose()])
    }

    /// A fingerprint of a call, whose content may hold codes.
    pub fn fingerprint(&self, organisation_id: OrganisationId, content: &[u8]) -> Vec<u8> {
        let mut mac = self.0.clone();
        mac.update(b"fingerprint");
        mac.update(&organisation_id.0.to_be_bytes());
        mac.update(content);
        mac.finalize().into_bytes().to_vec()
    }

    /// What tells a page token of ours: of the list of an organisation, and the number after which the page begins.
    pub fn page_token(&self, organisation_id: OrganisationId, list: &str, after: impl Display) -> String {
        self.hash(&["page_token", &organisation_id.to_string(), list, &after.to_string()])
    }

    /// What tells this key from others, and nothing else of it.
    pub fn key_check(&self) -> String {
        self.hash(&["key_check"])
    }

    /// What failed guesses are counted under. Two may share one, which nobody can bring about.
    pub fn subject(&self, parts: &[&str]) -> SubjectKey {
        let digest = self.mac(&[&["guesses"], parts].concat()).finalize().into_bytes();
        SubjectKey(digest.iter().take(8).fold(0, |number, byte| number << 8 | i64::from(*byte)))
    }

    fn hash(&self, parts: &[&str]) -> String {
        hex::encode(self.mac(parts).finalize().into_bytes())
    }

    fn mac(&self, parts: &[&str]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in parts {
            // The length first: no two lists of parts give the same bytes.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }
}

/// Compares in a time that does not tell where the two differ.
pub fn equal_in_constant_time(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}
