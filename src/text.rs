//! What a text from outside may hold, and how a name that a stranger gave is shown.

use std::borrow::Cow;

/// Whether there is nothing in it but blank space.
pub fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

pub fn is_longer_than(text: &str, characters: usize) -> bool {
    // Nearly no text has more bytes, and only then they need counting.
    text.len() > characters && text.chars().count() > characters
}

/// Whether it has a control character, of those that a text of one line has none of.
pub fn has_control_character(line: &str) -> bool {
    may_have_one(line) && line.chars().any(char::is_control)
}

/// The same of a text that may have several lines, and tabs.
pub fn has_control_character_but_tabs_and_line_ends(text: &str) -> bool {
    may_have_one(text) && text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
}

/// Tells by the bytes that nearly no text needs a closer look.
fn may_have_one(text: &str) -> bool {
    /// The control characters beyond ASCII begin with it.
    const FIRST_OF_C1: u8 = 0xC2;
    text.bytes().any(|byte| byte.is_ascii_control() || byte == FIRST_OF_C1)
}

/// A value for a sentence: in quotes, so that blanks at its ends are seen, unless it is a plain word, as the documentation
/// has them.
pub fn shown(value: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "-._@+/:#".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) { value.into() } else { format!("{value:?}").into() }
}

/// The same of a value of any length, of which a sentence has the beginning.
pub fn shown_short(value: &str) -> String {
    shown(&printable(value)).into_owned()
}

/// Names in a sentence: `a, b and c`.
pub fn listed(names: &[&str]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        names => names.concat(),
    }
}

/// Of the names that there are, the one that was probably meant.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Beyond it, names have little in common.
    const LEAST: f64 = 0.85;
    let bare = |name: &str| name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let name = bare(name);
    let alike = names.map(|other| (strsim::jaro_winkler(&name, &bare(other)), other));
    alike.filter(|(likeness, _)| *likeness >= LEAST).max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, other)| other)
}

/// An attribute's or a field's name for an answer: cut short, without control characters.
pub fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// A column's name for a report: cut short, in quotes, and escaped.
pub fn quoted(name: &str) -> String {
    let short: String = name.chars().take(64).collect();
    format!("{short:?}")
}
