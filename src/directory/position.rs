//! Where in a file its readers are, and how far they may have to go.

/// The most bytes of one row. A row with every column full is far below; a CSV file with an open quote is not.
pub const MAXIMUM_ROW_BYTES: u64 = 1 << 20;

/// How far a source has been read.
#[derive(Clone, Copy)]
pub struct Position {
    pub bytes: u64,
    /// The line of the next byte; the first is 1.
    pub line: u64,
}

impl Position {
    pub fn advance(&mut self, read: &[u8]) {
        self.bytes += read.len() as u64;
        self.line += read.iter().filter(|&&byte| byte == b'\n').count() as u64;
    }
}
