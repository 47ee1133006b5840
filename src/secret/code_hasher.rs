//! The keyed hash under which codes are stored.

use std::fmt::{self, Display};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{
    Secret, equal_in_constant_time,
    key_ring::{FIRST_NUMBER, KeyRing, NumberedKey},
};
use crate::id::{OrganisationId, SubjectKey};

/// Hashes the codes of access tokens, and what else must not be made up, with a key that the database does not hold, so
/// that a copy of the database does not give away four-digit codes. What a code is for, its organisation and (for a pass
/// code) its access token go into the hash: equal codes of two tokens don't look equal.
///
/// While there are two keys, a code has two hashes, and either may be stored.
#[derive(Clone)]
pub struct CodeHasher {
    first: HashKey,
    second: Option<HashKey>,
}

#[derive(Clone)]
struct HashKey {
    number: u16,
    mac: Hmac<Sha256>,
}

/// What a code may be stored as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// By the first key: what is stored from now on.
    pub first: String,
    /// By the second, where there is one: what may be stored from before.
    pub second: Option<String>,
}

impl Hashes {
    /// Compares in a time that does not tell where the two differ, nor which key it was.
    pub fn have(&self, stored: &str) -> bool {
        let is_first = equal_in_constant_time(stored, &self.first);
        let is_second = self.second.as_ref().is_some_and(|second| equal_in_constant_time(stored, second));
        is_first | is_second
    }
}

impl CodeHasher {
    pub fn new(keys: &KeyRing) -> Self {
        Self { first: HashKey::new(&keys.first), second: keys.second.as_ref().map(HashKey::new) }
    }

    pub fn has_two_keys(&self) -> bool {
        self.second.is_some()
    }

    pub fn authentication_code(&self, organisation_id: OrganisationId, code: &Secret) -> Hashes {
        self.hash(&["authentication_code", &organisation_id.to_string(), code.expose()])
    }

    pub fn one_time_password(&self, organisation_id: OrganisationId, code: &Secret) -> Hashes {
        self.hash(&["one_time_password", &organisation_id.to_string(), code.expose()])
    }

    /// `access_token_id` is the public id of the access token that the pass code belongs to.
    pub fn pass_code(&self, organisation_id: OrganisationId, access_token_id: &str, code: &Secret) -> Hashes {
        self.hash(&["pass_code", &organisation_id.to_string(), access_token_id, code.expose()])
    }

    /// A fingerprint of a call, whose content may hold codes; by each of the keys.
    pub fn fingerprints(&self, organisation_id: OrganisationId, content: &[u8]) -> Vec<Vec<u8>> {
        let fingerprint = |key: &HashKey| {
            let mut mac = key.mac.clone();
            mac.update(b"fingerprint");
            mac.update(&organisation_id.0.to_be_bytes());
            mac.update(content);
            mac.finalize().into_bytes().to_vec()
        };
        self.keys().map(fingerprint).collect()
    }

    /// What tells a page token of ours: of the list of an organisation, and what the page begins after.
    pub fn page_token(&self, organisation_id: OrganisationId, list: &str, after: impl Display) -> Hashes {
        self.hash(&["page_token", &organisation_id.to_string(), list, &after.to_string()])
    }

    /// What failed guesses are counted under. Two may share one, which nobody can bring about. It is the key of the lower
    /// number that counts: replicas that have it first and those that have it second count together.
    pub fn subject(&self, parts: &[&str]) -> SubjectKey {
        let key = self.keys().min_by_key(|key| key.number).unwrap_or(&self.first);
        let digest = key.mac_of(&[&["guesses"], parts].concat()).finalize().into_bytes();
        SubjectKey(digest.iter().take(8).fold(0, |number, byte| number << 8 | i64::from(*byte)))
    }

    fn keys(&self) -> impl Iterator<Item = &HashKey> {
        [&self.first].into_iter().chain(&self.second)
    }

    fn hash(&self, parts: &[&str]) -> Hashes {
        Hashes { first: self.first.hash(parts), second: self.second.as_ref().map(|key| key.hash(parts)) }
    }
}

impl fmt::Debug for CodeHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeHasher(…)")
    }
}

/// What tells a key from others, and nothing else of it.
pub fn key_check(key: &NumberedKey) -> String {
    hex::encode(HashKey::new(key).mac_of(&["key_check"]).finalize().into_bytes())
}

impl HashKey {
    fn new(key: &NumberedKey) -> Self {
        // HMAC fills a short key up to its block with zeros; done here, no length can be wrong.
        let mut block = Zeroizing::new([0; 64]);
        block[..32].copy_from_slice(key.key.as_bytes());
        Self { number: key.number, mac: Hmac::new((&*block).into()) }
    }

    /// With the number of the key before it, where that is not the first.
    fn hash(&self, parts: &[&str]) -> String {
        let hash = hex::encode(self.mac_of(parts).finalize().into_bytes());
        if self.number == FIRST_NUMBER { hash } else { format!("{}:{hash}", self.number) }
    }

    fn mac_of(&self, parts: &[&str]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        for part in parts {
            // The length first: no two lists of parts give the same bytes.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }
}
