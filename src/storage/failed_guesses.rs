//! How often something was guessed at in vain.

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter};

use super::{
    entity::failed_guess::{Column, Entity},
    sql::{Sql, json, key_array},
};

pub use super::entity::failed_guess::Model as FailedGuess;
use crate::id::SubjectKey;

/// PostgreSQL makes an array of a parameter once; a subquery of IN it might run again for every row.
const FIND: Sql = Sql {
    postgres: "SELECT subject, failures, free_at, version FROM failed_guesses WHERE subject = ANY ($1::bigint[])",
    sqlite: "\
SELECT subject, failures, free_at, version FROM failed_guesses WHERE subject IN (SELECT k.value FROM json_each($1) AS k)",
};

/// On SQLite the connection that writes is waited for, and no other stores anything meanwhile.
const FIND_IN_TURN: Sql = Sql {
    postgres: "\
SELECT subject, failures, free_at, version FROM failed_guesses WHERE subject = ANY ($1::bigint[]) FOR SHARE",
    sqlite: FIND.sqlite,
};

/// The rows of those subjects that have one.
pub async fn find_many<C: ConnectionTrait>(connection: &C, subjects: &[SubjectKey]) -> Result<Vec<FailedGuess>, DbErr> {
    let values = vec![key_array(connection, subjects)];
    FailedGuess::find_by_statement(FIND.with(connection, values)).all(connection).await
}

/// The same, after waiting for those who are storing such rows.
pub async fn find_many_in_turn<C: ConnectionTrait>(
    connection: &C,
    subjects: &[SubjectKey],
) -> Result<Vec<FailedGuess>, DbErr> {
    let values = vec![key_array(connection, subjects)];
    FailedGuess::find_by_statement(FIND_IN_TURN.with(connection, values)).all(connection).await
}

/// A row of a later version than the first is stored in place of another alone: where that is gone, it was forgotten. On
/// PostgreSQL it is locked, so that it does not go between the look and the change.
const STORE: Sql = Sql {
    postgres: "\
INSERT INTO failed_guesses (subject, failures, free_at, version)
SELECT CAST(k.value ->> 0 AS BIGINT), CAST(k.value ->> 1 AS BIGINT), CAST(k.value ->> 2 AS BIGINT),
    CAST(k.value ->> 3 AS BIGINT)
FROM jsonb_array_elements($1::jsonb) AS k(value)
WHERE CAST(k.value ->> 3 AS BIGINT) = 1
    OR EXISTS (SELECT 1 FROM failed_guesses f WHERE f.subject = CAST(k.value ->> 0 AS BIGINT) FOR UPDATE)
ON CONFLICT (subject) DO UPDATE
SET failures = excluded.failures, free_at = excluded.free_at, version = excluded.version
WHERE failed_guesses.version = excluded.version - 1
RETURNING subject",
    sqlite: "\
INSERT INTO failed_guesses (subject, failures, free_at, version)
SELECT CAST(k.value ->> 0 AS BIGINT), CAST(k.value ->> 1 AS BIGINT), CAST(k.value ->> 2 AS BIGINT),
    CAST(k.value ->> 3 AS BIGINT)
FROM json_each($1) AS k
WHERE CAST(k.value ->> 3 AS BIGINT) = 1
    OR EXISTS (SELECT 1 FROM failed_guesses f WHERE f.subject = CAST(k.value ->> 0 AS BIGINT))
ON CONFLICT (subject) DO UPDATE
SET failures = excluded.failures, free_at = excluded.free_at, version = excluded.version
WHERE failed_guesses.version = excluded.version - 1
RETURNING subject",
};

/// Stores each row that is of the version after the one that is there, or the first where none is. Answers the subjects
/// of those stored: another call has changed the others first. They are stored in one order, so that two that store the
/// same rows don't wait for each other.
pub async fn store<C: ConnectionTrait>(connection: &C, rows: &[FailedGuess]) -> Result<Vec<SubjectKey>, DbErr> {
    let mut rows: Vec<[i64; 4]> =
        rows.iter().map(|row| [row.subject.0, row.failures, row.free_at, row.version]).collect();
    rows.sort_unstable();
    let stored = connection.query_all_raw(STORE.with(connection, vec![json(&rows)])).await?;
    stored.iter().map(|row| row.try_get("", "subject")).collect()
}

/// Forgets what is counted of the subjects, of which there are a few.
pub async fn remove<C: ConnectionTrait>(connection: &C, subjects: &[SubjectKey]) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::Subject.is_in(subjects.iter().copied())).exec(connection).await?;
    Ok(())
}

const REMOVE_OLD: Sql = Sql::of_both(
    "\
DELETE FROM failed_guesses
WHERE free_at < $1 AND subject IN (SELECT subject FROM failed_guesses WHERE free_at < $1 ORDER BY free_at LIMIT $2)",
);

/// Removes at most `limit` rows of what was free before that moment, in milliseconds since 1970; says how many.
pub async fn remove_old<C: ConnectionTrait>(connection: &C, before: i64, limit: u32) -> Result<u64, DbErr> {
    let values = vec![before.into(), i64::from(limit).into()];
    Ok(connection.execute_raw(REMOVE_OLD.with(connection, values)).await?.rows_affected())
}
