//! The directory's rows as an import sees them: look-ups by every unique column, and writes of many rows at a time.
//! Eight tables, and updates of whichever columns a file has: here alone statements are put together, by what the tables
//! have in common; what one of them has alone stands in its [`Table`].

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};
use serde::Deserialize;
use serde_json::Value as Json;

use super::{
    citus,
    connect::Database,
    sql::{find_json_rows, json},
    transaction::Transaction,
};
use crate::id::{EntryKey, OrganisationId, RowKey};

/// A table of the directory.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    /// The column, beside `id`, by which other rows and files name a row.
    pub natural_key: &'static str,
    has_business_unit: bool,
    /// Whether its rows are at a unit or a business unit, and may be the default there.
    has_place: bool,
}

/// How a value travels in JSON to a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlType {
    Text,
    BigInteger,
    Timestamp,
}

/// A column that an import writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredColumn {
    pub name: &'static str,
    pub sql_type: SqlType,
}

/// The column that stands for all of a one-time password: writing it sets whether the password is live, too.
pub const ONE_TIME_PASSWORD_HASH: StoredColumn =
    StoredColumn { name: "one_time_password_hash", sql_type: SqlType::Text };

pub static BUSINESS_UNITS: Table = plain("business_units", "code");
pub static UNITS: Table = Table { has_business_unit: true, ..plain("units", "alternative_code") };
pub static TAPS: Table = Table { has_business_unit: true, has_place: true, ..plain("taps", "code") };
pub static DEVICES: Table = plain("devices", "code");
pub static CLASSIFICATIONS: Table = plain("classifications", "alternative_code");
pub static ACCOUNTS_RECEIVABLE: Table = plain("accounts_receivable", "number");
pub static REWARDS_PARTICIPANTS: Table = plain("rewards_participants", "number");
pub static ACCESS_TOKENS: Table = plain("access_tokens", "identifier");

const fn plain(name: &'static str, natural_key: &'static str) -> Table {
    Table { name, natural_key, has_business_unit: false, has_place: false }
}

/// A row that is there, found by `given` in the `arm`th of the columns asked.
#[derive(Clone, Debug, Deserialize)]
pub struct Stored {
    pub arm: i32,
    pub given: String,
    pub key: RowKey,
    pub id: String,
    pub natural_key: String,
    /// The business unit of a TAP's unit.
    pub unit_business_unit_key: Option<EntryKey>,
    /// The default TAP of the place where a TAP is.
    pub default_tap_key: Option<EntryKey>,
    /// What it has in the columns that were asked for.
    pub values: Vec<Json>,
}

