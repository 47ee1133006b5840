//! Tokens as anybody may make them.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// A token whose header names a key, or none, as versions before did, signed with `secret`.
pub fn sign(key: Option<&str>, claims: &Value, secret: &[u8; 32]) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let mut header = json!({"typ": "JWT", "alg": "HS256"});
    if let Some(key) = key {
        header["kid"] = json!(key);
    }
    let message = format!("{}.{}", part(&header), part(claims));
    let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret).expect("a key").chain_update(&message).finalize();
    format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac.into_bytes()))
}

/// What a part of a token says: 0 is its header, 1 its claims.
pub fn part(token: &str, n: usize) -> Value {
    let part = token.split('.').nth(n).expect("a part");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
}
