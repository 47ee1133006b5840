//! Which trace a request belongs to, by W3C's `traceparent` and `tracestate`.

use axum::http::HeaderMap;
use opentelemetry::{
    SpanId, TraceFlags, TraceId,
    trace::{SpanContext, TraceState},
};

use crate::transport::request::TRACEPARENT_HEADER;

const TRACESTATE_HEADER: &str = "tracestate";

/// The span of the caller that a request is a part of. `None` where there is none, or one that is not as the standard has
/// it: it is to be ignored then.
pub fn parent(headers: &HeaderMap) -> Option<SpanContext> {
    let mut values = headers.get_all(TRACEPARENT_HEADER).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let value = value.to_str().ok()?;
    let mut parts = value.split('-');
    let (version, trace_id) = (parts.next()?, parts.next()?);
    let (span_id, flags) = (parts.next()?, parts.next()?);
    // A later version may have more parts.
    let is_form = is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
    let is_valid = is_form && is_hex(trace_id, 32) && is_hex(span_id, 16) && is_hex(flags, 2);
    if !is_valid {
        return None;
    }
    // Of the flags but one is of a meaning that is known.
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let (trace_id, span_id) = (TraceId::from_hex(trace_id).ok()?, SpanId::from_hex(span_id).ok()?);
    Some(SpanContext::new(trace_id, span_id, flags, true, state(headers))).filter(SpanContext::is_valid)
}

/// What others have to say of the trace; one that cannot be read is ignored.
fn state(headers: &HeaderMap) -> TraceState {
    let values = headers.get_all(TRACESTATE_HEADER).iter().map(|value| value.to_str().unwrap_or_default());
    values.collect::<Vec<&str>>().join(",").parse().unwrap_or_default()
}

/// Capital letters are none of the standard's.
fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
