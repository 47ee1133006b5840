//! `token`: the tokens that users have.

use clap::Subcommand;

use super::{
    COMMAND_TIME_LIMIT, Failure, Settings,
    operator::act,
    say,
    user::{self, NamedUser},
};
use crate::storage::people::{self, Change};

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Ends all tokens of a user at once; the user may log in again
    #[command(after_help = super::RELEASE_TOKENS)]
    Release {
        /// The user's name
        #[arg(long, value_name = "NAME")]
        user: String,
        /// The organisation's name
        #[arg(long)]
        organisation: String,
    },
}

pub async fn run(command: TokenCommand, settings: &Settings) -> Result<(), Failure> {
    let TokenCommand::Release { user, organisation } = command;
    let named = NamedUser::new(user, organisation);
    let database = settings.open(COMMAND_TIME_LIMIT).await?;
    let user = user::find(&database, &named).await?;
    people::change_user(&database, &user, Change::EndTokens, act("token release", None)).await?;
    say(&format!("the tokens of {} have ended", named.shown()));
    Ok(database.close().await?)
}
