//! Where the keys come from: the environment, a file, the file beside a SQLite database, or the command line.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{OF_ALL, key_files};
use crate::{
    config::{HASH_KEY, Keys, SettingError, TOKEN_KEY},
    secret::{KeyRing, MAKE_A_KEY},
    storage::sqlite_file,
};

type Result<T> = std::result::Result<T, SettingError>;

/// The settings of the keys, which all commands share.
#[derive(Args)]
pub struct KeyArguments {
    /// The key that signs tokens, 64 hex digits; made beside the database where it is SQLite. Rather set the variable, or
    /// the file below: whoever lists the processes sees what stands on the command line
    #[arg(
        long,
        global = true,
        value_name = "KEY",
        env = TOKEN_KEY,
        hide_env_values = true,
        help_heading = OF_ALL,
        hide_short_help = true
    )]
    token_key: Option<String>,
    /// A file that has the key that signs tokens, and after it one that is accepted too; its owner alone may read it
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "REFERRAL_EVENTS_TOKEN_KEY_FILE",
        help_heading = OF_ALL,
        hide_short_help = true
    )]
    token_key_file: Option<PathBuf>,
    /// The key that hashes the codes of access tokens, 64 hex digits; made beside the database where it is SQLite. Rather
    /// set the variable, or the file below, likewise
    #[arg(
        long,
        global = true,
        value_name = "KEY",
        env = HASH_KEY,
        hide_env_values = true,
        help_heading = OF_ALL,
        hide_short_help = true
    )]
    hash_key: Option<String>,
    /// A file that has the key that hashes codes, and after it one whose hashes are known too; its owner alone may read it
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "REFERRAL_EVENTS_HASH_KEY_FILE",
        help_heading = OF_ALL,
        hide_short_help = true
    )]
    hash_key_file: Option<PathBuf>,
    /// Those of the two keys that stand on the command line.
    #[arg(skip)]
    pub shown: Vec<&'static str>,
}

impl KeyArguments {
    /// The ids and flags of the keys themselves.
    pub const SHOWN: [(&'static str, &'static str); 2] = [("token_key", "--token-key"), ("hash_key", "--hash-key")];

    /// Nothing of what is set.
    pub fn none() -> Self {
        Self { token_key: None, token_key_file: None, hash_key: None, hash_key_file: None, shown: Vec::new() }
    }

    fn token(&self) -> Setting<'_> {
        Setting {
            name: TOKEN_KEY,
            flag: "--token-key",
            text: self.token_key.as_deref(),
            file: self.token_key_file.as_deref(),
        }
    }

    fn hash(&self) -> Setting<'_> {
        Setting {
            name: HASH_KEY,
            flag: "--hash-key",
            text: self.hash_key.as_deref(),
            file: self.hash_key_file.as_deref(),
        }
    }
}

struct Setting<'a> {
    name: &'static str,
    flag: &'static str,
    text: Option<&'a str>,
    file: Option<&'a Path>,
}

/// Where keys were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Set(&'static str),
    File(PathBuf),
    Beside(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(name) => f.write_str(name),
            Self::File(file) => write!(f, "the file {}", file.display()),
            Self::Beside(file) => write!(f, "the key file {} beside the database", file.display()),
        }
    }
}

impl Setting<'_> {
    fn read(&self) -> Result<Option<(KeyRing, Source)>> {
        let Self { name, flag, .. } = self;
        let fault = |what: &str, fault| SettingError::new(format!("{what} {fault}"));
        match (self.text, self.file) {
            (Some(_), Some(_)) => {
                Err(SettingError::new(format!("{name} and {flag}-file are both set: leave one of them out")))
            }
            (Some(text), None) => {
                let keys = KeyRing::read(text).map_err(|found| fault(name, found))?;
                Ok(Some((keys, Source::Set(name))))
            }
            (None, Some(file)) => {
                let what = format!("what the key file {} holds", file.display());
                let keys = KeyRing::read(&key_files::read(file)?).map_err(|found| fault(&what, found))?;
                Ok(Some((keys, Source::File(file.to_owned()))))
            }
            (None, None) => Ok(None),
        }
    }
}

/// Where the keys come from that are not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingKeys {
    /// From a file beside a SQLite database, which is made where it is not there.
    KeepBesideDatabase,
    /// From nowhere: they must be set.
    Refuse,
}

/// The keys as far as they are set, and where the others come from.
#[derive(Debug)]
pub struct KeySettings {
    token: Option<(KeyRing, Source)>,
    hash: Option<(KeyRing, Source)>,
    /// The file that has those that are not set; `None` where both are.
    file: Option<PathBuf>,
}

/// The keys, and where they were found.
pub struct FoundKeys {
    pub keys: Keys,
    pub token_source: Source,
    pub hash_source: Source,
}

impl KeySettings {
    /// Reads what is set; a key that is not set comes from where `missing` says.
    pub fn read(arguments: &KeyArguments, database_url: &str, missing: MissingKeys) -> Result<Self> {
        let (token, hash) = (arguments.token().read()?, arguments.hash().read()?);
        let database_file = sqlite_file(database_url).map_err(|error| SettingError::new(error.to_string()))?;
        let file = match (missing, database_file) {
            _ if token.is_some() && hash.is_some() => None,
            (MissingKeys::KeepBesideDatabase, Some(path)) => Some(key_files::beside(&path)),
            _ => {
                return Err(SettingError::new(format!(
                    "{TOKEN_KEY} and {HASH_KEY} must be set, each to 64 hex digits: keys are made only for a SQLite \
                     database that is served on a loopback address"
                )));
            }
        };
        Ok(Self { token, hash, file })
    }

    /// The file that the keys come from which are not set, where it is not there yet.
    pub fn file_to_make(&self) -> Option<&Path> {
        self.file.as_deref().filter(|file| !file.exists())
    }

    /// The same where the hash key is to be in it.
    pub fn hash_key_to_make(&self) -> Option<&Path> {
        self.file_to_make().filter(|_| self.hash.is_none())
    }

    /// The hash keys, as far as they are set or in a file that is there; none are made.
    pub fn hash_keys(&self) -> Result<Option<(KeyRing, Source)>> {
        if let Some(set) = &self.hash {
            return Ok(Some(set.clone()));
        }
        let Some(file) = self.file.as_ref().filter(|file| file.exists()) else { return Ok(None) };
        Ok(Some((key_files::read_beside(file)?.hash, Source::Beside(file.clone()))))
    }

    /// The keys; where the file is needed and not there, it is made.
    pub fn keys(self) -> Result<FoundKeys> {
        let kept = self.file.as_deref().map(key_files::read_or_make_beside).transpose()?;
        let beside = |keys| self.file.clone().map(|file| (keys, Source::Beside(file)));
        let (kept_token, kept_hash) = kept.map(|kept| (beside(kept.token), beside(kept.hash))).unzip();
        let found = (self.token.or(kept_token.flatten()), self.hash.or(kept_hash.flatten()));
        let (Some((token, token_source)), Some((hash, hash_source))) = found else {
            return Err(SettingError::new("a key is neither set nor in a file"));
        };
        if token.all().any(|token| hash.all().any(|hash| token.key.as_bytes() == hash.key.as_bytes())) {
            return Err(SettingError::new(format!(
                "{TOKEN_KEY} and {HASH_KEY} must be two keys, and are the same: {MAKE_A_KEY}"
            )));
        }
        Ok(FoundKeys { keys: Keys { token, hash }, token_source, hash_source })
    }
}
