//! The bytes of a file in UTF-8, whatever it was saved in.

use std::{
    io::{self, Chain, Cursor, Read},
    str::FromStr,
};

use encoding_rs::{Decoder, DecoderResult, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::error::{Error, ErrorKind, Result};

/// How the text of a file is encoded, where no byte order mark says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Utf8,
    Utf16,
    /// Latin-1 and some more.
    Windows1252,
}

impl FromStr for Encoding {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Ok(Self::Utf8),
            "utf-16" | "utf16" => Ok(Self::Utf16),
            "windows-1252" | "latin1" | "latin-1" | "iso-8859-1" => Ok(Self::Windows1252),
            _ => Err(Error::new(
                ErrorKind::MalformedRequest,
                "the encoding is one of utf-8, utf-16, windows-1252 and latin1",
            )),
        }
    }
}

/// The first bytes of a file, and the whole of it.
type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

/// A file in UTF-8, without its byte order mark.
pub struct Text {
    pub source: Box<dyn Read>,
    /// Whether programs that take a file without a byte order mark for something else are to be told that it is UTF-8.
    pub needs_mark: bool,
}

/// Finds out by its first bytes how a file is encoded.
pub fn decode<R: Read + 'static>(mut source: R, given: Option<Encoding>) -> Result<Text, io::Error> {
    let mut first = Vec::new();
    source.by_ref().take(4).read_to_end(&mut first)?;
    if let Some(program) = spreadsheet(&first) {
        return Err(io::Error::other(format!(
            "it is not text but {program}: open it there and save it as \"CSV UTF-8 (Comma delimited) (*.csv)\""
        )));
    }
    let (encoding, mark) = match encoding_rs::Encoding::for_bom(&first) {
        Some(found) => found,
        None => (without_mark(&first, given)?, 0),
    };
    first.drain(..mark);
    let whole = Cursor::new(first).chain(source);
    if encoding == encoding_rs::UTF_8 {
        return Ok(Text { source: Box::new(whole), needs_mark: mark > 0 });
    }
    let decoder = encoding.new_decoder_without_bom_handling();
    let decoded =
        Decoded { source: whole, decoder, input: vec![0; 1 << 14], start: 0, end: 0, is_at_end: false, is_done: false };
    Ok(Text { source: Box::new(decoded), needs_mark: true })
}

fn without_mark(first: &[u8], given: Option<Encoding>) -> io::Result<&'static encoding_rs::Encoding> {
    match given {
        Some(Encoding::Windows1252) => Ok(WINDOWS_1252),
        Some(Encoding::Utf16) if first.first() == Some(&0) => Ok(UTF_16BE),
        Some(Encoding::Utf16) => Ok(UTF_16LE),
        // Of text in UTF-16 that begins with a letter of ASCII, one of the first bytes is 0.
        None if first.iter().take(2).any(|byte| *byte == 0) => {
            Err(io::Error::other("it looks like UTF-16 without a byte order mark; say --encoding utf-16"))
        }
        _ => Ok(encoding_rs::UTF_8),
    }
}

fn spreadsheet(first: &[u8]) -> Option<&'static str> {
    match first {
        b"PK\x03\x04" => Some("a workbook (.xlsx or .ods), or another zip archive"),
        b"\xD0\xCF\x11\xE0" => Some("a workbook (.xls)"),
        _ => None,
    }
}

struct Decoded<R> {
    source: Whole<R>,
    decoder: Decoder,
    input: Vec<u8>,
    start: usize,
    end: usize,
    is_at_end: bool,
    /// Whether the decoder has given its last: it must not be asked again.
    is_done: bool,
}

/// Takes a buffer of at least four bytes, as `BufReader` has one.
impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        while !self.is_done {
            if self.start == self.end && !self.is_at_end {
                (self.start, self.end) = (0, self.source.read(&mut self.input)?);
                self.is_at_end = self.end == 0;
            }
            let input = &self.input[self.start..self.end];
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(input, output, self.is_at_end);
            self.start += read;
            self.is_done = self.is_at_end && matches!(result, DecoderResult::InputEmpty);
            match result {
                DecoderResult::Malformed(..) => {
                    return Err(io::Error::other(format!("it is not {}", self.decoder.encoding().name())));
                }
                DecoderResult::InputEmpty if written == 0 && !self.is_at_end => {}
                DecoderResult::InputEmpty | DecoderResult::OutputFull => return Ok(written),
            }
        }
        Ok(0)
    }
}
