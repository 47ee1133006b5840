//! The messages of a stream, read one by one.
//!
//! tonic would keep whatever comes, and unpack it to whatever size; here each message is charged to the budget of bytes
//! as it is read.

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;

use super::super::{
    body::unreadable,
    budget::crowded_out,
    head::{Head, too_large},
    packed::{Encoding, PREFIX, packed_unannounced},
};
use crate::error::{Error, ErrorKind, Result};

pub struct Messages {
    body: Body,
    encoding: Option<Encoding>,
    /// What has come of the next message.
    begun: Bytes,
}

impl Messages {
    pub fn new(body: Body, encoding: Option<Encoding>) -> Self {
        Self { body, encoding, begun: Bytes::new() }
    }

    /// Waits for the beginning of a message; answers whether there is one.
    pub async fn has_next(&mut self) -> Result<bool> {
        while self.begun.is_empty() {
            let Some(piece) = self.piece().await? else { return Ok(false) };
            self.begun = piece;
        }
        Ok(true)
    }

    /// The next message, of `limit` bytes at most, charged to its head.
    pub async fn next(&mut self, limit: usize, head: &Head) -> Result<Bytes> {
        let prefix = self.take(PREFIX, head).await?;
        let [is_compressed, length @ ..] = &prefix[..] else { return Err(broken_off()) };
        let length = <[u8; 4]>::try_from(length).map_err(Error::internal)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > limit {
            return Err(too_large(limit));
        }
        let message = self.take(length, head).await?;
        if *is_compressed == 0 {
            head.charge.settle();
            return Ok(message);
        }
        self.encoding.ok_or_else(packed_unannounced)?.unpack(Body::from(message), limit, head).await
    }

    /// So many bytes of what comes.
    async fn take(&mut self, length: usize, head: &Head) -> Result<Bytes> {
        let mut taken = Vec::new();
        loop {
            let piece = self.begun.split_to(self.begun.len().min(length - taken.len()));
            head.charge.take(piece.len()).await?;
            if piece.len() == length {
                return Ok(piece);
            }
            taken.extend_from_slice(&piece);
            if taken.len() == length {
                return Ok(taken.into());
            }
            self.begun = tokio::select! {
                biased;
                () = head.revoked.notified() => return Err(crowded_out()),
                piece = self.piece() => piece?.ok_or_else(broken_off)?,
            };
        }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>> {
        loop {
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            if let Ok(data) = frame.map_err(unreadable)?.into_data() {
                return Ok(Some(data));
            }
        }
    }
}

fn broken_off() -> Error {
    Error::new(ErrorKind::MalformedRequest, "The stream ends within a message.")
}
