//! Loading event rows the way each database loads fastest: PostgreSQL by binary COPY, or few rows by an INSERT, which can go
//! with the COMMIT; SQLite by one prepared INSERT that is stepped row after row.

use std::{ffi::c_int, time::Duration};

use rusqlite::ffi;
use sea_orm::{ActiveModelTrait, DbErr, Iden, IntoActiveModel, Iterable, Value};
use sqlx::{AssertSqlSafe, Executor, PgConnection, SqliteConnection};
use uuid::Uuid;

use super::{
    entity::referral_event::{Column, Model},
    error::{is_unique_violation, sqlite_failure},
    literals,
    session::Connection,
    transaction::{Along, Transaction},
};

/// What the statement that loads events into PostgreSQL begins with.
const COPY: &str = "COPY referral_events (";

/// The statement that ends the sessions of PostgreSQL that have waited for this long for the rows of events: those of a
/// server that is frozen or cut off. They hold the turn of their organisation, and PostgreSQL looks at none of its own
/// time limits while it waits for the rows of a COPY.
pub(super) fn end_stalled_loads(patience: Duration) -> String {
    format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND usename = current_user AND state = 'active' \
         AND wait_event = 'ClientRead' AND query LIKE '{COPY}%' \
         AND query_start < clock_timestamp() - INTERVAL '{} milliseconds'",
        patience.as_millis()
    )
}

/// So many rows at most are few: an INSERT saves them the two round trips of a COPY, and costs the database more for each.
const FEW: usize = 4;

/// Whether so many rows had better be left to go with the COMMIT, by [`super::calls::commit_with`].
pub fn go_with_commit(transaction: &Transaction, rows: usize) -> bool {
    rows <= FEW && transaction.tells_why()
}

/// The statement of PostgreSQL that inserts these rows. Columns that none of them has a value in are left out, for each takes
/// its time.
pub(super) fn insertion(events: Vec<Model>) -> Result<Along, DbErr> {
    let literals = |event| values(event).map(literals::postgres).collect::<Option<Vec<Option<String>>>>();
    let rows: Option<Vec<_>> = events.into_iter().map(literals).collect();
    let rows = rows.ok_or_else(|| DbErr::Type(UNEXPECTED.to_owned()))?;
    let columns = Column::iter().enumerate().filter(|(n, _)| rows.iter().any(|row| row[*n].is_some()));
    let columns: Vec<(usize, String)> = columns.map(|(n, column)| (n, column.to_string())).collect();
    let listed = |texts: Vec<&str>| format!("({})", texts.join(", "));
    let values =
        |row: &Vec<Option<String>>| listed(columns.iter().map(|(n, _)| row[*n].as_deref().unwrap_or("NULL")).collect());
    let names = listed(columns.iter().map(|(_, name)| name.as_str()).collect());
    let rows: Vec<String> = rows.iter().map(values).collect();
    Ok(Along { told: INSERT.to_owned(), text: format!("{INSERT} {names} VALUES {}", rows.join(", ")) })
}

const INSERT: &str = "INSERT INTO referral_events";

/// Inserts `events` and answers whether all of them went in. Where one did not, for another event has its number, its
/// referred account or its external reference, the transaction can only be rolled back.
pub async fn insert_events(transaction: &Transaction, events: Vec<Model>) -> Result<bool, DbErr> {
    let names: Vec<String> = Column::iter().map(|column| column.to_string()).collect();
    let names = names.join(", ");
    let mut talk = transaction.talk(INSERT).await?;
    let loaded = talk.session().converse(|connection| async move {
        match connection {
            Connection::Sqlite(connection) => insert_sqlite(connection, &names, events).await,
            Connection::Postgres(connection) => {
                let loaded = if events.len() <= FEW {
                    let insertion = insertion(events).map_err(|error| sqlx::Error::Encode(error.into()))?;
                    connection.execute(sqlx::raw_sql(AssertSqlSafe(insertion.text))).await.map(|_| ())
                } else {
                    copy_in(connection, &names, events).await
                };
                loaded.map(|()| Ok(true))
            }
        }
    });
    let loaded = loaded.await;
    if let Ok(Err(error)) = &loaded {
        talk.session().condition().failures().count_past_sqlx(error);
    }
    let loaded = match loaded.flatten() {
        Ok(loaded) => Ok(loaded),
        Err(error) if is_unique_violation(&error) => Ok(false),
        Err(error) => Err(error),
    };
    if !matches!(loaded, Ok(true)) {
        talk.fail();
    }
    loaded
}

/// The values of an event, in the order of its columns.
fn values(event: Model) -> impl Iterator<Item = Value> {
    let mut event = event.into_active_model();
    Column::iter().map(move |column| event.take(column).into_value().unwrap_or(Value::Bool(None)))
}

const KEY_TAKEN: [c_int; 2] = [ffi::SQLITE_CONSTRAINT_UNIQUE, ffi::SQLITE_CONSTRAINT_PRIMARYKEY];

