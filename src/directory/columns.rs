//! What a file of a kind has, for those who make one.

use super::{
    kind::{Column, Content, DirectoryKind, Need},
    row::{ID_LENGTH, TEXT_LENGTH},
};
use crate::rows::csv::write_line;

/// The columns of a kind, a line each: its name, what it holds, and what becomes of a row without it.
pub fn describe(kind: DirectoryKind) -> String {
    let width = kind.columns().iter().map(|column| column.name.len()).max().unwrap_or_default();
    kind.columns().iter().map(|column| format!("{:width$}  {}\n", column.name, describe_column(column))).collect()
}

fn describe_column(column: &Column) -> String {
    let holds = match column.content {
        Content::Id => format!("an id of at most {ID_LENGTH} characters; a new row gets one where there is none"),
        Content::Text => format!("a text of at most {TEXT_LENGTH} characters"),
        Content::State(states) => format!("one of {}, in any case", states.join(", ")),
        Content::Flag => "true or false, or 1 or 0".to_owned(),
        Content::Time => {
            "a date and time like 2016-06-22T15:00:00, with a fraction, and Z, +02:00 or +0200, where given; without \
             an offset it is UTC"
                .to_owned()
        }
        Content::AuthenticationCode | Content::OneTimePassword | Content::PassCode => {
            format!("a code of at most {TEXT_LENGTH} characters, stored as a hash")
        }
        Content::Reference(to) => format!("the {} of a row of {to}", to.natural_key()),
    };
    let need = match column.need {
        Need::Mandatory => "; a new row needs it",
        Need::Default(default) => &format!("; {default} where a new row has none"),
        Need::Optional => "",
    };
    let unique = if column.unique { "; no two rows have the same" } else { "" };
    format!("{holds}{need}{unique}")
}

/// A file of a kind with one row, which can be imported after those of the kinds before it.
pub fn template(kind: DirectoryKind) -> String {
    let mut text = Vec::new();
    write_line(&mut text, kind.columns().iter().map(|column| column.name.as_bytes()), b',');
    text.push(b'\n');
    write_line(&mut text, kind.columns().iter().map(|column| column.example.as_bytes()), b',');
    text.push(b'\n');
    String::from_utf8_lossy(&text).into_owned()
}
