//! Loading event rows the way each database loads fastest: PostgreSQL by binary COPY, SQLite by one prepared INSERT
//! that is stepped row after row.

use std::{ffi::c_int, time::Duration};

use chrono::{DateTime, Utc};
use rusqlite::ffi;
use sea_orm::{DbErr, Iden, Iterable};
use sqlx::{PgConnection, SqliteConnection};
use uuid::Uuid;

use super::{
    entity::referral_event::Column,
    error::{is_unique_violation, sqlite_failure},
    session::Connection,
    transaction::Transaction,
};

/// An event to insert, in force from then on.
#[derive(Debug)]
pub struct NewEvent<'a> {
    pub id: Uuid,
    pub number: i64,
    pub classification_key: Option<i64>,
    pub performed_by_business_unit_key: Option<i64>,
    pub performed_by_unit_key: Option<i64>,
    pub performed_by_tap_key: Option<i64>,
    pub performed_by_device_key: Option<i64>,
    pub performed_on: DateTime<Utc>,
    pub description: Option<&'a str>,
    pub referred_account_key: i64,
    pub referred_by_account_key: i64,
    /// Empty where there is none.
    pub external_system: &'a str,
    pub external_system_reference_number: Option<&'a str>,
    pub content_hash: Option<&'a [u8]>,
    pub udf_strings: &'a [Option<String>; 8],
    pub udf_floats: [Option<f64>; 4],
    pub udf_dates: [Option<DateTime<Utc>>; 4],
    pub created_on: DateTime<Utc>,
}

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

