//! What tells whether a program has the key that a database's codes are hashed with.

use sea_orm::{ConnectionTrait, DbErr, EntityTrait};

use super::entity::key_check::{ActiveModel, Column, Entity, Model};

/// There is one key so far that must stay the same.
const HASH_KEY: &str = "hash_key";

/// The check value of the key that the codes of this database are hashed with; `None` where no program with a key has
/// used it yet.
pub async fn find<C: ConnectionTrait>(connection: &C) -> Result<Option<String>, DbErr> {
    let check = Entity::find_by_id(HASH_KEY.to_owned()).one(connection).await?;
    Ok(check.map(|check| check.value))
}

/// Keeps the check value, unless there is one: the first program's key stays.
pub async fn keep<C: ConnectionTrait>(connection: &C, value: &str) -> Result<(), DbErr> {
    let check = ActiveModel::from(Model { name: HASH_KEY.to_owned(), value: value.to_owned() });
    Entity::insert(check).on_conflict_do_nothing_on([Column::Name]).exec_without_returning(connection).await?;
    Ok(())
}
