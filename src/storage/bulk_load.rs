//! Loading event rows the way each database loads fastest: PostgreSQL by binary COPY, SQLite by one prepared INSERT
//! that is stepped row after row.

use chrono::{DateTime, Utc};
use sea_orm::{DbErr, Iden, Iterable, RuntimeErr};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::{
    entity::referral_event::{Column, Model},
    transaction::{Connection, Transaction, failure},
};

/// Inserts `events`. A key that another event has fails all of them, and with them the transaction.
pub async fn insert_events(transaction: &Transaction, events: &[Model]) -> Result<(), DbErr> {
    let columns: Vec<String> = Column::iter().map(|column| column.to_string()).collect();
    let columns = columns.join(", ");
    let binds = vec!["?"; Column::iter().count()].join(", ");
    let insert = format!("INSERT INTO referral_events ({columns}) VALUES ({binds})");
    let copy = format!("COPY referral_events ({columns}) FROM STDIN (FORMAT binary)");
    match &mut *transaction.connection("INSERT INTO referral_events").await {
        Connection::Sqlite(connection) => insert_sqlite(connection, &insert, events).await,
        Connection::Postgres(connection) => {
            let rows = copy_data(events);
            let mut sink = connection.copy_in_raw(&copy).await.map_err(failure)?;
            sink.send(rows).await.map_err(failure)?;
            sink.finish().await.map_err(failure)?;
            Ok(())
        }
    }
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

fn text(value: &Option<String>) -> Cell<'_> {
    value.as_deref().map_or(Cell::Null, Cell::Text)
}

/// The values of a row, in the order of [`Column`].
fn cells(event: &Model) -> impl Iterator<Item = Cell<'_>> {
    Column::iter().map(|column| {
        let integer = |value: Option<i64>| value.map_or(Cell::Null, Cell::Integer);
        let real = |value: Option<f64>| value.map_or(Cell::Null, Cell::Real);
        let date = |value: Option<DateTime<Utc>>| value.map_or(Cell::Null, Cell::Timestamp);
        match column {
            Column::OrganisationId => Cell::Integer(event.organisation_id),
            Column::Id => Cell::Uuid(event.id),
            Column::Number => Cell::Integer(event.number),
            Column::InForce => event.in_force.map_or(Cell::Null, Cell::Boolean),
            Column::ClassificationKey => integer(event.classification_key),
            Column::PerformedByBusinessUnitKey => integer(event.performed_by_business_unit_key),
            Column::PerformedByUnitKey => integer(event.performed_by_unit_key),
            Column::PerformedByTapKey => integer(event.performed_by_tap_key),
            Column::PerformedByDeviceKey => integer(event.performed_by_device_key),
            Column::PerformedOn => Cell::Timestamp(event.performed_on),
            Column::Description => text(&event.description),
            Column::ReferredAccountKey => Cell::Integer(event.referred_account_key),
            Column::ReferredByAccountKey => Cell::Integer(event.referred_by_account_key),
            Column::ExternalSystem => Cell::Text(&event.external_system),
            Column::ExternalSystemReferenceNumber => text(&event.external_system_reference_number),
            Column::ContentHash => event.content_hash.as_deref().map_or(Cell::Null, Cell::Bytes),
            Column::UdfString1 => text(&event.udf_string_1),
            Column::UdfString2 => text(&event.udf_string_2),
            Column::UdfString3 => text(&event.udf_string_3),
            Column::UdfString4 => text(&event.udf_string_4),
            Column::UdfString5 => text(&event.udf_string_5),
            Column::UdfString6 => text(&event.udf_string_6),
            Column::UdfString7 => text(&event.udf_string_7),
            Column::UdfString8 => text(&event.udf_string_8),
            Column::UdfFloat1 => real(event.udf_float_1),
            Column::UdfFloat2 => real(event.udf_float_2),
            Column::UdfFloat3 => real(event.udf_float_3),
            Column::UdfFloat4 => real(event.udf_float_4),
            Column::UdfDate1 => date(event.udf_date_1),
            Column::UdfDate2 => date(event.udf_date_2),
            Column::UdfDate3 => date(event.udf_date_3),
            Column::UdfDate4 => date(event.udf_date_4),
            Column::CreatedOn => Cell::Timestamp(event.created_on),
        }
    })
}

/// Steps the insert on the connection that the transaction is open on. sqlx would hand each row, or a statement of
/// thirty thousand parameters, to a thread of its own; that takes several times as long as the insert itself.
async fn insert_sqlite(connection: &mut SqliteConnection, insert: &str, events: &[Model]) -> Result<(), DbErr> {
    let mut handle = connection.lock_handle().await.map_err(failure)?;
    let insert_all = || -> rusqlite::Result<()> {
        // SAFETY: the handle stays locked, so that sqlx does not touch the connection, until this connection, which
        // does not close it, is gone.
        let connection = unsafe { rusqlite::Connection::from_handle(handle.as_raw_handle().as_ptr()) }?;
        let mut insert = connection.prepare(insert)?;
        for event in events {
            for (index, cell) in (1..).zip(cells(event)) {
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
    tokio::task::block_in_place(insert_all).map_err(|error| DbErr::Exec(RuntimeErr::Internal(error.to_string())))
}

/// The rows in the binary form of COPY: a signature, each row as its number of fields and each field as its length
/// and bytes, all in network order, and a trailer.
fn copy_data(events: &[Model]) -> Vec<u8> {
    /// 2000-01-01T00:00:00Z, from which PostgreSQL counts, in microseconds since 1970.
    const EPOCH: i64 = 946_684_800_000_000;
    let fields = (Column::iter().count() as i16).to_be_bytes();
    let mut data = Vec::with_capacity(events.len() * 1024);
    data.extend_from_slice(b"PGCOPY\n\xff\r\n\0");
    data.extend_from_slice(&[0; 8]);
    for event in events {
        data.extend_from_slice(&fields);
        for cell in cells(event) {
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
    data.extend_from_slice(&(-1i16).to_be_bytes());
    data
}
