//! What tells whether a program has the key that a database's codes are hashed with.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::sql::statement;

/// There is one key so far that must stay the same.
const HASH_KEY: &str = "hash_key";

#[derive(FromQueryResult)]
struct Check {
    value: String,
}

/// The check value of the key that the codes of this database are hashed with; `None` where no program with a key has
/// used it yet.
pub async fn find<C: ConnectionTrait>(connection: &C) -> Result<Option<String>, DbErr> {
    let sql = "SELECT value FROM key_checks WHERE name = $1";
    let check = Check::find_by_statement(statement(connection, sql, vec![HASH_KEY.into()])).one(connection).await?;
    Ok(check.map(|check| check.value))
}

/// Keeps the check value, unless there is one: the first program's key stays.
pub async fn keep<C: ConnectionTrait>(connection: &C, value: &str) -> Result<(), DbErr> {
    let sql = "INSERT INTO key_checks (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    connection.execute_raw(statement(connection, sql, vec![HASH_KEY.into(), value.into()])).await?;
    Ok(())
}
