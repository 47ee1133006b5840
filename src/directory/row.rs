//! A row's cells, each checked by itself.

use chrono::{DateTime, SubsecRound, Utc};

use super::{
    kind::{Column, Content, DirectoryKind, ID},
    rejection::{Code, Fault, Rejection},
};
use crate::{
    date,
    id::OrganisationId,
    secret::{CodeHasher, Hashes, Secret},
    text,
};

/// The most characters of a text, and of an id.
pub const TEXT_LENGTH: usize = 255;
pub const ID_LENGTH: usize = 64;

/// A row whose cells hold what their columns take.
#[derive(Clone, Debug)]
pub struct Row {
    pub line: u64,
    /// One for each column of the kind.
    pub cells: Vec<Cell>,
    /// The row as it is to stand in the file of rejected rows, where one is wanted.
    pub source: Option<Box<[u8]>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// The file has no such column, or the object no such name.
    LeftOut,
    Empty,
    Text(String),
    /// An authentication code or a one-time password.
    Code(Hashes),
    /// A pass code, whose hash takes the row's id, which may not be known yet.
    PassCode(Secret),
    Flag(bool),
    Time(DateTime<Utc>),
}

impl Row {
    pub fn refuse(&self, fault: Fault) -> Rejection {
        Rejection::new(self.line, fault, self.source.clone())
    }

    /// A text as given, or the hash of a code.
    pub fn text(&self, position: usize) -> Option<&str> {
        match self.cells.get(position) {
            Some(Cell::Text(text)) => Some(text),
            Some(Cell::Code(hashes)) => Some(&hashes.first),
            _ => None,
        }
    }

    /// The hash of a code by the older key, where there are two.
    pub fn old_hash(&self, position: usize) -> Option<&str> {
        match self.cells.get(position) {
            Some(Cell::Code(hashes)) => hashes.second.as_deref(),
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
        Row { line, cells: vec![Cell::LeftOut; self.kind.columns().len()], source: None }
    }

    /// What a cell's text means, or why its column does not take it.
    pub fn check(&self, column: &Column, given: &str) -> Result<Cell, Fault> {
        if given.is_empty() {
            return Ok(Cell::Empty);
        }
        let content = column.content;
        let limit = if matches!(content, Content::Id) { ID_LENGTH } else { TEXT_LENGTH };
        if text::is_longer_than(given, limit) {
            return Err(Fault::of(column, Code::TextTooLong, format_args!("longer than {limit} characters")));
        }
        if text::has_control_character(given) {
            return Err(Fault::of(column, Code::ControlCharacter, "holds a control character"));
        }
        if text::is_blank(given) {
            return Err(Fault::of(column, Code::Blank, "blank"));
        }
        let secret = || Secret::new(given);
        Ok(match content {
            Content::Id | Content::Text | Content::Reference(_) => Cell::Text(given.to_owned()),
            Content::State(states) => Cell::Text(state(column, states, given)?.to_owned()),
            Content::Flag => match flag(given) {
                Some(flag) => Cell::Flag(flag),
                None => return Err(Fault::of(column, Code::NotAFlag, "neither true nor false")),
            },
            Content::Time => match date::read(given) {
                // PostgreSQL keeps no more.
                Ok(time) => Cell::Time(time.trunc_subsecs(6)),
                Err(reason) => return Err(Fault::of(column, Code::NotADate, reason)),
            },
            Content::AuthenticationCode => Cell::Code(self.hasher.authentication_code(self.organisation_id, &secret())),
            Content::OneTimePassword => Cell::Code(self.hasher.one_time_password(self.organisation_id, &secret())),
            Content::PassCode => Cell::PassCode(secret()),
        })
    }
}

fn state(column: &Column, states: &[&'static str], given: &str) -> Result<&'static str, Fault> {
    let same = |states: &[&'static str]| states.iter().copied().find(|state| state.eq_ignore_ascii_case(given));
    same(states).ok_or_else(|| {
        let of_another = |kind: &DirectoryKind| kind.states().is_some_and(|states| same(states).is_some());
        Fault::of(column, Code::UnknownState, format_args!("not one of {}", states.join(", ")))
            .suspecting(DirectoryKind::ALL.into_iter().find(of_another))
    })
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
