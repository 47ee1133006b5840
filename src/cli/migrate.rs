//! `migrate`: brings the schema up to date.

use super::{COMMAND_TIME_LIMIT, Failure, Settings};

pub async fn run(settings: &Settings) -> Result<(), Failure> {
    let database = settings.connect(COMMAND_TIME_LIMIT).await?;
    let steps = database.migrate().await?;
    println!("applied {steps} steps; the schema is up to date");
    Ok(database.close().await?)
}
