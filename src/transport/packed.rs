//! Compressed bodies of requests, of both transports: unpacked before anything else looks at them, so that what they
//! become is charged and limited like any other body.

use std::io;

use async_compression::{
    tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder},
    zstd::DParameter,
};
use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, header},
};
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use http_body_util::{BodyExt, Limited};
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

use super::{
    body::{Reader, not_packed, unreadable},
    head::Head,
};
use crate::{
    contract::MAXIMUM_REQUEST_SIZE,
    error::{Error, ErrorKind, Result},
};

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// The encodings in which a body may come over REST, as `Accept-Encoding` lists them.
pub const ENCODINGS: &str = "br, gzip, zstd";

/// What stands before a message of gRPC: whether it is compressed, and its length.
pub const PREFIX: usize = 5;

/// What is unpacked at once.
const PIECE: usize = 64 * 1024;

/// How far back a zstd frame may refer: 8 MiB, which is what every decoder of HTTP must bear.
const ZSTD_WINDOW_LOG: u32 = 23;

#[derive(Clone, Copy, Debug)]
pub enum Encoding {
    Brotli,
    Gzip,
    Zstd,
}

impl Encoding {
    fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "br" => Some(Self::Brotli),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Of a REST call; `None` where its body is not compressed.
    pub fn of_content(headers: &HeaderMap) -> Result<Option<Self>> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(None) };
        let name = value.to_str().unwrap_or_default().trim();
        if name.is_empty() || name.eq_ignore_ascii_case("identity") {
            return Ok(None);
        }
        Self::named(name).map(Some).ok_or_else(|| {
            let message = format!("The body may be compressed in one of these encodings: {ENCODINGS}.");
            Error::new(ErrorKind::UnsupportedMediaType, message)
        })
    }

    /// Of a gRPC call; tonic refuses those that are not served.
    pub fn of_message(headers: &HeaderMap) -> Option<Self> {
        let encoding = headers.get(GRPC_ENCODING)?.to_str().ok().and_then(Self::named)?;
        (!matches!(encoding, Self::Brotli)).then_some(encoding)
    }

    /// The bytes that a decoder may need while it is at work.
    fn memory(self) -> usize {
        match self {
            Self::Brotli => 16 * 1024 * 1024,
            Self::Gzip => PIECE,
            Self::Zstd => 1 << ZSTD_WINDOW_LOG,
        }
    }

    fn decoder(self, packed: StreamReader<Pieces, Bytes>) -> Box<dyn AsyncRead + Send + Unpin> {
        match self {
            Self::Brotli => Box::new(BrotliDecoder::new(packed)),
            Self::Gzip => Box::new(GzipDecoder::new(packed)),
            Self::Zstd => Box::new(ZstdDecoder::with_params(packed, &[DParameter::window_log_max(ZSTD_WINDOW_LOG)])),
        }
    }

    /// Unpacks a body into `limit` bytes at most.
    pub async fn unpack(self, packed: Body, limit: usize, head: &Head) -> Result<Bytes> {
        let revoked = head.revoked.clone();
        let window = head.charge.budget().charge(head.charge.holder(), move || revoked.notify_one());
        window.take(self.memory()).await?;
        let packed = Limited::new(packed, MAXIMUM_REQUEST_SIZE).into_data_stream().map_err(io::Error::other);
        // An empty piece would hide what a body begins with.
        let packed = packed.try_filter(|piece| std::future::ready(!piece.is_empty()));
        let mut packed = packed.boxed().peekable();
        if matches!(self, Self::Brotli) && std::pin::Pin::new(&mut packed).peek().await.is_some_and(has_large_window) {
            return Err(not_packed());
        }
        let unpacked = ReaderStream::with_capacity(self.decoder(StreamReader::new(packed.boxed())), PIECE);
        Reader::new(Body::from_stream(unpacked), limit, head).read_to_end().await
    }
}

/// The refusal of a message that says it is compressed where its call does not say how.
pub fn packed_unannounced() -> Error {
    Error::new(ErrorKind::MalformedRequest, "A message is compressed, and grpc-encoding does not say how.")
}

/// The pieces of a body that is packed.
type Pieces = BoxStream<'static, io::Result<Bytes>>;

/// Whether a body of brotli asks for a window beyond the standard's 16 MiB, as it says at its beginning: up to 1 GiB,
/// which our decoder would give it.
fn has_large_window(first: &io::Result<Bytes>) -> bool {
    first.as_ref().is_ok_and(|piece| piece.first().is_some_and(|byte| byte & 0x7F == 0x11))
}

/// The message of a gRPC call.
pub enum Message {
    AsSent(Body),
    /// It was compressed, and is charged already.
    Unpacked(Body),
}

/// Has the answer compressed only where the request is: many clients say of every call that they could take a compressed
/// answer, and nearly all of them are better off without.
pub fn keep_plain(headers: &mut HeaderMap) {
    if Encoding::of_message(headers).is_none() {
        headers.remove(GRPC_ACCEPT_ENCODING);
    }
}

/// Unpacks the message of a gRPC call, where it is compressed, into `limit` bytes at most; the headers are changed to
/// what they are then.
pub async fn message(body: Body, headers: &mut HeaderMap, limit: usize, head: &Head) -> Result<Message> {
    keep_plain(headers);
    let Some(encoding) = Encoding::of_message(headers) else { return Ok(Message::AsSent(body)) };
    let mut pieces = body.into_data_stream();
    let mut begun = Vec::new();
    while begun.len() < PREFIX
        && let Some(piece) = pieces.next().await
    {
        begun.extend_from_slice(&piece.map_err(unreadable)?);
    }
    let is_compressed = begun.len() >= PREFIX && begun[0] == 1;
    let first = Bytes::from(begun.split_off(if is_compressed { PREFIX } else { 0 }));
    let rest = Body::from_stream(stream::once(async { Ok(first) }).chain(pieces));
    if !is_compressed {
        return Ok(Message::AsSent(rest));
    }
    headers.remove(GRPC_ENCODING);
    let message = encoding.unpack(rest, limit, head).await?;
    let length = u32::try_from(message.len()).map_err(Error::internal)?;
    let prefix = Bytes::from([&[0], &length.to_be_bytes()[..]].concat());
    Ok(Message::Unpacked(Body::from_stream(stream::iter([Ok::<_, Error>(prefix), Ok(message)]))))
}
