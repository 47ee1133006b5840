//! What separates the cells of a CSV file.

use super::ERROR_COLUMNS;

/// Characters between which cells may have been meant to end.
pub const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];

/// What a first line `sep=;` says, which Excel obeys and hides.
pub fn told_delimiter(line: &[u8]) -> Option<u8> {
    match line.trim_ascii() {
        [s, e, p, b'=', delimiter] if [*s, *e, *p].eq_ignore_ascii_case(b"sep") && delimiter.is_ascii() => {
            Some(*delimiter)
        }
        // A tab at its end was trimmed.
        trimmed if trimmed.eq_ignore_ascii_case(b"sep=") && line.contains(&b'\t') => Some(b'\t'),
        _ => None,
    }
}

/// That delimiter by which the line of a header becomes the most names that are known, else the most cells.
pub fn find_delimiter(line: &[u8], is_known: impl Fn(&str) -> bool) -> u8 {
    let score = |delimiter: u8| {
        let cells = || line.split(|byte| *byte == delimiter);
        let known = cells().filter(|cell| {
            let name = String::from_utf8_lossy(cell);
            let name = name.trim().trim_matches('"').trim();
            is_known(name) || is_error_column(name)
        });
        (known.count(), cells().count())
    };
    let mut best = b',';
    for delimiter in [b';', b'\t'] {
        if score(delimiter) > score(best) {
            best = delimiter;
        }
    }
    best
}

pub fn is_error_column(name: &str) -> bool {
    ERROR_COLUMNS.iter().any(|column| column.eq_ignore_ascii_case(name))
}
