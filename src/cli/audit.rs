//! `audit`: what administrators did.

use clap::Subcommand;

use super::{
    COMMAND_TIME_LIMIT, Failure, Settings,
    listing::{self, date},
    organisation,
};
use crate::storage::people::{self, ListedEntry};

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Lists what was done to users, organisations and their directories, by whom and where, the latest last
    #[command(after_help = super::LIST_AUDIT)]
    List {
        /// Lists what was done in this organisation alone
        #[arg(long)]
        organisation: Option<String>,
        /// Prints JSON
        #[arg(long)]
        json: bool,
    },
}

pub async fn run(command: AuditCommand, settings: &Settings) -> Result<(), Failure> {
    let AuditCommand::List { organisation, json } = command;
    let database = settings.open(COMMAND_TIME_LIMIT).await?;
    let of = match organisation {
        Some(name) => Some(organisation::find(&database, &name).await?.id),
        None => None,
    };
    let row = |entry: ListedEntry| {
        [
            Some(date(entry.occurred_on)),
            Some(entry.actor),
            Some(entry.host),
            Some(entry.action),
            Some(entry.organisation),
            entry.user_name,
            entry.details,
        ]
    };
    let rows = people::list_audit(database.reader(), of).await?.into_iter().map(row).collect();
    let columns = ["occurred_on", "by", "host", "action", "organisation", "user", "details"];
    listing::print(columns, rows, json);
    Ok(database.close().await?)
}
