//! Objects of NDJSON into rows.

use serde_json::Value;

use super::{
    kind::Content,
    rejection::{Code, Fault},
    row::{Cell, Checker, Row},
};
use crate::{
    rows::{ERROR_COLUMNS, ndjson::Object},
    text::quoted,
};

/// Reads the object of a line into a row, or says why it is none.
pub fn read_row(checker: &Checker, line: u64, bytes: &[u8]) -> Result<Row, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::new(Code::WrongEncoding, "not UTF-8"))?;
    // The parser's own message could quote the line, and with it a secret.
    let object: Object<Value> = serde_json::from_str(text.trim_end()).map_err(|error| {
        let place = if error.column() == 0 { String::new() } else { format!(" (column {})", error.column()) };
        Fault::new(Code::NotAnObject, format!("not a JSON object{place}"))
    })?;
    read_members(checker, line, &object.0, scalar)
}

/// Reads the values of columns into a row, each by the text that a CSV cell would hold, or says why it is none.
pub fn read_members<N: AsRef<str>, V>(
    checker: &Checker,
    line: u64,
    members: &[(N, V)],
    text: impl Fn(Content, &V) -> Option<String>,
) -> Result<Row, Fault> {
    let mut row = checker.row(line);
    for (name, value) in members {
        let name = name.as_ref();
        let Some(position) = checker.kind.position(name) else {
            if ERROR_COLUMNS.contains(&name) {
                continue;
            }
            let suspect = checker.kind.other_of(&members.iter().map(|(name, _)| name.as_ref()).collect::<Vec<_>>());
            return Err(
                Fault::new(Code::UnknownColumn, format!("{}: no such column", quoted(name))).suspecting(suspect)
            );
        };
        let column = &checker.kind.columns()[position];
        if row.cells[position] != Cell::LeftOut {
            return Err(Fault::of(column, Code::RepeatedColumn, "given twice"));
        }
        let text =
            text(column.content, value).ok_or_else(|| Fault::of(column, Code::WrongType, "of the wrong type"))?;
        row.cells[position] = checker.check(column, &text)?;
    }
    Ok(row)
}

/// The text that a CSV cell would hold. Whole numbers are taken for texts, as programs that write NDJSON make them of
/// codes in digits.
fn scalar(content: Content, value: &Value) -> Option<String> {
    match (content, value) {
        (_, Value::Null) => Some(String::new()),
        (_, Value::String(text)) => Some(text.clone()),
        (Content::Flag, Value::Bool(flag)) => Some(flag.to_string()),
        (Content::State(_) | Content::Time, _) => None,
        (_, Value::Number(number)) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}
