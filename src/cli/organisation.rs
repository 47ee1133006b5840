//! `organisation add`: adds an organisation.

use chrono::Utc;
use clap::Subcommand;

use super::{COMMAND_TIME_LIMIT, Failure, Settings, say};
use crate::{
    config::SettingError,
    storage::{Database, entity::organisation, is_unique_violation, users},
    text,
};

#[derive(Debug, Subcommand)]
pub enum OrganisationCommand {
    /// Adds an organisation
    #[command(after_help = super::ADD_ORGANISATION)]
    Add {
        /// Its name, by which its users log in
        name: String,
    },
}

pub async fn run(command: OrganisationCommand, settings: &Settings) -> Result<(), Failure> {
    let OrganisationCommand::Add { name } = command;
    check_name(&name)?;
    let database = settings.open(COMMAND_TIME_LIMIT).await?;
    match users::add_organisation(&database, &name, Utc::now()).await {
        Ok(_) => say(&format!("added the organisation {name}")),
        Err(error) if is_unique_violation(&error) => {
            return Err(SettingError::new(format!("there is an organisation {name} already")).into());
        }
        Err(error) => return Err(error.into()),
    }
    Ok(database.close().await?)
}

/// The organisation of a name that was given on the command line.
pub async fn find(database: &Database, name: &str) -> Result<organisation::Model, Failure> {
    let organisation = users::find_organisation(database.reader(), name).await?;
    organisation.ok_or_else(|| SettingError::new(format!("there is no organisation {name}")).into())
}

/// Names are 1 to 255 characters, none of them a control character.
pub fn check_name(name: &str) -> Result<(), Failure> {
    if text::is_blank(name) || text::is_longer_than(name, 255) || text::has_control_character(name) {
        return Err(SettingError::new("a name has 1 to 255 characters, none of them a control character").into());
    }
    Ok(())
}
