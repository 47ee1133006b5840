//! Tokens: JSON web tokens, signed with HMAC-SHA-256.

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{fault::TokenFault, hs256::PROVIDER};
use crate::{
    error::{Error, Result},
    id::OrganisationId,
    secret::{Key, Secret},
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
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl Signer {
    pub fn new(key: &Key) -> Self {
        // It is there already where this is not the first of the process.
        _ = PROVIDER.install_default();
        let mut validation = Validation::new(Algorithm::HS256);
        // It would look at the system's clock; ours is looked at below.
        validation.validate_exp = false;
        Self {
            encoding: EncodingKey::from_secret(key.as_bytes()),
            decoding: DecodingKey::from_secret(key.as_bytes()),
            validation,
        }
    }

    pub fn sign(&self, claims: &Claims) -> Result<Secret> {
        encode(&Header::new(Algorithm::HS256), claims, &self.encoding).map(Secret::new).map_err(Error::internal)
    }

    /// What the token says.
    pub fn verify(&self, token: &Secret, now: DateTime<Utc>) -> Result<Claims, TokenFault> {
        let claims = self.verify_expired(token).ok_or(TokenFault::NotIssuedHere)?;
        if claims.exp <= now.timestamp() {
            return Err(TokenFault::Expired(claims.expires_on()?));
        }
        Ok(claims)
    }

    /// What a token says that we issued at any time.
    pub fn verify_expired(&self, token: &Secret) -> Option<Claims> {
        decode(token.expose(), &self.decoding, &self.validation).ok().map(|token| token.claims)
    }
}
