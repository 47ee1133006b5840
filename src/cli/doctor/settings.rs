//! What is set: the configuration and the keys.

use std::net::SocketAddr;

use super::{
    super::{
        Settings,
        key_settings::{KeySettings, MissingKeys},
        keys::check_fit,
        tls::TlsArguments,
    },
    finding::Finding,
};
use crate::{
    config::{HASH_KEY, SettingError},
    logging,
    storage::{Database, key_checks},
};

const CONFIGURATION: &str = "configuration";
const KEYS: &str = "keys";
const TLS: &str = "TLS";
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

fn read(settings: &Settings, addresses: &[SocketAddr]) -> Result<KeySettings, SettingError> {
    let is_loopback = addresses.iter().all(|address| address.ip().is_loopback());
    let missing = if is_loopback { MissingKeys::KeepBesideDatabase } else { MissingKeys::Refuse };
    KeySettings::read(&settings.keys, &settings.database_url, missing)
}

pub fn keys(settings: &Settings, addresses: &[SocketAddr]) -> Finding {
    let keys = match read(settings, addresses) {
        Ok(keys) => keys,
        Err(reason) => return Finding::failed(KEYS, reason.to_string()),
    };
    if let Some(file) = keys.file_to_make() {
        return Finding::ok(KEYS, format!("serve makes those that are not set, in {}", file.display()));
    }
    match (keys.keys(), settings.keys.shown.as_slice()) {
        (Ok(_), []) => Finding::ok(KEYS, "there are two, which differ"),
        (Ok(_), [flag, ..]) => Finding::warning(
            KEYS,
            format!("{flag} stands on the command line, where whoever lists the processes sees it: use {flag}-file"),
        ),
        (Err(reason), _) => Finding::failed(KEYS, reason.to_string()),
    }
}

pub fn tls(arguments: &TlsArguments, addresses: &[SocketAddr]) -> Finding {
    match arguments.open(addresses) {
        Ok(Some(_)) => Finding::ok(TLS, "there is a certificate, with its key"),
        Ok(None) => Finding::ok(TLS, "callers are served in plain text"),
        Err(reason) => Finding::failed(TLS, reason.to_string()),
    }
}

/// Whether the hash keys are those that the database's codes were stored with.
pub async fn hash_key(database: &Database, settings: &Settings, addresses: &[SocketAddr]) -> Option<Finding> {
    // Without its tables there is no database that a key could belong to.
    let known = key_checks::find_all(database.reader()).await.unwrap_or_default();
    if known.is_empty() {
        return Some(Finding::ok(OF_DATABASE, "the database has been used with none so far"));
    }
    // What is wrong with the keys themselves is told already.
    let found = read(settings, addresses).and_then(|keys| keys.hash_keys()).ok()?;
    let Some((keys, source)) = found else {
        return Some(Finding::failed(
            OF_DATABASE,
            format!(
                "the key file is not there, and the codes in the database match nothing without its key: put the file \
                 back, or set {HASH_KEY} to the key that was used so far"
            ),
        ));
    };
    Some(match check_fit(database, &keys, &source).await {
        Ok(()) => Finding::ok(OF_DATABASE, "it is the one that the codes in the database were stored with"),
        Err(refusal) => Finding::failed(OF_DATABASE, refusal.to_string()),
    })
}
