//! What can be wrong with the database.

/// Why the database cannot be used, or not wholly. Its text is for callers and operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("The database cannot be reached; try again.")]
    Unreachable,
    /// It may only have much to do, so calls still try.
    #[error("The database does not answer in time; try again.")]
    Silent,
    #[error("The database has no connection or no memory left; try again.")]
    Exhausted,
    #[error("The database takes no writes at present; try again.")]
    ReadOnly,
    #[error("The database has no room left, or cannot write to its disk; try again.")]
    Full,
    #[error("The database is busy; try again.")]
    Busy,
    #[error("Another program holds the database; try again.")]
    Locked,
    /// What is written to the open file would be found by nobody.
    #[error("The database's file is gone or is another one; the operator has to restart the service.")]
    FileGone,
    /// It answers with an error that says none of these.
    #[error("The database fails; try again.")]
    Failing,
}

impl Fault {
    pub const ALL: [Self; 9] = [
        Self::Unreachable,
        Self::Silent,
        Self::Exhausted,
        Self::ReadOnly,
        Self::Full,
        Self::Busy,
        Self::Locked,
        Self::FileGone,
        Self::Failing,
    ];

    /// By which it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Silent => "silent",
            Self::Exhausted => "exhausted",
            Self::ReadOnly => "read_only",
            Self::Full => "full",
            Self::Busy => "busy",
            Self::Locked => "locked",
            Self::FileGone => "file_gone",
            Self::Failing => "failing",
        }
    }
}
