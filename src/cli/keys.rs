//! Opening a database together with the keys that belong to it.

use std::time::Duration;

use super::{Failure, Settings};
use crate::{
    config::{HASH_KEY, KeySettings, Keys, MissingKeys, SettingError},
    secret::CodeHasher,
    storage::{Database, key_checks},
};

/// The database, its schema up to date, and the keys. The codes in a database match nothing under another hash key than
/// the one they were stored with, so the first program that uses a database leaves a check value of its key there, and
/// a program with another key is refused.
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
    let check = CodeHasher::new(&keys.hash).key_check();
    let known = match known {
        Some(known) => Some(known),
        None => {
            key_checks::keep(database.writer(), &check).await?;
            // Another program may have been faster, with a key of its own.
            key_checks::find(database.writer()).await?
        }
    };
    if known.is_none_or(|known| known != check) {
        let remedy = match file {
            Some(file) => format!("put the key file {} back that was there", file.display()),
            None => format!("set {HASH_KEY} to the key that was used so far"),
        };
        let message =
            format!("the codes in the database were hashed with another key and would match nothing: {remedy}");
        return Err(SettingError::new(message).into());
    }
    Ok((database, keys))
}
