//! `user add`: adds a user, with a password from standard input.

use clap::{Subcommand, builder::PossibleValuesParser};

use super::{
    COMMAND_TIME_LIMIT, Failure, Settings,
    organisation::{self, check_name},
    say,
};
use crate::{
    auth::{self, Role},
    config::SettingError,
    secret::Secret,
    storage::{is_unique_violation, users},
};

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Adds a user; the password is the first line of standard input
    #[command(after_help = super::ADD_USER)]
    Add {
        /// The name to log in with
        name: String,
        /// The organisation's name
        #[arg(long)]
        organisation: String,
        /// What the user may do: read; create and cancel too; all of it and the directory
        #[arg(long, value_parser = PossibleValuesParser::new(Role::NAMES))]
        role: String,
        /// The id of the user's own unit, which is kept with the user; no call reads it, for events name their unit
        #[arg(long)]
        unit: Option<String>,
    },
}

pub async fn run(command: UserCommand, settings: &Settings) -> Result<(), Failure> {
    let UserCommand::Add { name, organisation, role, unit } = command;
    check_name(&name)?;
    let database = settings.open(COMMAND_TIME_LIMIT).await?;
    let organisation = organisation::find(&database, &organisation).await?;
    if let Some(unit) = &unit
        && !users::unit_exists(database.reader(), organisation.id, unit).await?
    {
        return Err(SettingError::new(format!("there is no unit with the id {unit}")).into());
    }
    let mut password = String::new();
    std::io::stdin().read_line(&mut password)?;
    let password = Secret::new(password.trim_end_matches(['\n', '\r']));
    if password.expose().is_empty() {
        return Err(SettingError::new("the password is empty; give it on standard input").into());
    }
    let user = auth::new_user(organisation.id, &name, password, role, unit).await?;
    match users::add_user(database.writer(), user).await {
        Ok(()) => say(&format!("added the user {name} of {}", organisation.name)),
        Err(error) if is_unique_violation(&error) => {
            return Err(SettingError::new(format!("there is a user {name} already")).into());
        }
        Err(error) => return Err(error.into()),
    }
    Ok(database.close().await?)
}
