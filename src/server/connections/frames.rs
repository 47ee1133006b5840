//! Watches the frames that come on an HTTP/2 connection, by their heads alone. h2 bounds what resets, small DATA frames
//! and CONTINUATION cost; it answers PING and SETTINGS, and passes over PRIORITY, as fast as they come.

use std::time::Instant;

/// How many control frames may come at once, and how many a second after that.
const BURST: f64 = 10_000.0;
const RATE: f64 = 1_000.0;

/// How many control frames come with honest work: pings and window updates beside each call, and window updates for
/// each KiB that the peer is sent.
const PER_CALL: f64 = 10.0;
const PER_KIB_SENT: f64 = 1.0;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_LENGTH: usize = 9;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Too little has come to tell.
    Unknown,
    Http1,
    Http2,
}

/// The peer sent more control frames than any honest one does.
#[derive(Debug, thiserror::Error)]
#[error("the peer floods the connection with control frames")]
pub struct Flood;

#[derive(Debug)]
pub struct Frames {
    protocol: Protocol,
    /// How much of the preface, or of the head of a frame, is there.
    filled: usize,
    head: [u8; HEAD_LENGTH],
    /// What is still to come of the frame's payload.
    payload: usize,
    /// Whether what is awaited is needed to go on: the frame that must come first, or the rest of a request's headers.
    is_head_awaited: bool,
    allowance: f64,
    counted: Instant,
}

impl Frames {
    pub fn new(now: Instant) -> Self {
        Self {
            protocol: Protocol::Unknown,
            filled: 0,
            head: [0; HEAD_LENGTH],
            payload: 0,
            is_head_awaited: true,
            allowance: BURST,
            counted: now,
        }
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether HTTP/2's first frame, or the headers of a request, have not come to their end.
    pub fn is_head_awaited(&self) -> bool {
        self.is_head_awaited
    }

    /// Takes note of bytes that were sent to the peer.
    pub fn sent(&mut self, bytes: usize) {
        // No connection sends so much at once that the number loses precision.
        self.allowance = (self.allowance + bytes as f64 / 1024.0 * PER_KIB_SENT).min(BURST);
    }

    /// Takes note of bytes that came from the peer.
    pub fn received(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        if self.protocol == Protocol::Unknown {
            bytes = self.tell_protocol(bytes);
        }
        if self.protocol != Protocol::Http2 {
            return Ok(());
        }
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.allowance = (self.allowance + passed * RATE).min(BURST);
        self.counted = now;
        while !bytes.is_empty() {
            if self.payload > 0 {
                let skipped = self.payload.min(bytes.len());
                self.payload -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
                self.end_frame();
                continue;
            }
            let Some((first, rest)) = bytes.split_first() else { break };
            if let Some(place) = self.head.get_mut(self.filled) {
                *place = *first;
            }
            bytes = rest;
            self.filled += 1;
            if self.filled == HEAD_LENGTH {
                self.filled = 0;
                self.begin_frame();
            }
        }
        if self.allowance < 0.0 { Err(Flood) } else { Ok(()) }
    }

    /// Compares with the preface; answers what comes after it.
    fn tell_protocol<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let expected = PREFACE.get(self.filled..).unwrap_or_default();
        let length = expected.len().min(bytes.len());
        let (now, later) = bytes.split_at(length);
        if !expected.starts_with(now) {
            self.protocol = Protocol::Http1;
            return &[];
        }
        self.filled += length;
        if self.filled == PREFACE.len() {
            self.protocol = Protocol::Http2;
            self.filled = 0;
        }
        later
    }

    fn begin_frame(&mut self) {
        let [a, b, c, kind, ..] = self.head;
        self.payload = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        match kind {
            DATA => {}
            HEADERS => {
                self.allowance = (self.allowance + PER_CALL).min(BURST);
                self.is_head_awaited = true;
            }
            _ => self.allowance -= 1.0,
        }
        self.end_frame();
    }

    /// Headers end with the frame that says so; any other frame ends by itself.
    fn end_frame(&mut self) {
        let [_, _, _, kind, flags, ..] = self.head;
        let is_open = matches!(kind, HEADERS | CONTINUATION) && flags & END_HEADERS == 0;
        if self.payload == 0 && !is_open {
            self.is_head_awaited = false;
        }
    }
}