/// Looks rows up by `columns`, each of them unique. `sought` has tuples of values, one for each column, `None` where
/// nothing is sought (keys as decimal text). What a tuple finds by several columns is answered for the first of them
/// alone. A one-time password finds only the access token for which it is live. Of what is found, `values` are answered.
pub async fn find_many_by_unique<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    table: &Table,
    columns: &[StoredColumn],
    sought: &[Vec<Option<String>>],
    values: &[StoredColumn],
) -> Result<Vec<Stored>, DbErr> {
    let backend = connection.get_database_backend();
    let each = each_tuple(backend);
    let Table { name, natural_key, .. } = table;
    let (unit_business_unit, default_tap) = if table.has_place {
        let of_business_unit = "SELECT b.default_tap_key FROM business_units b \
                                WHERE b.organisation_id = $1 AND b.key = t.business_unit_key";
        let default_tap =
            format!("CASE WHEN t.unit_key IS NOT NULL THEN u.default_tap_key ELSE ({of_business_unit}) END");
        ("u.business_unit_key", default_tap)
    } else {
        ("CAST(NULL AS BIGINT)", "CAST(NULL AS BIGINT)".to_owned())
    };
    let answered: String = values.iter().enumerate().map(|(n, value)| format!(", t.{} AS v{n}", value.name)).collect();
    let unit = match (table.has_place, backend) {
        (false, _) => "",
        (true, DbBackend::Postgres) => {
            "LEFT JOIN LATERAL (SELECT * FROM units u WHERE u.organisation_id = $1 AND u.key = t.unit_key OFFSET 0) \
             AS u ON TRUE"
        }
        (true, _) => "LEFT JOIN units u ON u.organisation_id = $1 AND u.key = t.unit_key",
    };
    let equals = |arm: usize| {
        let StoredColumn { name, sql_type } = columns[arm];
        format!("t.{name} = {}", part(backend, arm, sql_type))
    };
    let mut arms = Vec::new();
    for (arm, column) in columns.iter().enumerate() {
        let is_live = if *column == ONE_TIME_PASSWORD_HASH { "AND t.one_time_password_live" } else { "" };
        let found_before: String = (0..arm).map(|before| format!(" AND ({}) IS NOT TRUE", equals(before))).collect();
        arms.push(format!(
            "SELECT {arm} AS arm, k.value ->> {arm} AS given, t.key, t.id, t.{natural_key} AS natural_key, \
             {unit_business_unit} AS unit_business_unit_key, {default_tap} AS default_tap_key{answered} \
             FROM {each} {} {unit}",
            join(backend, name, &format!("{} {is_live}{found_before}", equals(arm)))
        ));
    }
    let parameters = vec![organisation_id.into(), json(&sought)];
    let answered: Vec<String> = (0..values.len()).map(|n| format!("v{n}")).collect();
    let answered = array_of(backend, &answered.join(", "));
    let columns = ["arm", "given", "key", "id", "natural_key", "unit_business_unit_key", "default_tap_key", &answered];
    let sql = rows_of(backend, &columns, &format!("FROM ({}) AS found", arms.join(" UNION ALL ")));
    find_json_rows(connection, Statement::from_sql_and_values(backend, sql, parameters)).await
}

/// A row that another row refers to.
#[derive(Clone, Debug, Deserialize)]
pub struct Referred {
    pub given: String,
    pub key: RowKey,
    /// The business unit of a unit.
    pub business_unit_key: Option<EntryKey>,
}

/// Looks up what other rows refer to, by its natural key.
pub async fn find_many_referred<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    table: &Table,
    natural_keys: &[&str],
) -> Result<Vec<Referred>, DbErr> {
    let backend = connection.get_database_backend();
    let each = each_text(backend);
    let Table { name, natural_key, .. } = table;
    let business_unit = if table.has_business_unit { "t.business_unit_key" } else { "CAST(NULL AS BIGINT)" };
    let named = join(backend, name, &format!("t.{natural_key} = k.value"));
    let sql = rows_of(backend, &["k.value", "t.key", business_unit], &format!("FROM {each} {named}"));
    let values = vec![organisation_id.into(), json(&natural_keys)];
    find_json_rows(connection, Statement::from_sql_and_values(backend, sql, values)).await
}

/// Inserts rows, each its `key` and then a value for each of `columns`.
pub async fn insert_many<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    table: &Table,
    columns: &[StoredColumn],
    rows: &[Vec<Json>],
) -> Result<(), DbErr> {
    let backend = connection.get_database_backend();
    let mut names = vec!["organisation_id", "key"];
    let mut values = vec!["CAST($1 AS BIGINT)".to_owned(), part(backend, 0, SqlType::BigInteger)];
    for (i, column) in columns.iter().enumerate() {
        let value = part(backend, i + 1, column.sql_type);
        if *column == ONE_TIME_PASSWORD_HASH {
            names.push("one_time_password_live");
            values.push(format!("CASE WHEN {value} IS NOT NULL THEN TRUE END"));
        }
        names.push(column.name);
        values.push(value);
    }
    let sql = format!(
        "INSERT INTO {} ({}) SELECT {} FROM {}",
        table.name,
        names.join(", "),
        values.join(", "),
        each_tuple(backend)
    );
    execute(connection, sql, vec![organisation_id.into(), json(&rows)]).await
}

