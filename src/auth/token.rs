//! Tokens: JSON web tokens, signed with HMAC-SHA-256.

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{fault::TokenFault, hs256::PROVIDER};
use crate::{
    error::{Error, Result},
    id::OrganisationId,
    secret::{KeyRing, NumberedKey, Secret},
};

/// What a token says.
#[derive(Serialize, Deserialize)]
pub struct Claims {
    /// Id of the token, by which it is released.
    pub jti: Uuid,
    /// Id of the user.
    pub usr: String,
    /// Id of the organisation.
    pub org: OrganisationId,
    /// The generation of its user's tokens; earlier versions knew none but the first.
    #[serde(rename = "gen", default)]
    pub generation: i64,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// When it expires, in seconds since 1970.
    pub exp: i64,
}

impl Claims {
    pub fn expires_on(&self) -> Result<DateTime<Utc>, TokenFault> {
        DateTime::from_timestamp(self.exp, 0).ok_or(TokenFault::NotIssuedHere)
    }
}

#[derive(Clone)]
pub struct Signer {
    /// That it signs with, and one that is accepted too.
    first: TokenKey,
    second: Option<TokenKey>,
    validation: Validation,
}

#[derive(Clone)]
struct TokenKey {
    /// What the header of a token names it by.
    id: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl TokenKey {
    fn new(key: &NumberedKey) -> Self {
        Self {
            id: key.number.to_string(),
            encoding: EncodingKey::from_secret(key.key.as_bytes()),
            decoding: DecodingKey::from_secret(key.key.as_bytes()),
        }
    }
}

impl Signer {
    pub fn new(keys: &KeyRing) -> Self {
        // It is there already where this is not the first of the process.
        _ = PROVIDER.install_default();
        let mut validation = Validation::new(Algorithm::HS256);
        // It would look at the system's clock; ours is looked at below.
        validation.validate_exp = false;
        Self { first: TokenKey::new(&keys.first), second: keys.second.as_ref().map(TokenKey::new), validation }
    }

    pub fn sign(&self, claims: &Claims) -> Result<Secret> {
        let header = Header { kid: Some(self.first.id.clone()), ..Header::new(Algorithm::HS256) };
        encode(&header, claims, &self.first.encoding).map(Secret::new).map_err(Error::internal)
    }

    /// What the token says.
    pub fn verify(&self, token: &Secret, now: DateTime<Utc>) -> Result<Claims, TokenFault> {
        let claims = self.verify_expired(token).ok_or(TokenFault::NotIssuedHere)?;
        if claims.exp <= now.timestamp() {
            return Err(TokenFault::Expired(claims.expires_on()?));
        }
        Ok(claims)
    }

    /// What a token says that we issued at any time. One that names no key is of a version that had but one.
    pub fn verify_expired(&self, token: &Secret) -> Option<Claims> {
        let id = decode_header(token.expose()).ok()?.kid;
        let keys = [&self.first].into_iter().chain(&self.second);
        let mut meant = keys.filter(|key| id.as_ref().is_none_or(|id| *id == key.id));
        meant.find_map(|key| decode(token.expose(), &key.decoding, &self.validation).ok()).map(|token| token.claims)
    }
}
