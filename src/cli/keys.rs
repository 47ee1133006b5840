//! Opening a database together with the keys that belong to it.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Failure, Settings,
    key_settings::{FoundKeys, KeySettings, MissingKeys, Source},
};
use crate::{
    config::{HASH_KEY, Keys, SettingError},
    secret::{KeyRing, key_check},
    storage::{Database, access_tokens, key_checks},
};

/// What becomes of a first hash key, of two, that is new to a database which knows others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewKey {
    /// It is in use from now on.
    Use,
    /// A server has to use it first: what is hashed with it before identifies nobody there.
    Refuse,
}

/// The database, its schema up to date, and the keys, of which the hash keys are those that the database's codes were
/// stored with.
pub async fn open(
    settings: &Settings,
    missing: MissingKeys,
    new: NewKey,
    time_limit: Duration,
) -> Result<(Database, Keys), Failure> {
    let key_settings = KeySettings::read(&settings.keys, &settings.database_url, missing)?;
    let database = settings.open_or_make(time_limit).await?;
    let known = key_checks::find_all(database.reader()).await?;
    if let Some(file) = key_settings.hash_key_to_make()
        && !known.is_empty()
    {
        return Err(SettingError::new(format!(
            "the key file {} is not there, and the codes in the database match nothing without its key: put the file \
             back, or set {HASH_KEY} to the key that was used so far",
            file.display()
        ))
        .into());
    }
    let FoundKeys { keys, hash_source, .. } = key_settings.keys()?;
    if new == NewKey::Refuse && keys.hash.second.is_some() && !known.is_empty() {
        check_in_use(&known, &keys.hash, "import")?;
    }
    check_hash_keys(&database, known, &keys.hash, &hash_source).await?;
    for flag in &settings.keys.shown {
        tracing::warn!("{flag} stands on the command line, where whoever lists the processes sees it: use {flag}-file");
    }
    Ok((database, keys))
}

/// Refuses other hash keys than those that the database's codes were stored with: under them they match nothing. The
/// first program that uses a database with a key leaves a check value of the key there; `known` are those that were found.
/// One that is not set any more is forgotten, once no code is stored with it.
async fn check_hash_keys(
    database: &Database,
    known: BTreeMap<u16, String>,
    keys: &KeyRing,
    source: &Source,
) -> Result<(), Failure> {
    if let Some(refusal) = find_wrong_key(&known, keys, source) {
        return Err(refusal.into());
    }
    let not_set: Vec<u16> = known.keys().copied().filter(|number| keys.find(*number).is_none()).collect();
    if !not_set.is_empty() {
        let stored = access_tokens::count_hashes(database.reader()).await?;
        if let Some(number) = not_set.iter().find(|number| stored.contains_key(number)) {
            return Err(missing_key(*number, stored.get(number).copied().unwrap_or_default()).into());
        }
    }
    for key in keys.all().filter(|key| !known.contains_key(&key.number)) {
        key_checks::keep(database.writer(), key.number, &key_check(key)).await?;
    }
    // Another program may have been faster, with keys of its own.
    let known = key_checks::find_all(database.writer()).await?;
    if let Some(refusal) = find_wrong_key(&known, keys, source) {
        return Err(refusal.into());
    }
    for number in not_set {
        key_checks::forget(database.writer(), number).await?;
    }
    Ok(())
}

/// Refuses keys with which codes in the database match nothing.
pub async fn check_fit(database: &Database, keys: &KeyRing, source: &Source) -> Result<(), Failure> {
    let known = key_checks::find_all(database.reader()).await?;
    if let Some(refusal) = find_wrong_key(&known, keys, source) {
        return Err(refusal.into());
    }
    let stored = access_tokens::count_hashes(database.reader()).await?;
    match stored.into_iter().find(|(number, _)| keys.find(*number).is_none()) {
        Some((number, hashes)) => Err(missing_key(number, hashes).into()),
        None => Ok(()),
    }
}

/// Refuses a first hash key that no server has used yet; `act` is what waits for it.
pub fn check_in_use(known: &BTreeMap<u16, String>, keys: &KeyRing, act: &str) -> Result<(), SettingError> {
    let number = keys.first.number;
    if known.contains_key(&number) {
        return Ok(());
    }
    Err(SettingError::new(format!(
        "the hash key {number} is not in use yet: start `serve` again for it to take effect, and {act} after that"
    )))
}

/// What is said where one of the keys is not the one of its number that the database knows.
fn find_wrong_key(known: &BTreeMap<u16, String>, keys: &KeyRing, source: &Source) -> Option<SettingError> {
    let is_wrong = |number, check| known.get(&number).is_some_and(|known| *known != check);
    keys.all().find(|key| is_wrong(key.number, key_check(key)))?;
    let remedy = match source {
        Source::Beside(file) => format!("put the key file {} back that was there", file.display()),
        Source::File(file) => format!("put the key that was used so far in the file {}", file.display()),
        Source::Set(name) => format!("set {name} to the key that was used so far"),
    };
    let message = format!("the codes in the database were hashed with another key and would match nothing: {remedy}");
    Some(SettingError::new(message))
}

/// What is said where codes are stored with a key that is not set.
fn missing_key(number: u16, hashes: i64) -> SettingError {
    SettingError::new(format!(
        "{hashes} codes in the database are hashed with the hash key {number}, which is not set, and would match nothing: \
         set it after the one that is, as `key check` shows, until these codes are used or imported again"
    ))
}