/// Steps the insert on the connection that the transaction is open on. sqlx would hand each row, or a statement of
/// thirty thousand parameters, to a thread of its own; that takes several times as long as the insert itself.
async fn insert_sqlite(
    connection: &mut SqliteConnection,
    columns: &str,
    events: Vec<Model>,
) -> Result<Result<bool, DbErr>, sqlx::Error> {
    let binds = vec!["?"; Column::iter().count()].join(", ");
    let insert = format!("{INSERT} ({columns}) VALUES ({binds})");
    let mut handle = connection.lock_handle().await?;
    let insert_all = || -> rusqlite::Result<()> {
        // SAFETY: the handle stays locked, so that sqlx does not touch the connection, until this connection, which
        // does not close it, is gone.
        let connection = unsafe { rusqlite::Connection::from_handle(handle.as_raw_handle().as_ptr()) }?;
        let mut insert = connection.prepare(&insert)?;
        for event in events {
            for (index, value) in (1..).zip(values(event)) {
                match value {
                    Value::Bool(value) => insert.raw_bind_parameter(index, value),
                    Value::BigInt(value) => insert.raw_bind_parameter(index, value),
                    Value::Double(value) => insert.raw_bind_parameter(index, value),
                    Value::String(value) => insert.raw_bind_parameter(index, value),
                    Value::Bytes(value) => insert.raw_bind_parameter(index, value),
                    Value::Uuid(value) => insert.raw_bind_parameter(index, value.map(|id| id.into_bytes())),
                    // The form in which sqlx writes and reads dates.
                    Value::ChronoDateTimeUtc(value) => {
                        insert.raw_bind_parameter(index, value.map(|date| date.to_rfc3339()))
                    }
                    _ => Err(rusqlite::Error::ToSqlConversionFailure(UNEXPECTED.into())),
                }?;
            }
            insert.raw_execute()?;
        }
        Ok(())
    };
    Ok(match tokio::task::block_in_place(insert_all) {
        Ok(()) => Ok(true),
        Err(error) if error.sqlite_error().is_some_and(|error| KEY_TAKEN.contains(&error.extended_code)) => Ok(false),
        Err(error) => Err(sqlite_failure(&error)),
    })
}

/// Why a value of another type than those of the columns is not loaded.
const UNEXPECTED: &str = "a column of referral_events has a type that is not known here";

async fn copy_in(connection: &mut PgConnection, columns: &str, events: Vec<Model>) -> Result<(), sqlx::Error> {
    let mut sink = connection.copy_in_raw(&format!("{COPY}{columns}) FROM STDIN (FORMAT binary)")).await?;
    let mut data = CopyData::begin();
    for event in events {
        data.push(event)?;
        if data.0.len() >= COPY_CHUNK {
            sink.send(data.0.as_slice()).await?;
            data.0.clear();
        }
    }
    sink.send(data.end()).await?;
    sink.finish().await?;
    Ok(())
}

/// Bytes of rows that are sent at a time: the database inserts them while the next are made.
const COPY_CHUNK: usize = 64 * 1024;

/// Rows in the binary form of COPY: a signature, each row as its number of fields and each field as its length and
/// bytes, all in network order, and a trailer.
struct CopyData(Vec<u8>);

impl CopyData {
    fn begin() -> Self {
        let mut data = Vec::with_capacity(COPY_CHUNK + COPY_CHUNK / 8);
        data.extend_from_slice(b"PGCOPY\n\xff\r\n\0");
        data.extend_from_slice(&[0; 8]);
        Self(data)
    }

    fn push(&mut self, event: Model) -> Result<(), sqlx::Error> {
        /// 2000-01-01T00:00:00Z, from which PostgreSQL counts, in microseconds since 1970.
        const EPOCH: i64 = 946_684_800_000_000;
        self.0.extend_from_slice(&(Column::iter().count() as i16).to_be_bytes());
        for value in values(event) {
            match value {
                Value::Bool(value) => self.field(value.map(|value| [u8::from(value)])),
                Value::BigInt(value) => self.field(value.map(i64::to_be_bytes)),
                Value::Double(value) => self.field(value.map(f64::to_be_bytes)),
                Value::String(value) => self.field(value),
                Value::Bytes(value) => self.field(value),
                Value::Uuid(value) => self.field(value.map(Uuid::into_bytes)),
                Value::ChronoDateTimeUtc(value) => {
                    self.field(value.map(|date| (date.timestamp_micros() - EPOCH).to_be_bytes()));
                }
                _ => return Err(sqlx::Error::Encode(UNEXPECTED.into())),
            }
        }
        Ok(())
    }

    fn field(&mut self, bytes: Option<impl AsRef<[u8]>>) {
        /// The length of a NULL.
        const NULL: i32 = -1;
        let bytes = bytes.as_ref().map(AsRef::as_ref);
        self.0.extend_from_slice(&bytes.map_or(NULL, |bytes| bytes.len() as i32).to_be_bytes());
        self.0.extend_from_slice(bytes.unwrap_or_default());
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&(-1i16).to_be_bytes());
        self.0
    }
}
