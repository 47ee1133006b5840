//! `migrate`: brings the schema up to date.

use super::{COMMAND_TIME_LIMIT, Failure, Settings, say};

pub async fn run(settings: &Settings) -> Result<(), Failure> {
    let database = settings.connect(COMMAND_TIME_LIMIT).await?;
    let steps = database.migrate().await?;
    let unknown = database.schema().await?.unknown;
    say(&match unknown.as_slice() {
        [] => format!("applied {steps} steps; the schema is up to date"),
        _ => format!(
            "applied {steps} steps; the schema is of a newer version, which this one can use: it has {} besides",
            unknown.join(", ")
        ),
    });
    Ok(database.close().await?)
}
