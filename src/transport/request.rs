//! What both transports take from the headers of a request.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use axum::http::{Extensions, HeaderMap, Request, header::AUTHORIZATION};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    auth::TokenFault,
    error::{Error, ErrorKind, Result},
    secret::Secret,
};

/// Names a request, in the log and to the caller: the caller's own `x-request-id`, or a new one.
#[derive(Clone, Debug)]
pub struct RequestId(String);

pub const REQUEST_ID_HEADER: &str = "x-request-id";
pub const MAXIMUM_REQUEST_ID_LENGTH: usize = 64;

impl RequestId {
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(REQUEST_ID_HEADER).and_then(|value| value.to_str().ok()).filter(|id| {
            (1..=MAXIMUM_REQUEST_ID_LENGTH).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        });
        Self(given.map_or_else(|| Uuid::new_v4().simple().to_string(), str::to_owned))
    }

    /// As the outermost layer has named the request.
    pub fn of_request<B>(request: &Request<B>) -> Self {
        request.extensions().get().cloned().unwrap_or_else(|| Self::of(request.headers()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The token of `authorization: Bearer …`, if there is one.
pub fn token_of_header(headers: &HeaderMap) -> Result<Option<Secret>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Ok(Some(value.to_str().ok().and_then(bearer).ok_or(TokenFault::NotBearer)?)),
        (Some(_), Some(_)) => Err(TokenFault::SeveralHeaders.into()),
    }
}

/// The address that a connection comes from, of IPv6 the network; the server puts it among the extensions of each
/// request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// The name in the certificate of the caller; the server puts it among the extensions of each request, where there is one.
#[derive(Clone, Debug)]
pub struct Client(pub Arc<str>);

/// Told when the connection takes no new calls, and those that go on for long are to end; the server puts it among the
/// extensions of each request.
#[derive(Clone, Debug)]
pub struct GoesAway(pub CancellationToken);

/// The address that the request's connection comes from.
pub fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get().map(|Peer(address)| *address)
}

fn bearer(value: &str) -> Option<Secret> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(token.trim()))
}

pub const IDEMPOTENCY_KEY_HEADER: &str = "idempotency-key";
/// Says of an answer that it repeats that of an earlier call under the same idempotency key.
pub const IDEMPOTENCY_REPLAYED_HEADER: &str = "idempotency-replayed";
pub const MAXIMUM_IDEMPOTENCY_KEY_LENGTH: usize = 255;

/// The name that the caller gives to a call, so that its repeat is known for one.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY_HEADER).iter();
    let (value, more) = (values.next(), values.next());
    let Some(value) = value else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=MAXIMUM_IDEMPOTENCY_KEY_LENGTH).contains(&key.len()));
    key.filter(|_| more.is_none()).map(|key| Some(key.to_owned())).ok_or_else(|| {
        let message =
            format!("The idempotency key is one text of 1 to {MAXIMUM_IDEMPOTENCY_KEY_LENGTH} characters of ASCII.");
        Error::new(ErrorKind::MalformedRequest, message).at_field(IDEMPOTENCY_KEY_HEADER)
    })
}

/// Says how long the caller is going to wait.
pub const TIMEOUT_HEADER: &str = "grpc-timeout";
/// The trace that a request is a part of, as W3C has it.
pub const TRACEPARENT_HEADER: &str = "traceparent";

/// How long the caller is going to wait, by `grpc-timeout`: up to eight digits and a unit.
pub fn timeout(headers: &HeaderMap) -> Result<Option<Duration>> {
    let Some(value) = headers.get(TIMEOUT_HEADER) else { return Ok(None) };
    let malformed =
        || Error::new(ErrorKind::MalformedRequest, "The grpc-timeout is malformed.").at_field(TIMEOUT_HEADER);
    let value = value.to_str().map_err(|_| malformed())?;
    let (digits, unit) = value.split_at_checked(value.len().saturating_sub(1)).ok_or_else(malformed)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    let amount: u64 = digits.parse().map_err(|_| malformed())?;
    let duration = match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return Err(malformed()),
    };
    Ok(Some(duration))
}
