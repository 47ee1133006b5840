//! `doctor`: looks whether all that `serve` needs is there, and says how to mend what is not. It changes nothing.

mod cluster;
mod database;
mod finding;
mod machine;
mod settings;

use std::{process::ExitCode, time::Duration};

use clap::Args;

use super::{Settings, serve::ServeArguments};
use crate::config::SettingError;
use finding::{Finding, Outcome};

#[derive(Args, Debug)]
pub struct DoctorArguments {
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub serve: ServeArguments,
    /// Why the configuration file cannot be used.
    #[arg(skip)]
    pub refused: Option<SettingError>,
}

pub async fn run(arguments: DoctorArguments, settings: &Settings) -> ExitCode {
    let findings = look(&arguments, settings).await;
    finding::print(&findings, arguments.json);
    let is_well = findings.iter().all(|finding| finding.outcome != Outcome::Failed);
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn look(arguments: &DoctorArguments, settings: &Settings) -> Vec<Finding> {
    let serve = &arguments.serve;
    // With settings that are not meant nothing else is worth a look.
    if let Some(refused) = &arguments.refused {
        return vec![Finding::failed("configuration", refused.to_string())];
    }
    let addresses = serve.listen.addresses("--listen").await;
    let mut findings = vec![settings::configuration(settings, &addresses)];
    let addresses = addresses.unwrap_or_default();
    findings.push(settings::keys(settings, &addresses));
    findings.push(settings::tls(&serve.tls, &addresses));
    let (found, database) = database::open(settings, Duration::from_secs(serve.time_limit)).await;
    findings.push(found);
    if let Some(database) = database {
        findings.extend(database::look(&database).await);
        if database.is_citus() {
            findings.extend(cluster::look(&database).await);
        }
        findings.extend(settings::hash_key(&database, settings, &addresses).await);
        // It has answered; how it ends is no finding.
        _ = database.close().await;
    }
    findings.extend(machine::disk(&settings.database_url));
    findings.push(machine::descriptors(serve, settings.database_connections));
    findings.push(machine::port(&addresses).await);
    findings.extend(machine::admin_port(&serve.admin).await);
    findings
}
