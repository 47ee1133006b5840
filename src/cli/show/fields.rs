//! What is shown: names and values, as lines for people or as JSON for programs.

use std::{
    fmt::{self, Display},
    io::{self, Write},
};

use serde::{Serialize, Serializer, ser::SerializeMap};

/// Names with their values, in the order in which they are shown.
#[derive(Default)]
pub struct Fields(Vec<(&'static str, Shown)>);

enum Shown {
    Text(String),
    Number(i64),
    /// On a line each.
    Rows(Vec<Fields>),
}

impl Fields {
    pub fn text(mut self, name: &'static str, text: impl Display) -> Self {
        self.0.push((name, Shown::Text(text.to_string())));
        self
    }

    /// What is not there is left out.
    pub fn optional(self, name: &'static str, text: Option<impl Display>) -> Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    pub fn number(mut self, name: &'static str, number: i64) -> Self {
        self.0.push((name, Shown::Number(number)));
        self
    }

    pub fn rows(mut self, name: &'static str, rows: Vec<Self>) -> Self {
        self.0.push((name, Shown::Rows(rows)));
        self
    }

    pub fn print(&self, as_json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if as_json {
            serde_json::to_writer_pretty(&mut out, self)?;
            return writeln!(out);
        }
        for (name, shown) in &self.0 {
            let name = name.replace('_', " ");
            match shown {
                Shown::Rows(rows) if rows.is_empty() => writeln!(out, "{name}: none")?,
                Shown::Rows(rows) => {
                    writeln!(out, "{name}:")?;
                    for row in rows {
                        let fields = row.0.iter().map(|(name, shown)| format!("{} {shown}", name.replace('_', " ")));
                        writeln!(out, "  {}", fields.collect::<Vec<_>>().join(", "))?;
                    }
                }
                shown => writeln!(out, "{name}: {shown}")?,
            }
        }
        Ok(())
    }
}

/// Without what would move the cursor of a terminal, or speak to it: texts are those of callers.
impl Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => text.chars().try_for_each(|c| match c.is_control() {
                true => write!(f, "{}", c.escape_default()),
                false => write!(f, "{c}"),
            }),
            Self::Number(number) => number.fmt(f),
            Self::Rows(rows) => rows.len().fmt(f),
        }
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, shown) in &self.0 {
            match shown {
                Shown::Text(text) => map.serialize_entry(name, text)?,
                Shown::Number(number) => map.serialize_entry(name, number)?,
                Shown::Rows(rows) => map.serialize_entry(name, rows)?,
            }
        }
        map.end()
    }
}
