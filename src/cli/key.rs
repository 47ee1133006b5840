//! `key`: makes keys, and says how the ones that there are stand to the database.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::{
    COMMAND_TIME_LIMIT, Failure, Settings, key_files,
    key_settings::{FoundKeys, KeySettings, MissingKeys, Source},
    keys::{check_fit, check_in_use},
    say,
};
use crate::{
    config::{Keys, SettingError},
    secret::{Key, KeyRing},
    storage::{Database, access_tokens, key_checks},
};

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Makes a key and prints it, or writes it to a new file, readable by its owner alone
    #[command(after_help = "Example:\n  referral-events key new token.key")]
    New {
        /// The file to make
        file: Option<PathBuf>,
    },
    /// Puts a new key before the one that there is: in the file beside a SQLite database; elsewhere says what to set
    #[command(after_help = "Example:\n  referral-events key rotate token")]
    Rotate {
        /// Which key
        which: Which,
    },
    /// Says which keys are set and whether they fit the database; fails where they do not
    #[command(after_help = super::CHECK_KEYS)]
    Check,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Which {
    /// The key that signs tokens
    Token,
    /// The key that hashes codes
    Hash,
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Hash => "hash",
        }
    }
}

pub async fn run(command: KeyCommand, settings: &Settings) -> Result<(), Failure> {
    match command {
        KeyCommand::New { file } => new(file),
        KeyCommand::Rotate { which } => rotate(which, settings).await,
        KeyCommand::Check => check(settings).await,
    }
}

fn generate() -> Result<Key, SettingError> {
    Key::generate().map_err(|error| SettingError::new(format!("no key can be made: {error}")))
}

fn new(file: Option<PathBuf>) -> Result<(), Failure> {
    let key = generate()?;
    match file {
        Some(file) => {
            key_files::make(&file, &key)?;
            say(&format!("made {}, which its owner alone may read", file.display()));
        }
        None => say(key.to_hex().expose()),
    }
    Ok(())
}

/// The keys that there are; none is made.
fn find_keys(settings: &Settings) -> Result<FoundKeys, Failure> {
    let found = KeySettings::read(&settings.keys, &settings.database_url, MissingKeys::KeepBesideDatabase)?;
    if let Some(file) = found.file_to_make() {
        let message = format!("no key is set, and there is no key file {}: `serve` makes it", file.display());
        return Err(SettingError::new(message).into());
    }
    Ok(found.keys()?)
}

async fn rotate(which: Which, settings: &Settings) -> Result<(), Failure> {
    let FoundKeys { keys, token_source, hash_source } = find_keys(settings)?;
    let (ring, source) = match which {
        Which::Token => (keys.token.clone(), token_source),
        Which::Hash => (keys.hash.clone(), hash_source),
    };
    let Source::Beside(file) = source else {
        say_how_to_rotate(which, &ring, generate()?, &source);
        return Ok(());
    };
    let dropped = ring.second.as_ref().map(|second| second.number);
    if let (Which::Hash, Some(dropped)) = (which, dropped) {
        let database = settings.open(COMMAND_TIME_LIMIT).await?;
        let stored = access_tokens::count_hashes(database.reader()).await?;
        let known = key_checks::find_all(database.reader()).await?;
        database.close().await?;
        // A server that was not started since hashes with the one that would go, and nothing else has it.
        check_in_use(&known, &ring, "rotate")?;
        if let Some(hashes) = stored.get(&dropped) {
            return Err(SettingError::new(format!(
                "there are two hash keys, and {hashes} codes are hashed with the older one, {dropped}, still: import \
                 these access tokens again, with their codes, before it goes"
            ))
            .into());
        }
    }
    let rotated = ring.with_first(generate()?);
    let (first, second) = (rotated.first.number, rotated.second.as_ref().map_or(0, |second| second.number));
    let keys = match which {
        Which::Token => Keys { token: rotated, hash: keys.hash },
        Which::Hash => Keys { token: keys.token, hash: rotated },
    };
    key_files::write_beside(&file, &keys)?;
    let name = which.name();
    say(&format!("the {name} key {first} is the first in {} now; {name} key {second} is accepted too", file.display()));
    if let Some(dropped) = dropped {
        say(&format!("the {name} key {dropped} is gone"));
    }
    say("start `serve` again for it to take effect; keep a copy of the file with those of the database");
    Ok(())
}

fn say_how_to_rotate(which: Which, ring: &KeyRing, key: Key, source: &Source) {
    let (name, new, old) = (which.name(), ring.next_number(), ring.first.number);
    if let Some(second) = &ring.second {
        say(&format!("0. take the {name} key {} out, which is the second: there are two at most", second.number));
    }
    let key = key.to_hex();
    say(&format!(
        "a new {name} key, which is nowhere yet:\n\
         {new}:{}\n\
         1. set it after the key {old} in {source}, as `{old}:KEY,{new}:KEY` or one a line, on every replica, and restart \
         them one by one: from then on all accept it\n\
         2. set it before the key {old}, on every replica, and restart them one by one: from then on it {}\n\
         3. {}, take the key {old} out, on every replica, and restart them one by one",
        key.expose(),
        match which {
            Which::Token => "signs",
            Which::Hash => "hashes",
        },
        match which {
            Which::Token => "two hours later, when the last token of the old key has run out".to_owned(),
            Which::Hash => format!(
                "when `key check` counts no hash of the key {old} any more, and the answers to idempotency keys from \
                 before step 2 are no longer kept"
            ),
        },
    ));
}

async fn check(settings: &Settings) -> Result<(), Failure> {
    let FoundKeys { keys, token_source, hash_source } = find_keys(settings)?;
    for (name, does, ring, source) in
        [("token", "signs", &keys.token, &token_source), ("hash", "hashes", &keys.hash, &hash_source)]
    {
        let second = ring.second.as_ref();
        let second = second.map(|second| format!(", key {} is accepted too", second.number)).unwrap_or_default();
        say(&format!("{name} key {} {does}{second}: from {source}", ring.first.number));
    }
    for flag in &settings.keys.shown {
        say(&format!("{flag} stands on the command line, where whoever lists the processes sees it: use {flag}-file"));
    }
    let database = settings.open(COMMAND_TIME_LIMIT).await?;
    let checked = check_against(&database, &keys.hash, &hash_source).await;
    database.close().await?;
    checked
}

async fn check_against(database: &Database, keys: &KeyRing, source: &Source) -> Result<(), Failure> {
    let known = key_checks::find_all(database.reader()).await?;
    let stored = access_tokens::count_hashes(database.reader()).await?;
    for (number, hashes) in &stored {
        say(&format!("{hashes} codes are hashed with the hash key {number}"));
    }
    check_fit(database, keys, source).await?;
    for key in keys.all().filter(|key| !known.contains_key(&key.number)) {
        say(&format!("the hash key {} is new to the database, which knows it once a server has started", key.number));
    }
    if let Some(second) = keys.second.as_ref().filter(|second| !stored.contains_key(&second.number)) {
        say(&format!("no code is hashed with the hash key {} any more", second.number));
    }
    say("the keys fit the database");
    Ok(())
}
