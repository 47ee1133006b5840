//! `migrate`: brings the schema up to date.

use super::{Failure, Settings};
use crate::storage::Database;

pub async fn run(settings: &Settings) -> Result<(), Failure> {
    let database = Database::connect(&settings.database_url).await?;
    let steps = database.migrate().await?;
    println!("applied {steps} steps; the schema is up to date");
    Ok(database.close().await?)
}