/// Writes `columns` of rows that are there, each row its `key` and then the values.
///
/// A one-time password that is stored already is left as it is, so that one that was used stays used; the database
/// decides that, for a call may use it up while the import runs. Where it is to be known by the hash of an older key too,
/// `has_old_hash`, that is a row's last value.
pub async fn update_many<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    table: &Table,
    columns: &[StoredColumn],
    has_old_hash: bool,
    rows: &[Vec<Json>],
) -> Result<(), DbErr> {
    let has_old_hash = has_old_hash && columns.contains(&ONE_TIME_PASSWORD_HASH);
    let mut assignments = Vec::new();
    for (i, StoredColumn { name, .. }) in columns.iter().enumerate() {
        if *name == ONE_TIME_PASSWORD_HASH.name {
            let by_old_hash = if has_old_hash { format!(" OR n.v{} = t.{name}", columns.len()) } else { String::new() };
            let when = |same: &str, other: &str| {
                format!(
                    "CASE WHEN n.v{i} IS NULL THEN NULL WHEN n.v{i} = t.{name}{by_old_hash} THEN {same} ELSE {other} END"
                )
            };
            assignments.push(format!("one_time_password_live = {}", when("t.one_time_password_live", "TRUE")));
            assignments.push(format!("one_time_password_used_by = {}", when("t.one_time_password_used_by", "NULL")));
        }
        assignments.push(format!("{name} = n.v{i}"));
    }
    let old_hash = has_old_hash.then_some(SqlType::Text);
    let types: Vec<SqlType> = columns.iter().map(|column| column.sql_type).chain(old_hash).collect();
    let sql = update(connection.get_database_backend(), table, &types, &assignments.join(", "), "");
    execute(connection, sql, vec![organisation_id.into(), json(&rows)]).await
}

/// An UPDATE of the rows that parameter 2 has, each a key and values `n.v0`, `n.v1`, … of `types`.
///
/// The values are materialized and the keys named once more by IN for SQLite's sake, which else reads through all rows
/// of the organisation, and without the materialization through the whole array for each of them.
fn update(backend: DbBackend, table: &Table, types: &[SqlType], assignments: &str, condition: &str) -> String {
    let parts = types.iter().enumerate().map(|(i, sql_type)| format!(", {} AS v{i}", part(backend, i + 1, *sql_type)));
    format!(
        "WITH n AS MATERIALIZED (SELECT {} AS key{} FROM {}) UPDATE {} AS t SET {assignments} FROM n \
         WHERE t.organisation_id = $1 AND t.key IN (SELECT key FROM n) AND t.key = n.key {condition}",
        part(backend, 0, SqlType::BigInteger),
        parts.collect::<String>(),
        each_tuple(backend),
        table.name
    )
}

/// Has PostgreSQL see how many rows the table holds by now. Until it looks by itself, it takes a new organisation to have a
/// few rows, and reads all of them to find some. SQLite's plans don't depend on that.
pub async fn analyze(database: &Database, organisation_id: OrganisationId, table: &Table) -> Result<(), DbErr> {
    tend(database, organisation_id, table, "ANALYZE").await
}

/// The same in a transaction, its own rows too.
pub async fn analyze_within(transaction: &Transaction, table: &Table) -> Result<(), DbErr> {
    if transaction.get_database_backend() == DbBackend::Postgres {
        transaction.execute_unprepared(&format!("ANALYZE {}", table.name)).await?;
    }
    Ok(())
}

/// Has PostgreSQL mark the rows of the table as those that all can see, and make its statistics: look-ups then read the
/// indexes alone, which hold all that is asked for. Until it does so by itself, each row that is looked up for the first
/// time takes several times as long as its index does.
pub async fn vacuum(database: &Database, organisation_id: OrganisationId, table: &Table) -> Result<(), DbErr> {
    tend(database, organisation_id, table, "VACUUM (ANALYZE)").await
}

/// On a cluster of Citus only the shard is tended that has the organisation: from the coordinator, all of them would be.
async fn tend(database: &Database, organisation_id: OrganisationId, table: &Table, how: &str) -> Result<(), DbErr> {
    if database.is_citus() {
        return citus::run_on_shard(database.writer(), table.name, organisation_id, &format!("{how} %s")).await;
    }
    if !database.is_sqlite() {
        database.writer().execute_unprepared(&format!("{how} {}", table.name)).await?;
    }
    Ok(())
}

