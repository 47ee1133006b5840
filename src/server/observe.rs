//! The outermost layer: names a request, logs and counts it, and answers for a panic.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, Response},
    middleware::Next,
};
use futures_util::FutureExt;
use tracing::Instrument;

use super::{
    metrics::Metrics,
    observed::{Observed, ObservedBody},
    spans::Spans,
};
use crate::{
    error::Error,
    transport::{
        deprecation,
        request::{REQUEST_ID_HEADER, RequestId},
        rest::Responder,
        status,
    },
};

/// What requests are observed with.
#[derive(Clone)]
pub struct Observer {
    pub responder: Responder,
    pub metrics: Arc<Metrics>,
    /// `None` where no collector wants any.
    pub spans: Option<Spans>,
}

/// Names the request, and answers in its place where it panics. Its line of the log is written, and it is counted, once its
/// answer was handed out to the last, or its caller left.
pub async fn observe(State(observer): State<Observer>, mut request: Request, next: Next) -> Response<Body> {
    let request_id = RequestId::of(request.headers());
    request.extensions_mut().insert(request_id.clone());
    let mut observed = Observed::begin(&request, &request_id, observer.metrics, observer.spans.as_ref());
    let is_head = request.method() == axum::http::Method::HEAD;
    let is_grpc = observed.is_grpc();
    let answering = async {
        let answered = AssertUnwindSafe(deprecation::hinted(next.run(request))).catch_unwind().await;
        answered.unwrap_or_else(|_| {
            let error = Error::internal("the request panicked");
            if !is_grpc {
                return observer.responder.refuse(&error, &request_id);
            }
            status::log(&error);
            status::grpc_status(&error, Some(&request_id)).into_http()
        })
    };
    let span = observed.span();
    let mut response = observed.record().of(answering).instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
        response.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
    observed.answered(&response);
    // The body of an answer to HEAD is not asked for.
    if is_head {
        observed.end();
        return response;
    }
    response.map(|body| ObservedBody::wrap(body, observed))
}
