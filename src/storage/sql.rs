//! What differs between the engines.
//!
//! The set-based queries are plain SQL that both engines read. A set of keys travels as one array in one
//! parameter, so a statement has the same text, and is prepared once, whatever the number of keys.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, QueryResult, Statement, TryGetable, Value};
use serde::de::DeserializeOwned;

/// A FROM item that turns the JSON array in parameter `$n` into rows `k(value)`, `value` being text.
pub fn each_text(backend: DbBackend, n: usize) -> String {
    match backend {
        DbBackend::Postgres => format!("jsonb_array_elements_text(${n}::jsonb) AS k(value)"),
        _ => format!("json_each(${n}) AS k"),
    }
}

/// A FROM item that turns [`texts`] in parameter `$n` into rows `k(value)`, with the expression [`position`].
pub fn each_numbered(backend: DbBackend, n: usize) -> String {
    match backend {
        DbBackend::Postgres => format!("unnest(${n}::text[]) WITH ORDINALITY AS k(value, n)"),
        _ => format!("json_each(${n}) AS k"),
    }
}

/// `keys` for [`each_numbered`]. PostgreSQL is handed its own arrays where there are many keys: they cost it less.
pub fn texts(backend: DbBackend, keys: &[&str]) -> Value {
    match backend {
        DbBackend::Postgres => keys.iter().map(|key| (*key).to_owned()).collect::<Vec<String>>().into(),
        _ => json(&keys),
    }
}

/// The position of a key of [`each_numbered`], from zero.
pub fn position(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "k.n - 1",
        _ => "k.key",
    }
}

/// The same as [`each_text`] for an array of arrays; an element's parts are `k.value ->> 0`, `k.value ->> 1`, …, as text.
pub fn each_tuple(backend: DbBackend, n: usize) -> String {
    match backend {
        DbBackend::Postgres => format!("jsonb_array_elements(${n}::jsonb) AS k(value)"),
        _ => format!("json_each(${n}) AS k"),
    }
}

/// Joins the rows of a table that meet `condition`, looked up for each row before it by itself. PostgreSQL would rather
/// compare each of those with every row of the organisation, as long as it does not know how many that are: in a table
/// that fills fast, in an organisation that was not there when it last made statistics. A subquery with an OFFSET is
/// what it does not merge with the query around it. SQLite keeps to the order of a CROSS JOIN.
pub fn join(backend: DbBackend, table: &str, alias: &str, condition: &str) -> String {
    let condition = format!("{alias}.organisation_id = $1 AND {condition}");
    match backend {
        DbBackend::Postgres => format!("CROSS JOIN {}", looked_up(table, alias, &condition)),
        _ => format!("CROSS JOIN {table} {alias} ON {condition}"),
    }
}

fn looked_up(table: &str, alias: &str, condition: &str) -> String {
    format!("LATERAL (SELECT * FROM {table} {alias} WHERE {condition} OFFSET 0) AS {alias}")
}

/// [`join`] for the events in force.
pub fn join_events(backend: DbBackend, condition: &str) -> String {
    join(backend, "referral_events", "e", &format!("{condition} AND e.in_force"))
}

/// What follows a key that is one of those that `select` finds. PostgreSQL might run a subquery of IN again for every row
/// of the organisation; an array it makes once.
pub fn among(backend: DbBackend, select: &str) -> String {
    match backend {
        DbBackend::Postgres => format!("= ANY (ARRAY ({select}))"),
        _ => format!("IN ({select})"),
    }
}

/// Joins what there is of a table's row to each row before it, looked up for each by itself; what [`join`] says of
/// PostgreSQL holds here too.
pub fn left_join(backend: DbBackend, table: &str, alias: &str, condition: &str) -> String {
    let condition = format!("{alias}.organisation_id = $1 AND {condition}");
    match backend {
        DbBackend::Postgres => format!("LEFT JOIN {} ON TRUE", looked_up(table, alias, &condition)),
        _ => format!("LEFT JOIN {table} {alias} ON {condition}"),
    }
}

/// The events of one referrer by number. SQLite, which takes any two columns of an index for nearly a key, would rather
/// read all events by number than be told the referrer.
pub fn events_by_referrer(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "referral_events e",
        _ => "referral_events e INDEXED BY referral_events_by_referrer_and_number",
    }
}

/// A statement for the engine that `connection` talks to.
pub fn statement<C: ConnectionTrait>(connection: &C, sql: impl Into<String>, values: Vec<Value>) -> Statement {
    Statement::from_sql_and_values(connection.get_database_backend(), sql, values)
}

/// `keys` as the JSON array that [`each_text`] and [`each_tuple`] read.
pub fn json<T: serde::Serialize>(keys: &T) -> Value {
    serde_json::json!(keys).to_string().into()
}

