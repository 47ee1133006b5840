//! The outermost layer: names a request, logs it, and answers for a panic.

use std::{panic::AssertUnwindSafe, time::Instant};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, Response},
    middleware::Next,
};
use futures_util::FutureExt;
use tracing::Instrument;

use crate::{
    error::Error,
    storage::COMMITTED,
    transport::{
        deprecation,
        protocol::Protocol,
        request::{Client, REQUEST_ID_HEADER, RequestId},
        rest::Responder,
        status,
    },
};

/// Names the request, logs it once it is answered, and answers in its place where it panics. The query is not logged:
/// it may hold a token.
pub async fn observe(mut request: Request, next: Next, responder: Responder) -> Response<Body> {
    let request_id = RequestId::of(request.headers());
    request.extensions_mut().insert(request_id.clone());
    let span = tracing::info_span!(
        "request",
        id = request_id.as_str(),
        method = request.method().as_str(),
        path = request.uri().path(),
        client = request.extensions().get().map(|Client(name)| &**name),
        { COMMITTED } = tracing::field::Empty
    );
    let is_grpc = matches!(Protocol::of(request.headers(), request.version()), Ok(Protocol::Grpc));
    let started = Instant::now();
    async {
        let mut unanswered = Unanswered(true);
        let answered = AssertUnwindSafe(deprecation::hinted(next.run(request))).catch_unwind().await;
        let mut response = answered.unwrap_or_else(|_| {
            let error = Error::internal("the request panicked");
            if !is_grpc {
                return responder.refuse(&error, &request_id);
            }
            status::log(&error);
            status::grpc_status(&error, Some(&request_id)).into_http()
        });
        if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
            response.headers_mut().insert(REQUEST_ID_HEADER, value);
        }
        unanswered.0 = false;
        tracing::info!(status = response.status().as_u16(), milliseconds = started.elapsed().as_millis(), "answered");
        response
    }
    .instrument(span)
    .await
}

/// Logs the end of a request that was dropped before it was answered. What became of its call, the storage tells: by a
/// line of its own, or in the span where the call had ended already.
struct Unanswered(bool);

impl Drop for Unanswered {
    fn drop(&mut self) {
        if self.0 {
            tracing::info!("the caller left before the answer");
        }
    }
}
