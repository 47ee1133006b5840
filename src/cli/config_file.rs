//! The configuration file: settings under the names of their flags, for what neither a flag nor the environment sets.
//!
//! What a setting is stands in its argument alone. The file's values become the defaults of the arguments, so that each is
//! read by the same reader, wherever it comes from.

use std::{
    collections::BTreeMap,
    error::Error,
    fs::File,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use clap::{
    Arg, ArgAction, ArgMatches, Command,
    error::{ContextKind, ContextValue},
};
use toml::{Table, Value};

use crate::{config::SettingError, storage::without_password, text::nearest};

/// The flag that names the file; it is the one setting that cannot stand in it.
pub const CONFIG: &str = "config";

pub struct ConfigFile {
    path: PathBuf,
    /// The texts of each setting, by its name; one for all but lists.
    values: BTreeMap<String, Vec<String>>,
}

/// Whether an argument is a setting, which has a variable in the environment, rather than what a command is to do.
pub fn is_setting(argument: &Arg) -> bool {
    argument.get_env().is_some() && argument.get_id() != CONFIG
}

/// Whether a value is not to be shown; it is not in the help either.
pub fn is_secret(argument: &Arg) -> bool {
    argument.is_hide_env_values_set()
}

impl ConfigFile {
    /// The file that the command line or the environment names, if one is named.
    pub fn of(matches: &ArgMatches, command: &Command) -> Result<Option<Self>, SettingError> {
        let Some(path) = matches.get_one::<PathBuf>(CONFIG) else { return Ok(None) };
        let refused =
            |reason: String| SettingError::new(format!("the configuration file {}: {reason}", path.display()));
        read(path, command).map(Some).map_err(refused)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn has(&self, argument: &Arg) -> bool {
        is_setting(argument) && argument.get_long().is_some_and(|name| self.values.contains_key(name))
    }

    /// The command line with the values of the file in the place of its defaults.
    pub fn apply(&self, command: Command) -> Command {
        let set = |argument: Arg| match argument.get_long().and_then(|name| self.values.get(name)) {
            Some(values) if is_setting(&argument) => argument.default_values(values.clone()),
            _ => argument,
        };
        command.mut_args(set).mut_subcommands(|command| self.apply(command))
    }
}

fn read(path: &Path, command: &Command) -> Result<ConfigFile, String> {
    let mut file = File::open(path).map_err(|error| format!("{error}; name another with --config"))?;
    let mode = file.metadata().map_err(|error| error.to_string())?.mode();
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|error| error.to_string())?;
    // The error's own text shows the line, in which a secret may stand.
    let table: Table = toml::from_str(&text).map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        format!("line {}: {}", before.matches('\n').count() + 1, error.message())
    })?;
    let settings = settings(command);
    let mut values = BTreeMap::new();
    for (name, value) in table {
        let argument = settings.get(name.as_str()).ok_or_else(|| unknown(&name, &settings))?;
        let texts = texts(argument, &value).map_err(|reason| format!("{name}: {reason}"))?;
        if is_secret(argument) && mode & 0o007 != 0 && !texts.iter().all(|text| is_harmless(argument, text)) {
            return Err(format!(
                "{name} is a secret, and others may read the file: run chmod 640 '{}'",
                path.display()
            ));
        }
        values.insert(name, texts);
    }
    Ok(ConfigFile { path: path.to_owned(), values })
}

/// All settings of the program, by name.
fn settings(command: &Command) -> BTreeMap<&str, &Arg> {
    let own = command.get_arguments().filter(|argument| is_setting(argument));
    let own = own.filter_map(|argument| Some((argument.get_long()?, argument)));
    command.get_subcommands().flat_map(settings).chain(own).collect()
}

fn unknown(name: &str, settings: &BTreeMap<&str, &Arg>) -> String {
    let hint = nearest(name, settings.keys().copied()).map(|meant| format!("; perhaps {meant} is meant"));
    format!("there is no setting {name:?}{}", hint.unwrap_or_default())
}

/// A URL without a password gives nothing away.
fn is_harmless(argument: &Arg, text: &str) -> bool {
    argument.get_id() == DATABASE_URL && without_password(text) == text
}

/// The argument whose value is a secret in part.
pub const DATABASE_URL: &str = "database_url";

/// The value as it would stand on the command line, checked by the argument's own reader.
fn texts(argument: &Arg, value: &Value) -> Result<Vec<String>, String> {
    if matches!(argument.get_action(), ArgAction::SetTrue) {
        return value.as_bool().map(|value| vec![value.to_string()]).ok_or("it takes true or false".to_owned());
    }
    let texts = match value {
        Value::Array(values) if matches!(argument.get_action(), ArgAction::Append) => {
            values.iter().map(text).collect::<Result<_, _>>()?
        }
        value => vec![text(value)?],
    };
    check(argument, &texts)?;
    Ok(texts)
}

fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(flag) => Ok(flag.to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
            Err(format!("it takes a text or a number, and this is of the kind {}", value.type_str()))
        }
    }
}

fn check(argument: &Arg, texts: &[String]) -> Result<(), String> {
    let line = Command::new("").no_binary_name(true).disable_help_flag(true).arg(argument.clone());
    let given = texts.iter().map(|text| format!("--{}={text}", argument.get_long().unwrap_or_default()));
    line.try_get_matches_from(given).map(|_| ()).map_err(|error| {
        // The whole text of the error shows the value.
        match (error.source(), error.get(ContextKind::ValidValue)) {
            (Some(sentence), _) => sentence.to_string(),
            (None, Some(ContextValue::Strings(values))) => format!("it is one of {}", values.join(", ")),
            _ => "it cannot be read".to_owned(),
        }
    })
}
