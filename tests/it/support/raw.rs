//! Connections on which a test writes what it likes.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

/// How long a server may take for what it does at once, or after a limit of a test.
const PATIENCE: Duration = Duration::from_secs(60);

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The kinds of HTTP/2 frames.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GO_AWAY: u8 = 7;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("a connection")
}

/// A connection that holds little of what is not read.
pub async fn connect_narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a buffer");
    socket.connect(address).await.expect("a connection")
}

/// Begins a call over HTTP/1.1, and waits until the server asks for its body: from then on the call is under way.
pub async fn begin_call(address: SocketAddr, path: &str, length: usize) -> TcpStream {
    let mut stream = connect(address).await;
    let head = format!(
        "POST /{path} HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         expect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("a server that reads");
    let mut word = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    let reading = tokio::time::timeout(PATIENCE, stream.read_exact(&mut word)).await;
    reading.expect("a server that asks for the body").expect("a word");
    assert!(word.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&word));
    stream
}

/// Waits until the server ends the connection; answers what it said before.
pub async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    // A server that leaves bytes unread resets the connection.
    _ = reading.expect("the connection does not end");
    bytes
}

/// Writes `bytes` again and again until the server ends the connection; answers how often they were written.
pub async fn write_until_ended(stream: &mut TcpStream, bytes: &[u8], pause: Duration) -> usize {
    let writing = async {
        for n in 0.. {
            if stream.write_all(bytes).await.is_err() {
                return n;
            }
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
        unreachable!("no number is the last")
    };
    tokio::time::timeout(PATIENCE, writing).await.expect("the connection does not end")
}

/// A frame of HTTP/2.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The headers of a request as a payload, none of them compressed.
pub fn headers(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let first = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost")];
    let mut payload = Vec::new();
    for (name, value) in first.iter().chain(more) {
        payload.push(0);
        for text in [name, value] {
            payload.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text"));
            payload.extend(text.as_bytes());
        }
    }
    payload
}

/// What an HTTP/2 connection begins with; `settings` are numbers and values.
pub fn greeting(settings: &[(u16, u32)]) -> Vec<u8> {
    let settings: Vec<u8> =
        settings.iter().flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    [PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat()
}

/// Reads the next frame: its kind, its stream and its payload; none where the connection ends.
pub async fn read_frame(stream: &mut TcpStream) -> Option<(u8, u32, Vec<u8>)> {
    let reading = async {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, _flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).await.ok()?;
        Some((kind, u32::from_be_bytes(id), payload))
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("neither a frame nor an end")
}

/// Reads frames until one of this kind.
pub async fn read_until(stream: &mut TcpStream, kind: u8) -> Option<(u32, Vec<u8>)> {
    loop {
        let (found, id, payload) = read_frame(stream).await?;
        if found == kind {
            return Some((id, payload));
        }
    }
}

/// The frames of a whole request over HTTP/2 that is answered with a refusal, which has a body.
pub fn refused_frame(stream: u32) -> Vec<u8> {
    let headers = headers("GET", "/nothing", &[]);
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &headers)
}
