//! Rows of a file that name what an earlier row of it names.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState},
};

use super::{
    kind::{DirectoryKind, ID},
    row::Row,
    summary::Repeat,
};
use crate::text::quoted;

/// What the rows of a file have named so far: its hash, and the line of the first. The names themselves would take several
/// times as much memory, and of ten million two have the same hash once in three hundred thousand files.
pub struct Seen {
    kind: DirectoryKind,
    natural_key: usize,
    hasher: RandomState,
    lines: HashMap<u64, u64, BuildHasherDefault<Hashed>>,
}

impl Seen {
    pub fn new(kind: DirectoryKind) -> Self {
        let natural_key = kind.position(kind.natural_key()).unwrap_or(ID);
        Self { kind, natural_key, hasher: RandomState::new(), lines: HashMap::default() }
    }

    /// Keeps what a row names: its id, else its natural key. Answers it where an earlier row named the same.
    pub fn note(&mut self, row: &Row) -> Option<Repeat> {
        let position = if row.id().is_some() { ID } else { self.natural_key };
        let name = row.text(position)?;
        match self.lines.entry(self.hasher.hash_one((position, name))) {
            Entry::Vacant(entry) => {
                entry.insert(row.line);
                None
            }
            Entry::Occupied(entry) => {
                let by = if position == ID { " with the id" } else { "" };
                let name = format!("{}{by} {}", self.kind.noun(), quoted(name));
                Some(Repeat { line: row.line, first_line: *entry.get(), name })
            }
        }
    }
}

/// The hash of what is hashed already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
