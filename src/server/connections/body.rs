//! The bodies of requests and answers, watched as they pass.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::connection::CallUnderWay;
use crate::error::{Error, ErrorKind};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request; it fails where nothing comes for too long.
pub struct RequestBody {
    body: Incoming,
    call: CallUnderWay,
    /// When it has stalled, while it is awaited.
    deadline: Option<Pin<Box<Sleep>>>,
    is_awaited: bool,
}

impl RequestBody {
    pub fn new(body: Incoming, call: CallUnderWay) -> Self {
        Self { body, call, deadline: None, is_awaited: false }
    }

    /// Is called while the rest is awaited; ready once it has been for too long.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_awaited {
            self.is_awaited = true;
            self.call.awaits_body();
            let deadline = Instant::now() + self.call.stall_timeout();
            match &mut self.deadline {
                Some(sleep) => sleep.as_mut().reset(deadline),
                None => self.deadline = Some(Box::pin(tokio::time::sleep_until(deadline))),
            }
        }
        self.deadline.as_mut().map_or(Poll::Pending, |sleep| sleep.as_mut().poll(cx))
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            ready!(self.poll_deadline(cx));
            return Poll::Ready(Some(Err(stalled())));
        };
        let length = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        let was_awaited = std::mem::take(&mut self.is_awaited);
        if (was_awaited || length > 0) && self.call.body_came(length) {
            return Poll::Ready(Some(Err(stalled())));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        // Nobody waits for what has not come.
        if self.is_awaited {
            self.call.body_came(0);
        }
    }
}

/// An error that the transport answers as it stands.
fn stalled() -> BoxError {
    let message = "The body of the request stopped coming, or came too slowly.";
    Error::new(ErrorKind::DeadlineExceeded, message).into()
}

/// The body of an answer: what it gives counts as untaken until it is written to the connection, or dropped.
pub struct AnswerBody {
    body: Body,
    call: CallUnderWay,
}

impl AnswerBody {
    pub fn new(body: Body, call: CallUnderWay) -> Self {
        Self { body, call }
    }
}

impl http_body::Body for AnswerBody {
    type Data = Piece;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(|bytes| Piece::new(bytes, self.call.clone())))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A piece of an answer. The protocol keeps it until the peer takes it, long after the body is gone.
pub struct Piece {
    bytes: Bytes,
    call: CallUnderWay,
}

impl Piece {
    fn new(bytes: Bytes, call: CallUnderWay) -> Self {
        call.answered(bytes.len());
        Self { bytes, call }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.call.taken(count);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if self.bytes.has_remaining() {
            self.call.taken(self.bytes.len());
        }
    }
}
