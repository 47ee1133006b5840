//! How often something was guessed at in vain. The rows are no organisation's: what is guessed at need not exist.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult};

use super::sql::{among, each_text, each_tuple, json, statement};

/// What is counted of one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromQueryResult)]
pub struct FailedGuesses {
    /// What is guessed at, as a keyed hash.
    pub subject: i64,
    pub failures: i64,
    /// From when on it may be guessed at again; where nobody has to wait, when it was last guessed at in vain. In
    /// milliseconds since 1970.
    pub free_at: i64,
    /// One more with every change.
    pub version: i64,
}

/// What is counted of the subjects, of those of which something is.
pub async fn find_many<C: ConnectionTrait>(connection: &C, subjects: &[i64]) -> Result<Vec<FailedGuesses>, DbErr> {
    find(connection, subjects, "").await
}

/// The same once those who are storing rows of theirs are done. On SQLite the connection that writes does that.
pub async fn find_many_in_turn<C: ConnectionTrait>(
    connection: &C,
    subjects: &[i64],
) -> Result<Vec<FailedGuesses>, DbErr> {
    let lock = match connection.get_database_backend() {
        DbBackend::Postgres => " FOR SHARE",
        _ => "",
    };
    find(connection, subjects, lock).await
}

async fn find<C: ConnectionTrait>(
    connection: &C,
    subjects: &[i64],
    lock: &'static str,
) -> Result<Vec<FailedGuesses>, DbErr> {
    let backend = connection.get_database_backend();
    let among = among(backend, &format!("SELECT CAST(k.value AS BIGINT) FROM {}", each_text(backend, 1)));
    let sql = format!("SELECT subject, failures, free_at, version FROM failed_guesses WHERE subject {among}{lock}");
    FailedGuesses::find_by_statement(statement(connection, sql, vec![json(&subjects)])).all(connection).await
}

/// Stores each row that is of the version after the one that is there, or the first where none is. Answers the subjects
/// of those stored: another call has changed the others first.
pub async fn store<C: ConnectionTrait>(connection: &C, rows: &[FailedGuesses]) -> Result<Vec<i64>, DbErr> {
    let rows: Vec<[i64; 4]> = rows.iter().map(|row| [row.subject, row.failures, row.free_at, row.version]).collect();
    let each = each_tuple(connection.get_database_backend(), 1);
    // In one order, so that two that store the same rows don't wait for each other.
    let sql = format!(
        "INSERT INTO failed_guesses (subject, failures, free_at, version) \
         SELECT CAST(k.value ->> 0 AS BIGINT), CAST(k.value ->> 1 AS BIGINT), CAST(k.value ->> 2 AS BIGINT), \
         CAST(k.value ->> 3 AS BIGINT) FROM {each} WHERE TRUE ORDER BY 1 \
         ON CONFLICT (subject) DO UPDATE \
         SET failures = excluded.failures, free_at = excluded.free_at, version = excluded.version \
         WHERE failed_guesses.version = excluded.version - 1 RETURNING subject"
    );
    let stored = connection.query_all_raw(statement(connection, sql, vec![json(&rows)])).await?;
    stored.iter().map(|row| row.try_get("", "subject")).collect()
}

/// Forgets what is counted of the subjects.
pub async fn remove<C: ConnectionTrait>(connection: &C, subjects: &[i64]) -> Result<(), DbErr> {
    let backend = connection.get_database_backend();
    let among = among(backend, &format!("SELECT CAST(k.value AS BIGINT) FROM {}", each_text(backend, 1)));
    let sql = format!("DELETE FROM failed_guesses WHERE subject {among}");
    connection.execute_raw(statement(connection, sql, vec![json(&subjects)])).await?;
    Ok(())
}

/// Removes at most `limit` rows of what was free before that moment, in milliseconds since 1970; says how many.
pub async fn remove_old<C: ConnectionTrait>(connection: &C, before: i64, limit: u32) -> Result<u64, DbErr> {
    let sql = "DELETE FROM failed_guesses WHERE free_at < $1 AND subject IN \
               (SELECT subject FROM failed_guesses WHERE free_at < $1 ORDER BY free_at LIMIT $2)";
    let values = vec![before.into(), i64::from(limit).into()];
    Ok(connection.execute_raw(statement(connection, sql, values)).await?.rows_affected())
}
