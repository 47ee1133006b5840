//! What tells whether a program has the keys that a database's codes are hashed with.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DbErr, EntityTrait};

use super::entity::key_check::{ActiveModel, Column, Entity, Model};

/// The name of the hash key 1; after it come a colon and the number of another.
const HASH_KEY: &str = "hash_key";

/// The check values of the keys that the codes of this database are hashed with, by their numbers; none where no program
/// with a key has used it yet.
pub async fn find_all<C: ConnectionTrait>(connection: &C) -> Result<BTreeMap<u16, String>, DbErr> {
    let checks = Entity::find().all(connection).await?;
    Ok(checks.into_iter().filter_map(|check| Some((number(&check.name)?, check.value))).collect())
}

/// Keeps the check value, unless there is one: the first program's key stays.
pub async fn keep<C: ConnectionTrait>(connection: &C, number: u16, value: &str) -> Result<(), DbErr> {
    let check = ActiveModel::from(Model { name: name(number), value: value.to_owned() });
    Entity::insert(check).on_conflict_do_nothing_on([Column::Name]).exec_without_returning(connection).await?;
    Ok(())
}

pub async fn forget<C: ConnectionTrait>(connection: &C, number: u16) -> Result<(), DbErr> {
    Entity::delete_by_id(name(number)).exec(connection).await?;
    Ok(())
}

fn name(number: u16) -> String {
    if number == 1 { HASH_KEY.to_owned() } else { format!("{HASH_KEY}:{number}") }
}

fn number(name: &str) -> Option<u16> {
    match name.strip_prefix(HASH_KEY)? {
        "" => Some(1),
        number => number.strip_prefix(':')?.parse().ok(),
    }
}
