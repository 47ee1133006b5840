//! Statements that stand whole, and what differs between the engines around them.
//!
//! A set of keys travels as one array in one parameter, so a statement has the same text, and is prepared once, whatever
//! the number of keys.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Postgres, Row, postgres::PgHasArrayType};

use crate::id::OrganisationId;

/// The text of a statement, for each engine.
#[derive(Clone, Copy, Debug)]
pub struct Sql {
    pub postgres: &'static str,
    pub sqlite: &'static str,
}

impl Sql {
    /// A text that both engines read.
    pub const fn of_both(text: &'static str) -> Self {
        Self { postgres: text, sqlite: text }
    }

    /// The statement for the engine that `connection` talks to.
    pub fn with<C: ConnectionTrait>(self, connection: &C, values: Vec<Value>) -> Statement {
        let backend = connection.get_database_backend();
        let text = match backend {
            DbBackend::Postgres => self.postgres,
            _ => self.sqlite,
        };
        Statement::from_sql_and_values(backend, text, values)
    }

    /// The same, of a statement whose rows come from parts joined by UNION ALL, of which only those are asked that are
    /// needed: PostgreSQL opens each part's table and index for every run, whether or not it is asked for anything, and
    /// that takes longer than to find a name. SQLite does not.
    fn with_parts<C: ConnectionTrait>(
        self,
        connection: &C,
        values: Vec<Value>,
        is_needed: impl Fn(usize) -> bool,
    ) -> Statement {
        let mut statement = self.with(connection, values);
        if connection.get_database_backend() == DbBackend::Postgres {
            statement.sql = parts(&statement.sql, is_needed);
        }
        statement
    }
}

const BEFORE_PARTS: &str = "FROM (\n";
const BETWEEN_PARTS: &str = "\n    UNION ALL\n";
const AFTER_PARTS: &str = "\n) AS f";

fn parts(text: &str, is_needed: impl Fn(usize) -> bool) -> String {
    let Some((before, rest)) = text.split_once(BEFORE_PARTS) else { return text.to_owned() };
    let Some((parts, after)) = rest.rsplit_once(AFTER_PARTS) else { return text.to_owned() };
    let needed = parts.split(BETWEEN_PARTS).enumerate().filter(|(part, _)| is_needed(*part)).map(|(_, text)| text);
    let needed: Vec<&str> = needed.collect();
    [before, BEFORE_PARTS, &needed.join(BETWEEN_PARTS), AFTER_PARTS, after].concat()
}

/// A set as the JSON array that both engines can turn into rows.
pub fn json<T: Serialize>(set: &T) -> Value {
    // Keys and texts can always be written; were it not so, both engines would refuse the empty text.
    serde_json::to_string(set).unwrap_or_default().into()
}

/// Texts as an array: PostgreSQL has its own, which cost it less than JSON where there are many.
fn text_array<C: ConnectionTrait>(connection: &C, texts: &[&str]) -> Value {
    match connection.get_database_backend() {
        DbBackend::Postgres => texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>().into(),
        _ => json(&texts),
    }
}

/// Keys as an array, likewise.
pub fn key_array<C: ConnectionTrait, K: Clone + Serialize>(connection: &C, keys: &[K]) -> Value
where
    Vec<K>: Into<Value>,
{
    match connection.get_database_backend() {
        DbBackend::Postgres => keys.to_vec().into(),
        _ => json(&keys),
    }
}

/// Names by the columns that they are looked for in, a list each: what a statement that asks all columns is given.
pub struct Lists<'a, const COLUMNS: usize> {
    values: [Vec<&'a str>; COLUMNS],
    /// Where each of the values stood before.
    indexes: [Vec<usize>; COLUMNS],
}

impl<'a, const COLUMNS: usize> Lists<'a, COLUMNS> {
    /// Each name with the number of its column.
    pub fn of(names: impl Iterator<Item = (usize, &'a str)>) -> Self {
        let mut lists = Self { values: [const { Vec::new() }; COLUMNS], indexes: [const { Vec::new() }; COLUMNS] };
        for (index, (column, value)) in names.enumerate() {
            lists.values[column].push(value);
            lists.indexes[column].push(index);
        }
        lists
    }

    /// The statement that asks for the names. Its parameters are the organisation, and an array for each column; it has a
    /// part for each column, in their order.
    pub fn asked_by<C: ConnectionTrait>(&self, sql: Sql, connection: &C, organisation_id: OrganisationId) -> Statement {
        let arrays = self.values.iter().map(|values| text_array(connection, values));
        let parameters = [organisation_id.into()].into_iter().chain(arrays).collect();
        sql.with_parts(connection, parameters, |column| self.values.get(column).is_some_and(|names| !names.is_empty()))
    }

    /// Which of the names stands at a position of a list.
    pub fn index(&self, list: i64, position: i64) -> Option<usize> {
        let (list, position) = (usize::try_from(list).ok()?, usize::try_from(position).ok()?);
        self.indexes.get(list)?.get(position).copied()
    }
}

/// What was found in the directory, and in which version of it: `None` where nothing was looked for.
#[derive(Debug)]
pub struct Versioned<T> {
    pub found: T,
    pub version: Option<i64>,
}

/// The answer of a statement that aggregates each column of many rows, as an array: one row, for SQLite's own thread
/// hands every row over, which costs several times what reading it does.
pub struct Columns(pub(super) QueryResult);

impl Columns {
    pub async fn find<C: ConnectionTrait>(connection: &C, statement: Statement) -> Result<Self, DbErr> {
        let row = connection.query_one_raw(statement).await?;
        row.map(Self).ok_or_else(|| DbErr::RecordNotFound("an aggregate".to_owned()))
    }

    /// The column `name`.
    pub fn get<T>(&self, name: &str) -> Result<Vec<T>, DbErr>
    where
        T: DeserializeOwned + PgHasArrayType + sqlx::Type<Postgres> + for<'r> sqlx::Decode<'r, Postgres>,
    {
        match self.0.try_as_pg_row() {
            // There is no array of nothing.
            Some(row) => {
                let column: Option<Vec<T>> = row.try_get(name).map_err(|error| DbErr::Type(error.to_string()))?;
                Ok(column.unwrap_or_default())
            }
            None => read_json(&self.0.try_get::<String>("", name)?),
        }
    }

    /// The number `name`, which is no array.
    pub fn value(&self, name: &str) -> Result<i64, DbErr> {
        self.0.try_get("", name)
    }
}

/// Rows that a statement answers as a JSON array of arrays, in the column `rows`: as structs with fields in the order of
/// the columns. For rows of many columns, read once in a while.
pub async fn find_json_rows<T: DeserializeOwned, C: ConnectionTrait>(
    connection: &C,
    statement: Statement,
) -> Result<Vec<T>, DbErr> {
    let row = connection.query_one_raw(statement).await?;
    let rows: Option<String> = row.map(|row| row.try_get("", "rows")).transpose()?.flatten();
    rows.map_or(Ok(Vec::new()), |rows| read_json(&rows))
}

pub fn read_json<T: DeserializeOwned>(text: &str) -> Result<T, DbErr> {
    serde_json::from_str(text).map_err(|error| DbErr::Json(error.to_string()))
}
