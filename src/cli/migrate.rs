//! `migrate`: brings the schema up to date, or says what that would do.

use clap::Args;

use super::{COMMAND_TIME_LIMIT, Failure, Settings, say};
use crate::storage::{
    schema::{self, Schema},
    sqlite_file,
};

#[derive(Args, Debug)]
pub struct MigrateArguments {
    /// Says what there is to do, and does nothing
    #[arg(long)]
    status: bool,
}

pub async fn run(arguments: MigrateArguments, settings: &Settings) -> Result<(), Failure> {
    if arguments.status
        && let Some(file) = sqlite_file(&settings.database_url)?.filter(|file| !file.exists())
    {
        say(&format!("there is no file {} yet: migrate makes it", file.display()));
        say_missing(&schema::steps());
        return Ok(());
    }
    let database = settings.connect(COMMAND_TIME_LIMIT).await?;
    if arguments.status {
        let schema = database.schema().await?;
        schema.check_change()?;
        match schema.missing.as_slice() {
            [] => say(&standing(&schema)),
            missing => say_missing(missing),
        }
    } else {
        let steps = database.migrate().await?;
        for step in &steps {
            say(&format!("applied {step}"));
        }
        say(&format!("applied {} steps; {}", steps.len(), standing(&database.schema().await?)));
    }
    Ok(database.close().await?)
}

fn say_missing(steps: &[String]) {
    for step in steps {
        say(&format!("would apply {step}"));
    }
    say(&format!("would apply {} steps; nothing was changed", steps.len()));
}

fn standing(schema: &Schema) -> String {
    match schema.unknown.as_slice() {
        [] => "the schema is up to date".to_owned(),
        unknown => {
            format!("the schema is of a newer version, which this one can use: it has {} besides", unknown.join(", "))
        }
    }
}
