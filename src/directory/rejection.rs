//! Why rows are refused, and what helps.

use std::fmt;

use super::kind::{Column, Content, DirectoryKind};

/// A row that was not imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The line on which the row begins; the first is 1.
    pub line: u64,
    pub cause: Cause,
    /// Begins with the column at fault, where one is. Holds no secret.
    pub reason: String,
    /// The row as it is to stand in the file of rejected rows, where one is wanted.
    pub(super) source: Option<Box<[u8]>>,
}

/// What is wrong with a row.
#[derive(Clone, Debug)]
pub struct Fault {
    pub cause: Cause,
    pub reason: String,
}

/// What rows that were refused for the same reason have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    pub code: Code,
    pub column: Option<&'static str>,
    /// The kind that the rows seem to be of.
    pub suspect: Option<DirectoryKind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    OpenQuote,
    CellCount,
    WrongEncoding,
    NotAnObject,
    RowTooLong,
    UnknownColumn,
    RepeatedColumn,
    WrongType,
    TextTooLong,
    ControlCharacter,
    Blank,
    UnknownState,
    NotAFlag,
    NotADate,
    Missing,
    NotFound(DirectoryKind),
    UnknownId,
    Taken,
    WrongPlace,
    WrongPeriod,
    Busy,
}

impl Fault {
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { cause: Cause { code, column: None, suspect: None }, reason: reason.into() }
    }

    /// A fault of a column's value.
    pub fn of(column: &Column, code: Code, reason: impl fmt::Display) -> Self {
        let cause = Cause { code, column: Some(column.name), suspect: None };
        Self { cause, reason: format!("{}: {reason}", column.name) }
    }

    pub fn suspecting(mut self, kind: Option<DirectoryKind>) -> Self {
        self.cause.suspect = kind;
        self
    }
}

impl Rejection {
    pub(super) fn new(line: u64, fault: Fault, source: Option<Box<[u8]>>) -> Self {
        Self { line, cause: fault.cause, reason: fault.reason, source }
    }
}

impl Code {
    /// As in the file of rejected rows.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenQuote => "OPEN_QUOTE",
            Self::CellCount => "CELL_COUNT",
            Self::WrongEncoding => "WRONG_ENCODING",
            Self::NotAnObject => "NOT_AN_OBJECT",
            Self::RowTooLong => "ROW_TOO_LONG",
            Self::UnknownColumn => "UNKNOWN_COLUMN",
            Self::RepeatedColumn => "REPEATED_COLUMN",
            Self::WrongType => "WRONG_TYPE",
            Self::TextTooLong => "TEXT_TOO_LONG",
            Self::ControlCharacter => "CONTROL_CHARACTER",
            Self::Blank => "BLANK",
            Self::UnknownState => "UNKNOWN_STATE",
            Self::NotAFlag => "NOT_A_FLAG",
            Self::NotADate => "NOT_A_DATE",
            Self::Missing => "MISSING",
            Self::NotFound(_) => "NOT_FOUND",
            Self::UnknownId => "UNKNOWN_ID",
            Self::Taken => "TAKEN",
            Self::WrongPlace => "WRONG_PLACE",
            Self::WrongPeriod => "WRONG_PERIOD",
            Self::Busy => "BUSY",
        }
    }

    fn what(self) -> String {
        match self {
            Self::OpenQuote => "a quote that swallows lines".to_owned(),
            Self::CellCount => "another number of cells than the header".to_owned(),
            Self::WrongEncoding => "not UTF-8".to_owned(),
            Self::NotAnObject => "not a JSON object".to_owned(),
            Self::RowTooLong => "too long a row".to_owned(),
            Self::UnknownColumn => "no such column".to_owned(),
            Self::RepeatedColumn => "given twice".to_owned(),
            Self::WrongType => "of the wrong type".to_owned(),
            Self::TextTooLong => "too long".to_owned(),
            Self::ControlCharacter => "a control character".to_owned(),
            Self::Blank => "blank".to_owned(),
            Self::UnknownState => "no such state".to_owned(),
            Self::NotAFlag => "neither true nor false".to_owned(),
            Self::NotADate => "not a date and time".to_owned(),
            Self::Missing => "missing".to_owned(),
            Self::NotFound(kind) => format!("no such {}", kind.noun()),
            Self::UnknownId => "no such id".to_owned(),
            Self::Taken => "taken by another row".to_owned(),
            Self::WrongPlace => "another place".to_owned(),
            Self::WrongPeriod => "ends before it begins".to_owned(),
            Self::Busy => "written by somebody else at the same time".to_owned(),
        }
    }
}

impl Cause {
    /// What helps, for an import of `kind`.
    fn hint(&self, kind: DirectoryKind) -> String {
        let column = self.column.and_then(|name| kind.columns().iter().find(|column| column.name == name));
        match (self.code, column.map(|column| column.content)) {
            (Code::OpenQuote, _) => "write a quote that belongs to a text twice, and quote the whole cell".to_owned(),
            (Code::CellCount, _) => "quote a cell that holds the delimiter".to_owned(),
            (Code::WrongEncoding, _) => "save the file as CSV UTF-8, or say --encoding windows-1252".to_owned(),
            (Code::NotAnObject, _) => "every line is an object of its own".to_owned(),
            (Code::RowTooLong, _) => "a quote or a line end may be missing".to_owned(),
            (Code::UnknownColumn | Code::WrongType, _) => format!("see: import --columns {kind}"),
            (Code::RepeatedColumn, _) => "leave one out".to_owned(),
            (Code::TextTooLong | Code::ControlCharacter | Code::Blank, _) => "correct the text".to_owned(),
            (Code::UnknownState, Some(Content::State(states))) => format!("write {}", states.join(", ")),
            (Code::UnknownState | Code::NotAFlag, _) => "write true or false".to_owned(),
            (Code::NotADate, _) => "write it like 2016-06-22T15:00:00".to_owned(),
            (Code::Missing, _) => "a new row needs it".to_owned(),
            (Code::NotFound(to), _) => format!("import {to} first"),
            (Code::UnknownId, _) => "leave the id out to find rows by their natural key".to_owned(),
            (Code::Taken, _) => "no two rows may have the same".to_owned(),
            (Code::WrongPlace, _) => "let the unit and the business unit agree".to_owned(),
            (Code::WrongPeriod, _) => "correct one of the dates".to_owned(),
            (Code::Busy, _) => "import the file again".to_owned(),
        }
    }

    /// The reason in words, and what helps.
    pub fn explain(&self, kind: DirectoryKind) -> String {
        let column = self.column.map(|column| format!("{column}: ")).unwrap_or_default();
        let suspicion = self.suspect.map(|suspect| format!("; are these {suspect}?")).unwrap_or_default();
        format!("{column}{}: {}{suspicion}", self.code.what(), self.hint(kind))
    }
}
