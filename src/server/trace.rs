//! Which trace a request belongs to, by W3C's `traceparent`.

use axum::http::HeaderMap;

const TRACEPARENT_HEADER: &str = "traceparent";

/// What a caller says of the trace that its request is a part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// 32 hex digits.
    pub trace_id: String,
    /// The span of the caller, 16 hex digits.
    pub span_id: String,
    pub is_sampled: bool,
}

impl TraceParent {
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
        if !(is_form && is_set(trace_id, 32) && is_set(span_id, 16) && is_hex(flags, 2)) {
            return None;
        }
        let is_sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        Some(Self { trace_id: trace_id.to_owned(), span_id: span_id.to_owned(), is_sampled })
    }
}

/// Capital letters are none of the standard's.
fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
