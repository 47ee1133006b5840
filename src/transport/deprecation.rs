//! The use of deprecated attributes: callers are told in a header of the answer, whose body stays as it is documented;
//! operators read in the log who still uses what.

use std::cell::Cell;

use axum::{
    body::Body,
    http::{HeaderValue, Response},
};

use crate::{auth::Caller, metrics::CallRecord};

/// The deprecated attributes that the call used, separated by commas; over gRPC it is metadata.
pub const DEPRECATED_ATTRIBUTES_HEADER: &str = "x-deprecated-attributes";

tokio::task_local! {
    /// What the header of the request under way says.
    static HINT: Cell<Option<HeaderValue>>;
}

/// Answers a request, with the header if a call within it had something to tell.
pub async fn hinted(answering: impl Future<Output = Response<Body>>) -> Response<Body> {
    let answer_with_hint = async {
        let mut response = answering.await;
        if let Some(hint) = HINT.with(Cell::take) {
            response.headers_mut().insert(DEPRECATED_ATTRIBUTES_HEADER, hint);
        }
        response
    };
    HINT.scope(Cell::default(), answer_with_hint).await
}

/// Tells of the attributes, each with the number of events that use it.
pub fn note_use(caller: &Caller, used: &[(&'static str, usize)]) {
    if used.is_empty() {
        return;
    }
    CallRecord::current().deprecated(used);
    let counts: Vec<String> = used.iter().map(|(name, events)| format!("{name}={events}")).collect();
    tracing::info!(
        organisation = caller.organisation_id.0,
        events = counts.join(" "),
        "the call uses deprecated attributes"
    );
    let names: Vec<&str> = used.iter().map(|(name, _)| *name).collect();
    // Outside of a request there is nobody to tell.
    _ = HINT.try_with(|hint| hint.set(HeaderValue::from_str(&names.join(", ")).ok()));
}
