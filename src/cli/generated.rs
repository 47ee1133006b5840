//! `completions` and `man`: what is made of the definition of the command line.

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Failure, output::print};
use crate::config::SettingError;

#[derive(Args, Debug)]
pub struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

#[derive(Args, Debug)]
pub struct ManArguments {
    /// The command that the page is about, as user add; without one, the program
    command: Vec<String>,
}

/// Prints a script that completes the command line in a shell.
pub fn completions(arguments: &CompletionsArguments, mut command: Command) {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    if arguments.shell == Shell::Bash {
        script = String::from_utf8_lossy(&script).replace(MISNAMED, NAMED).into_bytes();
    }
    print(&script);
}

/// In a script for bash clap calls a program with a hyphen by two names, and nothing after a command is completed: issue
/// 6421 of clap. With its end this goes.
const MISNAMED: &str = "referral__subcmd__events";
const NAMED: &str = "referral__events";

/// Prints a page of the manual, as roff.
pub fn man(arguments: &ManArguments, command: Command) -> Result<(), Failure> {
    let source = command.render_version();
    let mut command = told_in_full(command.disable_help_subcommand(true));
    command.build();
    for name in &arguments.command {
        command = command.find_subcommand(name).cloned().ok_or_else(|| {
            let commands = command.get_subcommands().map(Command::get_name).collect::<Vec<_>>().join(", ");
            SettingError::new(format!("there is no command {name}; there are {commands}"))
        })?;
    }
    let mut page = Vec::new();
    Man::new(command).source(source.trim_end()).render(&mut page)?;
    print(&page);
    Ok(())
}

/// The page leaves out what is told of arguments that the short help leaves out.
fn told_in_full(command: Command) -> Command {
    command.mut_args(|argument| argument.hide_short_help(false)).mut_subcommands(told_in_full)
}
