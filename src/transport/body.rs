//! The bodies of requests and answers, as far as they cost memory.

use std::{
    error::Error as StdError,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, Response},
};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, LengthLimitError};
use tokio::sync::Notify;

use super::{
    budget::{Budget, Charge, Holder, crowded_out},
    head::{Head, too_large},
};
use crate::{
    contract::MAXIMUM_REQUEST_SIZE,
    error::{Error, ErrorKind, Result},
};

/// The largest piece of an answer that is handed to the connection at once. What the connection has cannot be taken
/// back from it.
const PIECE: usize = 64 * 1024;

/// Reads a body piece by piece, each charged before it is handed out. Nothing is kept for what is merely announced.
pub struct Reader {
    body: Body,
    limit: usize,
    read: usize,
    charge: Charge,
    revoked: Arc<Notify>,
}

impl Reader {
    /// The charge outlives the reader: the bytes go on being held while they are in use.
    pub fn new(body: Body, limit: usize, head: &Head) -> Self {
        Self { body, limit, read: 0, charge: head.charge.clone(), revoked: head.revoked.clone() }
    }

    /// The next piece, `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let frame = tokio::select! {
                biased;
                () = self.revoked.notified() => return Err(crowded_out()),
                frame = self.body.frame() => frame,
            };
            let Some(frame) = frame else {
                self.charge.settle();
                return Ok(None);
            };
            let frame = frame.map_err(unreadable)?;
            let Ok(data) = frame.into_data() else { continue };
            self.read += data.len();
            if self.read > self.limit {
                return Err(too_large(self.limit));
            }
            self.charge.take(data.len()).await?;
            return Ok(Some(data));
        }
    }

    /// All that is left.
    pub async fn read_to_end(mut self) -> Result<Bytes> {
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.next().await? else { return Ok(first) };
        let mut bytes = [first, second].concat();
        while let Some(piece) = self.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.into())
    }
}

/// Why the rest of a body cannot be read: the server has its own word for one that it waited for too long.
pub fn unreadable(error: axum::Error) -> Error {
    let mut cause: Box<dyn StdError + Send + Sync> = Box::new(error);
    loop {
        // Each layer around the body puts another such error around it.
        cause = match cause.downcast::<axum::Error>() {
            Ok(error) => error.into_inner(),
            Err(other) => match other.downcast::<io::Error>().map(|error| error.into_inner()) {
                // What unpacks a body passes on what befalls it; all else says that it is not packed as it claims.
                Ok(Some(inner)) if inner.is::<axum::Error>() || inner.is::<LengthLimitError>() => inner,
                Ok(_) => return not_packed(),
                Err(other) => return word_for(other),
            },
        };
    }
}

pub fn not_packed() -> Error {
    Error::new(ErrorKind::MalformedRequest, "The body cannot be unpacked: it is not in the encoding that is named.")
}

fn word_for(cause: Box<dyn StdError + Send + Sync>) -> Error {
    if cause.is::<LengthLimitError>() {
        return too_large(MAXIMUM_REQUEST_SIZE);
    }
    match cause.downcast::<Error>() {
        Ok(error) => *error,
        Err(cause) => Error::new(ErrorKind::MalformedRequest, "The body broke off.").caused_by(cause),
    }
}

/// Charges an answer until the caller has taken it. One that has to make room for others breaks off.
pub async fn charged(response: Response<Body>, budget: &Budget, holder: Holder) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let Ok(whole) = body.collect().await else {
        // Our answers do not come from anywhere that could fail.
        return Response::from_parts(parts, Body::empty());
    };
    let trailers = whole.trailers().cloned();
    let answer = Answer::new(whole.to_bytes(), trailers, budget, holder);
    Response::from_parts(parts, Body::new(answer))
}

/// Charges each message of an answer by itself, to whoever has the charge of the stream by then. The next is made once
/// the last was handed to the connection.
pub fn charged_each(response: Response<Body>, stream: Charge) -> Response<Body> {
    response.map(|body| Body::new(Answers { body, stream, current: None }))
}

/// The answers of a stream.
struct Answers {
    body: Body,
    stream: Charge,
    current: Option<Answer>,
}

impl HttpBody for Answers {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        loop {
            if let Some(answer) = &mut self.current {
                if let Some(frame) = ready!(Pin::new(answer).poll_frame(cx)) {
                    return Poll::Ready(Some(frame.map_err(axum::Error::new)));
                }
                self.current = None;
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let answer = Answer::new(data, None, self.stream.budget(), self.stream.holder());
                        self.current = Some(answer);
                    }
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended => return Poll::Ready(ended),
            }
        }
    }

    /// A refusal has nothing after its headers, and has to end with them: gRPC's C core takes an empty piece after them for
    /// a fault of the connection.
    fn is_end_stream(&self) -> bool {
        self.current.is_none() && self.body.is_end_stream()
    }
}

/// An answer that is on its way.
struct Answer {
    /// What is not yet handed to the connection; `None` once the charge is revoked.
    left: Arc<Mutex<Option<Bytes>>>,
    trailers: Option<HeaderMap>,
    charge: Charge,
}

impl Answer {
    fn new(data: Bytes, trailers: Option<HeaderMap>, budget: &Budget, holder: Holder) -> Self {
        let length = data.len();
        let left = Arc::new(Mutex::new(Some(data)));
        let revoked = left.clone();
        let charge = budget.charge(holder, move || *lock(&revoked) = None);
        charge.take_anyway(length);
        Self { left, trailers, charge }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let Some(piece) = next_piece(&self.left) else { return Poll::Ready(Some(Err(crowded_out()))) };
        if piece.is_empty() {
            return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        if lock(&self.left).as_ref().is_some_and(Bytes::is_empty) {
            // There is nothing left to take back.
            self.charge.settle();
        }
        let piece = Piece { bytes: piece, _charge: self.charge.clone() };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none() && lock(&self.left).as_ref().is_some_and(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        let left = lock(&self.left).as_ref().map_or(0, Bytes::len);
        if self.trailers.is_some() { SizeHint::default() } else { SizeHint::with_exact(left as u64) }
    }
}

/// Takes the next piece. It is a copy if more is left: as long as a part of the answer is in use, all of it is.
fn next_piece(left: &Mutex<Option<Bytes>>) -> Option<Bytes> {
    let mut left = lock(left);
    let left = left.as_mut()?;
    let piece = left.split_to(left.len().min(PIECE));
    Some(if left.is_empty() { piece } else { Bytes::copy_from_slice(&piece) })
}

fn lock(left: &Mutex<Option<Bytes>>) -> MutexGuard<'_, Option<Bytes>> {
    left.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A piece in the hands of the connection.
struct Piece {
    bytes: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