/// Makes TAPs the default of places of `table`; each pair is a place's key and a TAP's.
pub async fn set_default_taps<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    table: &Table,
    places_and_taps: &[(EntryKey, EntryKey)],
) -> Result<(), DbErr> {
    write_default_taps(connection, organisation_id, table, "n.v0", "", places_and_taps).await
}

/// Leaves places of `table` without a default TAP where it is the TAP given.
pub async fn clear_default_taps<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    table: &Table,
    places_and_taps: &[(EntryKey, EntryKey)],
) -> Result<(), DbErr> {
    write_default_taps(connection, organisation_id, table, "NULL", "AND t.default_tap_key = n.v0", places_and_taps)
        .await
}

async fn write_default_taps<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    table: &Table,
    tap: &str,
    condition: &str,
    places_and_taps: &[(EntryKey, EntryKey)],
) -> Result<(), DbErr> {
    if places_and_taps.is_empty() {
        return Ok(());
    }
    let assignment = format!("default_tap_key = {tap}");
    let sql = update(connection.get_database_backend(), table, &[SqlType::BigInteger], &assignment, condition);
    execute(connection, sql, vec![organisation_id.into(), json(&places_and_taps)]).await
}

async fn execute<C: ConnectionTrait>(connection: &C, sql: String, values: Vec<Value>) -> Result<(), DbErr> {
    let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
    connection.execute_raw(statement).await?;
    Ok(())
}

/// A FROM item that turns the JSON array in parameter 2 into rows `k(value)`, `value` being text.
fn each_text(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "jsonb_array_elements_text($2::jsonb) AS k(value)",
        _ => "json_each($2) AS k",
    }
}

/// The same for an array of arrays; an element's parts are `k.value ->> 0`, `k.value ->> 1`, …, as text.
fn each_tuple(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "jsonb_array_elements($2::jsonb) AS k(value)",
        _ => "json_each($2) AS k",
    }
}

/// Part `n` of an element of [`each_tuple`], as a value of the column's type. SQLite keeps timestamps as text, and
/// would take a cast to a timestamp for one to a number.
fn part(backend: DbBackend, n: usize, sql_type: SqlType) -> String {
    match (sql_type, backend) {
        (SqlType::BigInteger, _) => format!("CAST(k.value ->> {n} AS BIGINT)"),
        (SqlType::Timestamp, DbBackend::Postgres) => format!("CAST(k.value ->> {n} AS TIMESTAMPTZ)"),
        (SqlType::Timestamp | SqlType::Text, _) => format!("k.value ->> {n}"),
    }
}

/// Joins the rows `t` of a table that meet `condition`, looked up for each row before it by itself: see
/// `sql/find_directory_entries`.
fn join(backend: DbBackend, table: &str, condition: &str) -> String {
    let condition = format!("t.organisation_id = $1 AND {condition}");
    match backend {
        DbBackend::Postgres => format!("CROSS JOIN LATERAL (SELECT * FROM {table} t WHERE {condition} OFFSET 0) AS t"),
        _ => format!("CROSS JOIN {table} t ON {condition}"),
    }
}

/// Selects rows for [`find_json_rows`].
fn rows_of(backend: DbBackend, columns: &[&str], from: &str) -> String {
    let row = array_of(backend, &columns.join(", "));
    match backend {
        DbBackend::Postgres => format!(
            "SELECT '[' || string_agg(s.row, ',') || ']' AS rows FROM (SELECT CAST({row} AS TEXT) AS row {from}) AS s"
        ),
        // A text from here on, rather than JSON that JSON is made of.
        _ => format!(
            "SELECT '[' || group_concat(s.row, ',') || ']' AS rows FROM (SELECT {row} || '' AS row {from}) AS s"
        ),
    }
}

/// The JSON array of some columns.
fn array_of(backend: DbBackend, columns: &str) -> String {
    match backend {
        DbBackend::Postgres => format!("json_build_array({columns})"),
        _ => format!("json_array({columns})"),
    }
}
