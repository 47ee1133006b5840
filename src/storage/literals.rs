//! Values within statements that are sent without parameters.

use sea_orm::{DbBackend, Value};

/// A text. In hexadecimal digits it is nothing but a text, whatever its characters and the settings of the session; one that
/// is plain is so as it stands.
pub fn text(backend: DbBackend, text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b" -_.,:;@/+#".contains(&byte);
    if text.bytes().all(is_plain) {
        return format!("'{text}'");
    }
    let digits = hex::encode(text);
    match backend {
        DbBackend::Postgres => format!("convert_from(decode('{digits}', 'hex'), 'UTF8')"),
        _ => format!("CAST(x'{digits}' AS TEXT)"),
    }
}

/// A value of a column of PostgreSQL, where there is one; `None` where its type is not known here.
pub fn postgres(value: Value) -> Option<Option<String>> {
    Some(match value {
        Value::Bool(value) => value.map(|value| value.to_string()),
        Value::BigInt(value) => value.map(|value| value.to_string()),
        // The shortest digits that are read back as the same number.
        Value::Double(value) => value.map(|value| format!("'{value:?}'")),
        Value::String(value) => value.map(|value| text(DbBackend::Postgres, &value)),
        Value::Bytes(value) => value.map(|value| format!("decode('{}', 'hex')", hex::encode(value))),
        Value::Uuid(value) => value.map(|value| format!("'{value}'")),
        Value::ChronoDateTimeUtc(value) => value.map(|value| format!("'{}'", value.to_rfc3339())),
        _ => return None,
    })
}
