//! `migrate`: brings the schema up to date.

use super::{Failure, Settings};

pub async fn run(settings: &Settings) -> Result<(), Failure> {
    let database = settings.connect().await?;
    let steps = database.migrate().await?;
    println!("applied {steps} steps; the schema is up to date");
    Ok(database.close().await?)
}
