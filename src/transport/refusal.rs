//! Lets a refused caller see its refusal.
//!
//! What is refused before its body was read is answered at once. But a caller that is still sending when the connection
//! closes does not see the answer, and a proxy in between makes another one of it; so the body is read on for a while.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{HeaderValue, Response, Version, header},
    middleware::Next,
};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;

/// How long a body is read on for, and how many bytes of it.
const LINGERING: Duration = Duration::from_secs(10);
const LINGERING_BYTES: usize = 64 * 1024 * 1024;

/// Answers a request, and reads on what it left of its body. Over HTTP/1.1 the connection ends with it.
pub async fn seen(request: Request, next: Next) -> Response<Body> {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let version = request.version();
    // A caller that waits for permission to send the body has not sent it.
    let is_sending = !request.headers().contains_key(header::EXPECT);
    let (parts, body) = request.into_parts();
    let lent = Arc::new(Mutex::new(Lent { body, has_ended: false }));
    let mut response = next.run(Request::from_parts(parts, Body::new(Borrowed(lent.clone())))).await;
    // Where it is still read, by a stream say, its reader goes on.
    let Some(lent) = Arc::into_inner(lent) else { return response };
    let Lent { body, has_ended } = lent.into_inner().unwrap_or_else(PoisonError::into_inner);
    if has_ended || body.is_end_stream() {
        return response;
    }
    if version < Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if is_sending {
        tokio::spawn(tokio::time::timeout(LINGERING, read_on(body)));
    }
    response
}

async fn read_on(mut body: Body) {
    let mut read = 0;
    while read < LINGERING_BYTES
        && let Some(Ok(frame)) = body.frame().await
    {
        read += frame.data_ref().map_or(0, Bytes::len);
    }
}

/// A body that is given back once the call has no more use for it.
struct Lent {
    body: Body,
    has_ended: bool,
}

struct Borrowed(Arc<Mutex<Lent>>);

impl HttpBody for Borrowed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut lent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let frame = ready!(Pin::new(&mut lent.body).poll_frame(context));
        lent.has_ended = frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).body.size_hint()
    }
}
