//! Which trace a request belongs to, by W3C's `traceparent`.

use axum::http::HeaderMap;

use crate::transport::request::TRACEPARENT_HEADER;

/// The id of the trace that a request is a part of, 32 hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceId(pub String);

impl TraceId {
    /// `None` where there is none, or one that is not as the standard has it: it is to be ignored then.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT_HEADER).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let value = value.to_str().ok()?;
        let mut parts = value.split('-');
        let (version, trace_id) = (parts.next()?, parts.next()?);
        let (span_id, flags) = (parts.next()?, parts.next()?);
        // A later version may have more parts.
        let is_form = is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
        let is_set = |id: &str, length| is_hex(id, length) && id.bytes().any(|byte| byte != b'0');
        let is_valid = is_form && is_set(trace_id, 32) && is_set(span_id, 16) && is_hex(flags, 2);
        is_valid.then(|| Self(trace_id.to_owned()))
    }
}

/// Capital letters are none of the standard's.
fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
