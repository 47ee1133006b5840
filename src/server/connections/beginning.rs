//! How a connection begins: by TLS where the server speaks it. Who speaks otherwise is told so, as it can read it.

use std::{io, sync::Arc};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::{connection::Connection, stream::Sending};
use crate::{
    error::ErrorKind,
    tls::{self, Tls},
    transport::{request::Client, status},
};

/// What calls come by, in the clear or not.
pub type Stream = Either<Sending<TcpStream>, Box<TlsStream<Sending<TcpStream>>>>;

/// What a handshake of TLS begins with.
const HANDSHAKE: u8 = 22;

/// How many bytes are still read of a peer that is told to go: it may not see what it is told before it has sent them.
const LEFT: u64 = 256 * 1024;

const SPEAK_TLS: &str = "This port speaks TLS alone: call it by https.";
const SPEAK_PLAINLY: &str = "This port does not speak TLS: call it by http.";

/// What calls are to come by, and whose certificate the peer has shown. None where there is nobody to serve.
pub async fn begin(
    stream: TcpStream,
    tls: Option<&Tls>,
    connection: &Arc<Connection>,
) -> Option<(Stream, Option<Client>)> {
    let mut first = [0; 3];
    let seen = stream.peek(&mut first).await.ok()?;
    let is_handshake = *first.get(..seen)?.first()? == HANDSHAKE;
    let peer = connection.peer();
    match tls {
        None if is_handshake => {
            tracing::info!(%peer, "a caller speaks TLS, which this port does not");
            tell(stream, &http1_refusal(SPEAK_PLAINLY)).await;
            None
        }
        None => Some((Either::Left(Sending::new(stream, connection.clone())), None)),
        Some(_) if !is_handshake => {
            tracing::info!(%peer, "a caller does not speak TLS, which this port does");
            let is_http2 = &first == b"PRI";
            tell(stream, &if is_http2 { http2_refusal(SPEAK_TLS) } else { http1_refusal(SPEAK_TLS) }).await;
            None
        }
        Some(tls) => {
            let accepting = tls.acceptor().accept(Sending::new(stream, connection.clone())).into_fallible();
            match accepting.await {
                Ok(stream) => {
                    let client = client(&stream);
                    Some((Either::Right(Box::new(stream)), client))
                }
                Err((error, stream)) => {
                    fail(&error, connection);
                    leave(stream).await;
                    None
                }
            }
        }
    }
}

fn client(stream: &TlsStream<Sending<TcpStream>>) -> Option<Client> {
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates()?.first()?;
    Some(Client(tls::subject(certificate).into()))
}

fn fail(error: &io::Error, connection: &Connection) {
    let peer = connection.peer();
    // Who only looks whether the port is open is no news.
    if error.kind() == io::ErrorKind::InvalidData {
        tracing::info!(%peer, %error, "a handshake failed");
    } else {
        tracing::debug!(%peer, %error, "a handshake broke off");
    }
}

async fn tell(mut stream: TcpStream, answer: &[u8]) {
    if stream.write_all(answer).await.is_ok() {
        leave(stream).await;
    }
}

/// Ends a connection such that the peer sees what was said last: what it still sends would end it otherwise.
async fn leave(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) {
    if stream.shutdown().await.is_ok() {
        _ = tokio::io::copy(&mut stream.take(LEFT), &mut tokio::io::sink()).await;
    }
}

/// The documented envelope.
fn http1_refusal(message: &str) -> Vec<u8> {
    let row = status::row_of(ErrorKind::MalformedRequest);
    let status = json!({"code": row.code, "description": row.description, "message": message});
    let body = json!({"data": {}, "status": status}).to_string();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: \
         close\r\n\r\n"
    );
    [head, body].concat().into_bytes()
}

/// SETTINGS, with which a server begins, and GOAWAY, which most clients of gRPC show.
fn http2_refusal(message: &str) -> Vec<u8> {
    const INADEQUATE_SECURITY: u32 = 12;
    const LAST_STREAM: u32 = 0;
    // The message is short.
    let length = (8 + message.len()) as u8;
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let head = [0, 0, length, 7, 0, 0, 0, 0, 0];
    let numbers = [LAST_STREAM, INADEQUATE_SECURITY].map(u32::to_be_bytes).concat();
    [&settings[..], &head, &numbers, message.as_bytes()].concat()
}
