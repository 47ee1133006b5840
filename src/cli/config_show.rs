//! `config show`: each setting, and where its value comes from.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Subcommand, parser::ValueSource};

use super::{
    config_file::{ConfigFile, DATABASE_URL, is_secret, is_setting},
    say,
    serve::ServeArguments,
};
use crate::storage::without_password;

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Prints each setting of serve as a line of a configuration file, and where it comes from
    #[command(mut_arg("demo", |demo| demo.hide(true)), after_help = super::SHOW_CONFIG)]
    Show(ShowArguments),
}

#[derive(Args, Debug)]
pub struct ShowArguments {
    #[command(flatten)]
    pub serve: ServeArguments,
    /// What is printed.
    #[arg(skip)]
    pub lines: Vec<String>,
}

pub fn run(command: ConfigCommand) {
    let ConfigCommand::Show(ShowArguments { lines, .. }) = command;
    lines.iter().for_each(|line| say(line));
}

/// What is printed of the settings of the command that was called.
pub fn lines(mut command: &Command, mut matches: &ArgMatches, file: Option<&ConfigFile>) -> Vec<String> {
    while let Some((name, called)) = matches.subcommand() {
        (command, matches) = (command.find_subcommand(name).unwrap_or(command), called);
    }
    command
        .get_arguments()
        .filter(|argument| is_setting(argument))
        .map(|argument| {
            let name = argument.get_long().unwrap_or_default();
            let id = argument.get_id().as_str();
            let source = match matches.value_source(id) {
                Some(ValueSource::CommandLine) => "command line".to_owned(),
                Some(ValueSource::EnvVariable) => argument.get_env().unwrap_or_default().to_string_lossy().into_owned(),
                _ => match file.filter(|file| file.has(argument)) {
                    Some(file) => file.path().display().to_string(),
                    None => "default".to_owned(),
                },
            };
            let value = match argument.get_action() {
                ArgAction::SetTrue => matches.get_flag(id).to_string(),
                action => {
                    let values = matches.get_raw(id).into_iter().flatten();
                    let mut texts = values.map(|value| text(argument, &value.to_string_lossy()));
                    match action {
                        ArgAction::Append => format!("[{}]", texts.collect::<Vec<_>>().join(", ")),
                        _ => texts.next().unwrap_or_default(),
                    }
                }
            };
            match value.as_str() {
                "" => format!("# {name} is not set"),
                value => format!("{:<50} # {source}", format!("{name} = {value}")),
            }
        })
        .collect()
}

/// A value as it stands in a file.
fn text(argument: &Arg, value: &str) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    match is_secret(argument) {
        true if argument.get_id() == DATABASE_URL => quoted(&without_password(value)),
        true => quoted("(hidden)"),
        false if value.parse::<i64>().is_ok() => value.to_owned(),
        false => quoted(value),
    }
}
