//! What commands print on standard output.

use std::{
    io::{self, Write},
    sync::OnceLock,
};

/// Why a line could not be printed: the first that could not.
static UNPRINTED: OnceLock<io::Error> = OnceLock::new();

/// Prints a line for the operator. Whether it could be is asked once, when the command is over: [`unprinted`].
pub fn say(line: &str) {
    print(format!("{line}\n").as_bytes());
}

/// As [`say`], of text as it is; answers whether it was printed.
pub fn print(text: &[u8]) -> bool {
    match io::stdout().write_all(text).and_then(|()| io::stdout().flush()) {
        Ok(()) => true,
        Err(error) => {
            _ = UNPRINTED.set(error);
            false
        }
    }
}

/// Why not all was printed. Where nobody reads to the end, there is nothing to say.
pub fn unprinted() -> Option<&'static io::Error> {
    UNPRINTED.get().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
}
