//! A row's cells, each checked by itself.

use chrono::{DateTime, Datelike, SubsecRound, Timelike, Utc};

use super::kind::{Column, Content, DirectoryKind, ID};
use crate::{
    date,
    id::OrganisationId,
    secret::{CodeHasher, Secret},
    text,
};

/// The most characters of a text, and of an id.
const TEXT_LENGTH: usize = 255;
const ID_LENGTH: usize = 64;

/// A row that was not imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The line on which the row begins; the first is 1.
    pub line: u64,
    /// Begins with the column at fault, where one is. Holds no secret.
    pub reason: String,
}

/// A row whose cells hold what their columns take.
#[derive(Clone, Debug)]
pub struct Row {
    pub line: u64,
    /// One for each column of the kind.
    pub cells: Vec<Cell>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// The file has no such column, or the object no such name.
    LeftOut,
    Empty,
    /// A text as given, or the hash of a code.
    Text(String),
    /// A pass code, whose hash takes the row's id, which may not be known yet.
    PassCode(Secret),
    Flag(bool),
    Time(DateTime<Utc>),
}

impl Row {
    pub fn text(&self, position: usize) -> Option<&str> {
        match self.cells.get(position) {
            Some(Cell::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub fn id(&self) -> Option<&str> {
        self.text(ID)
    }

    /// The cell of the column `name`.
    pub fn cell(&self, kind: DirectoryKind, name: &str) -> &Cell {
        kind.position(name).and_then(|position| self.cells.get(position)).unwrap_or(&Cell::LeftOut)
    }
}

/// Checks cells, and hashes codes for one organisation.
pub struct Checker {
    pub kind: DirectoryKind,
    pub hasher: CodeHasher,
    pub organisation_id: OrganisationId,
}

impl Checker {
    /// A row of no cells yet.
    pub fn row(&self, line: u64) -> Row {
        Row { line, cells: vec![Cell::LeftOut; self.kind.columns().len()] }
    }

    /// What a cell's text means, or why its column does not take it.
    pub fn check(&self, column: &Column, given: &str) -> Result<Cell, String> {
        self.read(column.content, given).map_err(|reason| format!("{}: {reason}", column.name))
    }

    fn read(&self, content: Content, given: &str) -> Result<Cell, String> {
        if given.is_empty() {
            return Ok(Cell::Empty);
        }
        let limit = if matches!(content, Content::Id) { ID_LENGTH } else { TEXT_LENGTH };
        if text::is_longer_than(given, limit) {
            return Err(format!("longer than {limit} characters"));
        }
        if text::has_control_character(given) {
            return Err("holds a control character".to_owned());
        }
        if text::is_blank(given) {
            return Err("blank".to_owned());
        }
        let secret = || Secret::new(given);
        Ok(match content {
            Content::Id | Content::Text | Content::Reference(_) => Cell::Text(given.to_owned()),
            Content::State(states) if states.contains(&given) => Cell::Text(given.to_owned()),
            Content::State(states) => return Err(format!("not one of {}", states.join(", "))),
            Content::Flag => Cell::Flag(flag(given).ok_or("neither true nor false")?),
            Content::Time => Cell::Time(time(given)?),
            Content::AuthenticationCode => Cell::Text(self.hasher.authentication_code(self.organisation_id, &secret())),
            Content::OneTimePassword => Cell::Text(self.hasher.one_time_password(self.organisation_id, &secret())),
            Content::PassCode => Cell::PassCode(secret()),
        })
    }
}

fn flag(given: &str) -> Option<bool> {
    match given {
        "1" => Some(true),
        "0" => Some(false),
        _ if given.eq_ignore_ascii_case("true") => Some(true),
        _ if given.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Reads `2016-06-22T15:00:00`, with a fraction and an offset or `Z` where given; without an offset it is UTC. What
/// is finer than a microsecond is cut off, because PostgreSQL keeps no more.
fn time(given: &str) -> Result<DateTime<Utc>, String> {
    const FORM: &str = "not a date and time like 2016-06-22T15:00:00, with an offset or Z where it is not UTC";
    // chrono reads shorter and longer forms too; only the documented one is taken.
    let shape = given.as_bytes().get(..19).ok_or(FORM)?;
    let is_documented = shape.iter().zip(b"0000-00-00T00:00:00").all(|(byte, form)| match form {
        b'0' => byte.is_ascii_digit(),
        _ => byte == form,
    });
    if !is_documented {
        return Err(FORM.to_owned());
    }
    let time = date::read(given).ok_or(FORM)?;
    if time.nanosecond() >= 1_000_000_000 {
        return Err("a leap second".to_owned());
    }
    if !(1..=9999).contains(&time.year()) {
        return Err("not in the years 1 to 9999".to_owned());
    }
    Ok(time.trunc_subsecs(6))
}
