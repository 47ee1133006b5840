//! What is set: the configuration and the keys.

use std::net::SocketAddr;

use super::{super::Settings, finding::Finding};
use crate::{
    config::{HASH_KEY, KeySettings, Keys, MissingKeys, SettingError},
    logging,
    secret::CodeHasher,
    storage::{Database, key_checks},
};

const CONFIGURATION: &str = "configuration";
const KEYS: &str = "keys";
const OF_DATABASE: &str = "hash key";

pub fn configuration(settings: &Settings, addresses: &Result<Vec<SocketAddr>, SettingError>) -> Finding {
    if let Err(reason) = logging::filter(&settings.log) {
        return Finding::failed(CONFIGURATION, format!("--log cannot be read: {reason}"));
    }
    match (addresses, &settings.config) {
        (Err(reason), _) => Finding::failed(CONFIGURATION, reason.to_string()),
        (Ok(_), Some(file)) => Finding::ok(CONFIGURATION, format!("it is read from {}", file.display())),
        (Ok(_), None) => Finding::ok(CONFIGURATION, "there is no file; flags, the environment and defaults count"),
    }
}

fn read(token: Option<&str>, settings: &Settings, addresses: &[SocketAddr]) -> Result<KeySettings, SettingError> {
    let is_loopback = addresses.iter().all(|address| address.ip().is_loopback());
    let missing = if is_loopback { MissingKeys::KeepBesideDatabase } else { MissingKeys::Refuse };
    KeySettings::read(token, settings.hash_key.as_deref(), &settings.database_url, missing)
}

pub fn keys(settings: &Settings, addresses: &[SocketAddr]) -> Finding {
    let keys = match read(settings.token_key.as_deref(), settings, addresses) {
        Ok(keys) => keys,
        Err(reason) => return Finding::failed(KEYS, reason.to_string()),
    };
    if let Some(file) = keys.file_to_make() {
        return Finding::ok(KEYS, format!("serve makes those that are not set, in {}", file.display()));
    }
    match keys.keys() {
        Ok(_) => Finding::ok(KEYS, "there are two, which differ"),
        Err(reason) => Finding::failed(KEYS, reason.to_string()),
    }
}

/// Whether the hash key is the one that the database's codes were stored with.
pub async fn hash_key(database: &Database, settings: &Settings, addresses: &[SocketAddr]) -> Option<Finding> {
    // Without its tables there is no database that a key could belong to.
    let Some(known) = key_checks::find(database.reader()).await.ok().flatten() else {
        return Some(Finding::ok(OF_DATABASE, "the database has been used with none so far"));
    };
    // With any token key, so that none is made in a file for want of it.
    let token = Keys::generate().ok()?.token.to_hex();
    let keys = read(Some(token.expose()), settings, addresses).ok()?;
    let key = match keys.hash_key_to_make() {
        Some(_) => None,
        // What is wrong with them is told already.
        None => Some(keys.keys().ok()?.hash),
    };
    Some(match key {
        Some(key) if CodeHasher::new(&key).key_check() == known => {
            Finding::ok(OF_DATABASE, "it is the one that the codes in the database were stored with")
        }
        _ => Finding::failed(
            OF_DATABASE,
            format!(
                "the codes in the database were stored with another key and would match nothing: set {HASH_KEY} to that \
                 one, or put its key file back"
            ),
        ),
    })
}