/// How a value travels in JSON to a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlType {
    Text,
    BigInteger,
    Timestamp,
}

/// Part `n` of an element of [`each_tuple`], as a value of the column's type. SQLite keeps timestamps as text, and
/// would take a cast to a timestamp for one to a number.
pub fn part(backend: DbBackend, n: usize, sql_type: SqlType) -> String {
    match (sql_type, backend) {
        (SqlType::BigInteger, _) => format!("CAST(k.value ->> {n} AS BIGINT)"),
        (SqlType::Timestamp, DbBackend::Postgres) => format!("CAST(k.value ->> {n} AS TIMESTAMPTZ)"),
        (SqlType::Timestamp | SqlType::Text, _) => format!("k.value ->> {n}"),
    }
}

/// An expression that makes a row of [`all_at_once`] of columns.
pub fn json_row(backend: DbBackend, columns: &[&str]) -> String {
    let columns = columns.join(", ");
    match backend {
        DbBackend::Postgres => format!("CAST(json_build_array({columns}) AS TEXT)"),
        // A text from here on, rather than JSON that JSON is made of.
        _ => format!("json_array({columns}) || ''"),
    }
}

/// What was found in the directory, and in which version of it: `None` where nothing was looked for.
#[derive(Debug)]
pub struct OfDirectory<T> {
    pub found: T,
    pub version: Option<i64>,
}

/// The version of the directory of the organisation in parameter 1, as the statement sees it.
pub const DIRECTORY_VERSION: &str = "(SELECT v.last_value FROM counters v \
                                     WHERE v.organisation_id = $1 AND v.name = 'directory_version')";

#[derive(FromQueryResult)]
struct Rows {
    rows: Option<String>,
    version: i64,
}

/// The rows of `select`, which is about the directory of the organisation in parameter 1 and whose one column is `row`,
/// made by [`json_row`]: as tuples, or as structs with fields in the order of the columns.
///
/// They come as one row that holds a JSON array: a thread of its own reads from SQLite and hands each row over, which
/// costs several times what reading it does.
pub async fn all_at_once<T: DeserializeOwned, C: ConnectionTrait>(
    connection: &C,
    select: &str,
    values: Vec<Value>,
) -> Result<OfDirectory<Vec<T>>, DbErr> {
    let aggregate = match connection.get_database_backend() {
        DbBackend::Postgres => "string_agg(s.row, ',')",
        _ => "group_concat(s.row, ',')",
    };
    let sql = format!("SELECT '[' || {aggregate} || ']' AS rows, {DIRECTORY_VERSION} AS version FROM ({select}) AS s");
    let row = Rows::find_by_statement(statement(connection, sql, values)).one(connection).await?;
    let Rows { rows, version } = row.ok_or_else(|| DbErr::RecordNotFound("an aggregate".to_owned()))?;
    let found = rows.map_or(Ok(Vec::new()), |rows| serde_json::from_str(&rows));
    Ok(OfDirectory { found: found.map_err(|error| DbErr::Json(error.to_string()))?, version: Some(version) })
}

/// The columns of rows, each by itself.
pub struct Columns {
    backend: DbBackend,
    row: QueryResult,
}

impl Columns {
    /// A column of whole numbers or of texts, of which none is NULL.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>, DbErr>
    where
        Vec<T>: TryGetable,
    {
        if self.backend == DbBackend::Postgres {
            return Ok(self.row.try_get::<Option<Vec<T>>>("", name)?.unwrap_or_default());
        }
        let column: String = self.row.try_get("", name)?;
        serde_json::from_str(&column).map_err(|error| DbErr::Json(error.to_string()))
    }
}

/// The same as [`all_at_once`] for a `select` of several `columns`: as fast as it goes, for a look-up of many rows.
pub async fn columns_at_once<C: ConnectionTrait>(
    connection: &C,
    select: &str,
    columns: &[&str],
    values: Vec<Value>,
) -> Result<OfDirectory<Columns>, DbErr> {
    let backend = connection.get_database_backend();
    let aggregate = match backend {
        DbBackend::Postgres => "array_agg",
        _ => "json_group_array",
    };
    let columns: String = columns.iter().map(|column| format!("{aggregate}(s.{column}) AS {column}, ")).collect();
    let sql = format!("SELECT {columns}{DIRECTORY_VERSION} AS version FROM ({select}) AS s");
    let row = connection.query_one_raw(statement(connection, sql, values)).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("an aggregate".to_owned()))?;
    let version = Some(row.try_get("", "version")?);
    Ok(OfDirectory { found: Columns { backend, row }, version })
}
