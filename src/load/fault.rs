//! What is wrong with a row that cannot be made an event, and with a load that cannot go on.

/// Why a row is not sent.
#[derive(Clone, Debug)]
pub struct Fault {
    pub code: Code,
    /// A sentence that names what is at fault; never a secret.
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    OpenQuote,
    CellCount,
    WrongEncoding,
    NotAnObject,
    RowTooLong,
    UnknownAttribute,
    RepeatedAttribute,
    WrongType,
    NotANumber,
    NotADate,
    SecretInHash,
}

impl Fault {
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

impl Code {
    const ALL: [Self; 11] = [
        Self::OpenQuote,
        Self::CellCount,
        Self::WrongEncoding,
        Self::NotAnObject,
        Self::RowTooLong,
        Self::UnknownAttribute,
        Self::RepeatedAttribute,
        Self::WrongType,
        Self::NotANumber,
        Self::NotADate,
        Self::SecretInHash,
    ];

    /// As in the file of failed rows.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenQuote => "OPEN_QUOTE",
            Self::CellCount => "CELL_COUNT",
            Self::WrongEncoding => "WRONG_ENCODING",
            Self::NotAnObject => "NOT_AN_OBJECT",
            Self::RowTooLong => "ROW_TOO_LONG",
            Self::UnknownAttribute => "UNKNOWN_ATTRIBUTE",
            Self::RepeatedAttribute => "REPEATED_ATTRIBUTE",
            Self::WrongType => "WRONG_TYPE",
            Self::NotANumber => "NOT_A_NUMBER",
            Self::NotADate => "NOT_A_DATE",
            Self::SecretInHash => "SECRET_IN_HASH",
        }
    }

    pub fn hint(self) -> &'static str {
        match self {
            Self::OpenQuote => "write a quote that belongs to a text twice, and quote the whole cell",
            Self::CellCount => "quote a cell that holds the delimiter",
            Self::WrongEncoding => "save the file as CSV UTF-8, or say --encoding windows-1252",
            Self::NotAnObject => "every line is an object of its own",
            Self::RowTooLong => "a quote or a line end may be missing",
            Self::UnknownAttribute => "name it with --column 'NAME=ATTRIBUTE', or pass over it with --column 'NAME='",
            Self::RepeatedAttribute => "leave one out",
            Self::WrongType => "an attribute is a text or a number, or an object of attributes",
            Self::NotANumber => "write it like 12.5",
            Self::NotADate => "say how the file writes dates: --date-format '%d/%m/%Y %H:%M'",
            Self::SecretInHash => "take references from a column: --reference-from COLUMN",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }
}

/// Why a load is not carried out, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The file, the journal and the command do not go together: nothing was done.
    #[error("{0}")]
    Unusable(String),
    /// It stopped; the same command goes on.
    #[error("{0}")]
    Stopped(String),
    /// The same, as somebody wanted it.
    #[error("stopped")]
    ToldToStop,
}

impl Trouble {
    pub fn unusable(sentence: impl Into<String>) -> Self {
        Self::Unusable(sentence.into())
    }

    pub fn stopped(sentence: impl Into<String>) -> Self {
        Self::Stopped(sentence.into())
    }
}