/// Inserts `events` and answers whether all of them went in. Where one did not, for another event has its number, its
/// referred account or its external reference, the transaction can only be rolled back.
pub async fn insert_events(
    transaction: &Transaction,
    organisation_id: i64,
    events: &[NewEvent<'_>],
) -> Result<bool, DbErr> {
    let names: Vec<String> = columns().map(|column| column.to_string()).collect();
    let binds = vec!["?"; names.len()].join(", ");
    let names = names.join(", ");
    let insert = format!("INSERT INTO referral_events ({names}) VALUES ({binds})");
    let copy = format!("{COPY}{names}) FROM STDIN (FORMAT binary)");
    let mut talk = transaction.talk("INSERT INTO referral_events").await?;
    let loaded = talk.session().converse(|connection| async move {
        match connection {
            Connection::Sqlite(connection) => insert_sqlite(connection, &insert, organisation_id, events).await,
            Connection::Postgres(connection) => {
                copy_in(connection, &copy, organisation_id, events).await.map(|()| Ok(true))
            }
        }
    });
    let loaded = match loaded.await.flatten() {
        Ok(loaded) => Ok(loaded),
        Err(error) if is_unique_violation(&error) => Ok(false),
        Err(error) => Err(error),
    };
    if !matches!(loaded, Ok(true)) {
        talk.fail();
    }
    loaded
}

/// A value of a row.
enum Cell<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Real(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Uuid(Uuid),
    Timestamp(DateTime<Utc>),
}

/// The columns of a row that is inserted; those left out are NULL until the event is cancelled.
fn columns() -> impl Iterator<Item = Column> {
    Column::iter().filter(|column| !matches!(column, Column::CancelledOn | Column::CancellationReason))
}

/// The values of a row, in the order of [`columns`].
fn cells<'a>(organisation_id: i64, event: &'a NewEvent<'a>) -> impl Iterator<Item = Cell<'a>> {
    columns().map(move |column| {
        let integer = |value: Option<i64>| value.map_or(Cell::Null, Cell::Integer);
        let text = |value: Option<&'a str>| value.map_or(Cell::Null, Cell::Text);
        let udf_string = |n: usize| text(event.udf_strings[n - 1].as_deref());
        let udf_float = |n: usize| event.udf_floats[n - 1].map_or(Cell::Null, Cell::Real);
        let udf_date = |n: usize| event.udf_dates[n - 1].map_or(Cell::Null, Cell::Timestamp);
        match column {
            Column::OrganisationId => Cell::Integer(organisation_id),
            Column::Id => Cell::Uuid(event.id),
            Column::Number => Cell::Integer(event.number),
            Column::InForce => Cell::Boolean(true),
            Column::ClassificationKey => integer(event.classification_key),
            Column::PerformedByBusinessUnitKey => integer(event.performed_by_business_unit_key),
            Column::PerformedByUnitKey => integer(event.performed_by_unit_key),
            Column::PerformedByTapKey => integer(event.performed_by_tap_key),
            Column::PerformedByDeviceKey => integer(event.performed_by_device_key),
            Column::PerformedOn => Cell::Timestamp(event.performed_on),
            Column::Description => text(event.description),
            Column::ReferredAccountKey => Cell::Integer(event.referred_account_key),
            Column::ReferredByAccountKey => Cell::Integer(event.referred_by_account_key),
            Column::ExternalSystem => Cell::Text(event.external_system),
            Column::ExternalSystemReferenceNumber => text(event.external_system_reference_number),
            Column::ContentHash => event.content_hash.map_or(Cell::Null, Cell::Bytes),
            Column::UdfString1 => udf_string(1),
            Column::UdfString2 => udf_string(2),
            Column::UdfString3 => udf_string(3),
            Column::UdfString4 => udf_string(4),
            Column::UdfString5 => udf_string(5),
            Column::UdfString6 => udf_string(6),
            Column::UdfString7 => udf_string(7),
            Column::UdfString8 => udf_string(8),
            Column::UdfFloat1 => udf_float(1),
            Column::UdfFloat2 => udf_float(2),
            Column::UdfFloat3 => udf_float(3),
            Column::UdfFloat4 => udf_float(4),
            Column::UdfDate1 => udf_date(1),
            Column::UdfDate2 => udf_date(2),
            Column::UdfDate3 => udf_date(3),
            Column::UdfDate4 => udf_date(4),
            Column::CreatedOn => Cell::Timestamp(event.created_on),
            Column::CancelledOn | Column::CancellationReason => Cell::Null,
        }
    })
}

const KEY_TAKEN: [c_int; 2] = [ffi::SQLITE_CONSTRAINT_UNIQUE, ffi::SQLITE_CONSTRAINT_PRIMARYKEY];

/// Steps the insert on the connection that the transaction is open on. sqlx would hand each row, or a statement of
/// thirty thousand parameters, to a thread of its own; that takes several times as long as the insert itself.
async fn insert_sqlite(
    connection: &mut SqliteConnection,
    insert: &str,
    organisation_id: i64,
    events: &[NewEvent<'_>],
) -> Result<Result<bool, DbErr>, sqlx::Error> {
    let mut handle = connection.lock_handle().await?;
    let insert_all = || -> rusqlite::Result<()> {
        // SAFETY: the handle stays locked, so that sqlx does not touch the connection, until this connection, which
        // does not close it, is gone.
        let connection = unsafe { rusqlite::Connection::from_handle(handle.as_raw_handle().as_ptr()) }?;
        let mut insert = connection.prepare(insert)?;
        for event in events {
            for (index, cell) in (1..).zip(cells(organisation_id, event)) {
                match cell {
                    Cell::Null => insert.raw_bind_parameter(index, rusqlite::types::Null),
                    Cell::Boolean(value) => insert.raw_bind_parameter(index, value),
                    Cell::Integer(value) => insert.raw_bind_parameter(index, value),
                    Cell::Real(value) => insert.raw_bind_parameter(index, value),
                    Cell::Text(value) => insert.raw_bind_parameter(index, value),
                    Cell::Bytes(value) => insert.raw_bind_parameter(index, value),
                    Cell::Uuid(value) => insert.raw_bind_parameter(index, value.as_bytes().as_slice()),
                    // The form in which sqlx writes and reads dates.
                    Cell::Timestamp(value) => insert.raw_bind_parameter(index, value.to_rfc3339()),
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

async fn copy_in(
    connection: &mut PgConnection,
    copy: &str,
    organisation_id: i64,
    events: &[NewEvent<'_>],
) -> Result<(), sqlx::Error> {
    let mut sink = connection.copy_in_raw(copy).await?;
    let mut data = CopyData::begin();
    for event in events {
        data.push(organisation_id, event);
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

    fn push(&mut self, organisation_id: i64, event: &NewEvent<'_>) {
        /// 2000-01-01T00:00:00Z, from which PostgreSQL counts, in microseconds since 1970.
        const EPOCH: i64 = 946_684_800_000_000;
        let data = &mut self.0;
        data.extend_from_slice(&(columns().count() as i16).to_be_bytes());
        for cell in cells(organisation_id, event) {
            let mut field = |bytes: &[u8]| {
                data.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
                data.extend_from_slice(bytes);
            };
            match cell {
                Cell::Null => data.extend_from_slice(&(-1i32).to_be_bytes()),
                Cell::Boolean(value) => field(&[u8::from(value)]),
                Cell::Integer(value) => field(&value.to_be_bytes()),
                Cell::Real(value) => field(&value.to_be_bytes()),
                Cell::Text(value) => field(value.as_bytes()),
                Cell::Bytes(value) => field(value),
                Cell::Uuid(value) => field(value.as_bytes()),
                Cell::Timestamp(value) => field(&(value.timestamp_micros() - EPOCH).to_be_bytes()),
            }
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&(-1i16).to_be_bytes());
        self.0
    }
}
