//! `organisation`: who the users and the data belong to.

use chrono::Utc;
use clap::Subcommand;

use super::{
    COMMAND_TIME_LIMIT, Failure, Settings,
    listing::{self, date},
    operator::act,
    say,
};
use crate::{
    config::SettingError,
    storage::{Database, entity::organisation, is_unique_violation, people, users},
    text,
};

#[derive(Debug, Subcommand)]
pub enum OrganisationCommand {
    /// Lists all organisations
    #[command(after_help = "Example:\n  referral-events organisation list")]
    List {
        /// Prints JSON
        #[arg(long)]
        json: bool,
    },
    /// Adds an organisation
    #[command(after_help = super::ADD_ORGANISATION)]
    Add {
        /// Its name, by which its users log in
        name: String,
    },
    /// Ends the tokens of its users at once, and lets none of them log in; its events stay
    #[command(after_help = "Example:\n  referral-events organisation disable acme")]
    Disable {
        /// Its name
        name: String,
    },
    /// Lets its users log in again
    #[command(after_help = "Example:\n  referral-events organisation enable acme")]
    Enable {
        /// Its name
        name: String,
    },
}

pub async fn run(command: OrganisationCommand, settings: &Settings) -> Result<(), Failure> {
    let database = match &command {
        OrganisationCommand::Add { name } => {
            check_name(name)?;
            settings.open_or_make(COMMAND_TIME_LIMIT).await?
        }
        _ => settings.open(COMMAND_TIME_LIMIT).await?,
    };
    match command {
        OrganisationCommand::List { json } => list(&database, json).await?,
        OrganisationCommand::Add { name } => {
            match people::add_organisation(&database, &name, act("organisation add", None)).await {
                Ok(()) => say(&format!("added the organisation {name}")),
                Err(error) if is_unique_violation(&error) => {
                    return Err(SettingError::new(format!("there is an organisation {name} already")).into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        OrganisationCommand::Disable { name } => {
            let organisation = find(&database, &name).await?;
            if organisation.disabled_on.is_some() {
                say(&format!("the organisation {name} is disabled already; nothing was changed"));
            } else {
                let act = act("organisation disable", None);
                people::set_organisation_disabled(&database, &organisation, Some(Utc::now()), act).await?;
                say(&format!("disabled the organisation {name}; the tokens of its users have ended"));
            }
        }
        OrganisationCommand::Enable { name } => {
            let organisation = find(&database, &name).await?;
            if organisation.disabled_on.is_none() {
                say(&format!("the organisation {name} is not disabled; nothing was changed"));
            } else {
                let act = act("organisation enable", None);
                people::set_organisation_disabled(&database, &organisation, None, act).await?;
                say(&format!("enabled the organisation {name}"));
            }
        }
    }
    Ok(database.close().await?)
}

async fn list(database: &Database, as_json: bool) -> Result<(), Failure> {
    let organisations = people::list_organisations(database.reader()).await?;
    let row = |organisation: organisation::Model| {
        [Some(organisation.name), Some(date(organisation.created_on)), organisation.disabled_on.map(date)]
    };
    if !database.is_citus() {
        listing::print(["name", "created_on", "disabled_on"], organisations.into_iter().map(row).collect(), as_json);
        return Ok(());
    }
    // By which the metrics and `/readyz` tell who stands still when a worker is lost.
    let mut rows = Vec::with_capacity(organisations.len());
    for organisation in organisations {
        let shard = database.shard_of(organisation.id).await?.map(|shard| shard.to_string());
        let [name, created_on, disabled_on] = row(organisation);
        rows.push([name, created_on, disabled_on, shard]);
    }
    listing::print(["name", "created_on", "disabled_on", "shard"], rows, as_json);
    Ok(())
}

/// The organisation of a name that was given on the command line.
pub async fn find(database: &Database, name: &str) -> Result<organisation::Model, Failure> {
    let organisation = users::find_organisation(database.reader(), name).await?;
    organisation.ok_or_else(|| {
        let message = format!(
            "there is no organisation {name:?}; `organisation list` has those that there are, `organisation add` makes \
             one"
        );
        SettingError::new(message).into()
    })
}

/// Names are 1 to 255 characters, none of them a control character.
pub fn check_name(name: &str) -> Result<(), Failure> {
    if text::is_blank(name) || text::is_longer_than(name, 255) || text::has_control_character(name) {
        return Err(SettingError::new("a name has 1 to 255 characters, none of them a control character").into());
    }
    Ok(())
}
