//! `user`: who may log in, and what for.

use chrono::Utc;
use clap::{Args, Subcommand, builder::PossibleValuesParser};

use super::{
    COMMAND_TIME_LIMIT, Failure, Settings, ask,
    listing::{self, date},
    operator::act,
    organisation::{self, check_name},
    say,
};
use crate::{
    auth::{self, Role},
    config::SettingError,
    storage::{
        Database,
        entity::user,
        is_unique_violation,
        people::{self, Change, ListedUser},
        users,
    },
};

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Lists users, with neither passwords nor their hashes
    #[command(after_help = "Example:\n  referral-events user list --organisation acme")]
    List {
        /// Lists those of this organisation alone
        #[arg(long)]
        organisation: Option<String>,
        /// Prints JSON
        #[arg(long)]
        json: bool,
    },
    /// Adds a user; the password is asked for, or the first line of standard input
    #[command(after_help = super::ADD_USER)]
    Add {
        #[command(flatten)]
        user: NamedUser,
        /// What the user may do: read; create and cancel too; all of it and the directory
        #[arg(long, value_parser = PossibleValuesParser::new(Role::NAMES))]
        role: String,
        /// The id of the user's own unit, which is kept with the user; no call reads it, for events name their unit
        #[arg(long)]
        unit: Option<String>,
    },
    /// Gives a user another password, asked for or from standard input, and ends the user's tokens
    #[command(
        after_help = "Example:\n  echo 'nine purple ladles' | referral-events user password ann --organisation acme"
    )]
    Password(NamedUser),
    /// Gives a user another role, and ends the user's tokens
    #[command(after_help = "Example:\n  referral-events user role ann --organisation acme --role reader")]
    Role {
        #[command(flatten)]
        user: NamedUser,
        /// What the user may do from now on
        #[arg(long, value_parser = PossibleValuesParser::new(Role::NAMES))]
        role: String,
    },
    /// Ends a user's tokens at once, and lets the user not log in
    #[command(after_help = "Example:\n  referral-events user disable ann --organisation acme")]
    Disable(NamedUser),
    /// Lets a user log in again
    #[command(after_help = "Example:\n  referral-events user enable ann --organisation acme")]
    Enable(NamedUser),
}

#[derive(Args, Debug)]
pub struct NamedUser {
    /// The name to log in with
    name: String,
    /// The organisation's name
    #[arg(long)]
    organisation: String,
}

pub async fn run(command: UserCommand, settings: &Settings) -> Result<(), Failure> {
    if let UserCommand::Add { user, .. } = &command {
        check_name(&user.name)?;
    }
    let database = settings.open(COMMAND_TIME_LIMIT).await?;
    match command {
        UserCommand::List { organisation, json } => list(&database, organisation.as_deref(), json).await?,
        UserCommand::Add { user, role, unit } => add(&database, user, role, unit).await?,
        UserCommand::Password(named) => {
            let user = find(&database, &named).await?;
            let hash = ask::new_password(&named.name, &named.organisation).await?;
            people::change_user(&database, &user, Change::Password(hash), act("user password", None)).await?;
            say(&format!("{} has a new password; the tokens from before have ended", named.shown()));
        }
        UserCommand::Role { user: named, role } => {
            let user = find(&database, &named).await?;
            if user.role == role {
                say(&format!("{} has the role {role} already; nothing was changed", named.shown()));
            } else {
                let act = act("user role", Some(format!("{role}, before {}", user.role)));
                people::change_user(&database, &user, Change::Role(role.clone()), act).await?;
                say(&format!("{} has the role {role}; the tokens from before have ended", named.shown()));
            }
        }
        UserCommand::Disable(named) => {
            let user = find(&database, &named).await?;
            if user.disabled_on.is_some() {
                say(&format!("{} is disabled already; nothing was changed", named.shown()));
            } else {
                let change = Change::Disable(Utc::now());
                people::change_user(&database, &user, change, act("user disable", None)).await?;
                say(&format!("{} is disabled; the tokens from before have ended", named.shown()));
            }
        }
        UserCommand::Enable(named) => {
            let user = find(&database, &named).await?;
            if user.disabled_on.is_none() {
                say(&format!("{} is not disabled; nothing was changed", named.shown()));
            } else {
                people::change_user(&database, &user, Change::Enable, act("user enable", None)).await?;
                say(&format!("{} may log in again", named.shown()));
            }
        }
    }
    Ok(database.close().await?)
}

impl NamedUser {
    pub fn new(name: String, organisation: String) -> Self {
        Self { name, organisation }
    }

    pub fn shown(&self) -> String {
        format!("the user {} of {}", self.name, self.organisation)
    }
}

async fn list(database: &Database, organisation: Option<&str>, as_json: bool) -> Result<(), Failure> {
    let of = match organisation {
        Some(name) => Some(organisation::find(database, name).await?.id),
        None => None,
    };
    let row = |user: ListedUser| {
        [
            Some(user.organisation),
            Some(user.name),
            Some(user.role),
            Some(date(user.created_on)),
            user.disabled_on.map(date),
            user.default_unit_id,
        ]
    };
    let rows = people::list_users(database.reader(), of).await?.into_iter().map(row).collect();
    listing::print(["organisation", "name", "role", "created_on", "disabled_on", "unit"], rows, as_json);
    Ok(())
}

async fn add(database: &Database, named: NamedUser, role: String, unit: Option<String>) -> Result<(), Failure> {
    let NamedUser { name, organisation } = &named;
    let organisation = organisation::find(database, organisation).await?;
    if let Some(unit) = &unit
        && !users::unit_exists(database.reader(), organisation.id, unit).await?
    {
        return Err(SettingError::new(format!("there is no unit with the id {unit}")).into());
    }
    let taken = || SettingError::new(format!("there is a user {name} already"));
    if users::find_user(database.reader(), organisation.id, name).await?.is_some() {
        // Before a password is asked for in vain.
        return Err(taken().into());
    }
    let hash = ask::new_password(name, &organisation.name).await?;
    let act = act("user add", Some(role.clone()));
    let user = auth::new_user(organisation.id, name, hash, role, unit);
    match people::add_user(database, user, act).await {
        Ok(()) => say(&format!("added the user {name} of {}", organisation.name)),
        Err(error) if is_unique_violation(&error) => return Err(taken().into()),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// The user that was named on the command line.
pub async fn find(database: &Database, named: &NamedUser) -> Result<user::Model, Failure> {
    let NamedUser { name, organisation } = named;
    let organisation = organisation::find(database, organisation).await?;
    let user = users::find_user(database.reader(), organisation.id, name).await?;
    user.ok_or_else(|| {
        let message = format!(
            "there is no user {name:?} in {:?}; `user list` has those that there are, `user add` makes one",
            organisation.name
        );
        SettingError::new(message).into()
    })
}
