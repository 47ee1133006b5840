//! What an import did.

use std::collections::BTreeMap;

use super::{
    kind::DirectoryKind,
    rejection::{Cause, Rejection},
    store::Outcome,
};

/// Of rejected rows, and of rows that repeat what an earlier one names, as many are named.
pub const NAMED: usize = 1000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportSummary {
    /// How many rows were read: as many as the next four add up to.
    pub read: u64,
    pub inserted: u64,
    pub updated: u64,
    /// The rows that say what was stored already.
    pub unchanged: u64,
    pub rejected: u64,
    /// The first [`NAMED`] rejected rows, by line.
    pub rejections: Vec<Rejection>,
    /// How many rows were rejected for each reason.
    pub causes: BTreeMap<Cause, u64>,
    pub remarks: Remarks,
}

/// What the reader of a file noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// How many cells had blanks around them, which were cut.
    pub blanks_cut: u64,
    /// How many rows had blank cells alone, and were passed over. They are not among those that were read.
    pub blank_rows: u64,
    /// How many rows name what an earlier row of the file names.
    pub repeated: u64,
    /// The first [`NAMED`] of them.
    pub repeats: Vec<Repeat>,
    /// How many cells of a file with one column hold what may be a delimiter.
    pub delimiters: u64,
    /// The first of them: its line, and what it holds.
    pub first_delimiter: Option<(u64, char)>,
    /// The kind that the columns are of, where they lack one that new rows of the kind given need.
    pub suspect: Option<DirectoryKind>,
}

/// A row that names what an earlier row of the file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeat {
    pub line: u64,
    pub first_line: u64,
    /// What both name.
    pub name: String,
}

impl ImportSummary {
    /// Adds so many rows, and what became of those of them that were stored.
    pub(super) fn count(&mut self, read: usize, outcome: &Outcome) {
        self.read += read as u64;
        self.inserted += outcome.inserted;
        self.updated += outcome.updated;
        self.unchanged += outcome.unchanged;
    }

    /// Adds the rejections of a batch, by line.
    pub(super) fn reject(&mut self, rejections: Vec<Rejection>) {
        self.rejected += rejections.len() as u64;
        for rejection in rejections {
            *self.causes.entry(rejection.cause).or_default() += 1;
            if self.rejections.len() < NAMED {
                self.rejections.push(Rejection { source: None, ..rejection });
            }
        }
    }
}

impl Remarks {
    pub(super) fn repeat(&mut self, repeat: Repeat) {
        self.repeated += 1;
        if self.repeats.len() < NAMED {
            self.repeats.push(repeat);
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.blanks_cut += other.blanks_cut;
        self.blank_rows += other.blank_rows;
        self.repeated += other.repeated;
        self.repeats.extend(other.repeats.into_iter().take(NAMED - self.repeats.len()));
        self.delimiters += other.delimiters;
        self.first_delimiter = self.first_delimiter.or(other.first_delimiter);
        self.suspect = self.suspect.or(other.suspect);
    }
}
