//! Opening a database together with the keys that belong to it.

use std::{path::PathBuf, time::Duration};

use super::{Failure, Settings};
use crate::{
    config::{HASH_KEY, KeySettings, Keys, MissingKeys, SettingError},
    secret::CodeHasher,
    storage::{Database, key_checks},
};

/// The database, its schema up to date, and the keys, of which the hash key is the one that the database's codes were
/// stored with.
pub async fn open(
    settings: &Settings,
    missing: MissingKeys,
    time_limit: Duration,
) -> Result<(Database, Keys), Failure> {
    let (token, hash) = (settings.token_key.as_deref(), settings.hash_key.as_deref());
    let key_settings = KeySettings::read(token, hash, &settings.database_url, missing)?;
    let database = settings.open(time_limit).await?;
    let known = key_checks::find(database.reader()).await?;
    if let Some(file) = key_settings.hash_key_to_make()
        && known.is_some()
    {
        return Err(SettingError::new(format!(
            "the key file {} is not there, and the codes in the database match nothing without its key: put the file \
             back, or set {HASH_KEY} to the key that was used so far",
            file.display()
        ))
        .into());
    }
    let file = key_settings.hash_key_file();
    let keys = key_settings.keys()?;
    check_hash_key(&database, known, &keys, file).await?;
    Ok((database, keys))
}

/// Refuses another hash key than the one that the database's codes were stored with: under it they match nothing. The
/// first program that uses a database leaves a check value of its key there; `known` is the one that was found.
async fn check_hash_key(
    database: &Database,
    known: Option<String>,
    keys: &Keys,
    file: Option<PathBuf>,
) -> Result<(), Failure> {
    let check = CodeHasher::new(&keys.hash).key_check();
    let known = match known {
        Some(known) => Some(known),
        None => {
            key_checks::keep(database.writer(), &check).await?;
            // Another program may have been faster, with a key of its own.
            key_checks::find(database.writer()).await?
        }
    };
    if known.is_some_and(|known| known == check) {
        return Ok(());
    }
    let remedy = match file {
        Some(file) => format!("put the key file {} back that was there", file.display()),
        None => format!("set {HASH_KEY} to the key that was used so far"),
    };
    let message = format!("the codes in the database were hashed with another key and would match nothing: {remedy}");
    Err(SettingError::new(message).into())
}
