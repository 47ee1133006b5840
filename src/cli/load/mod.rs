//! `load`: loads events from a file into a server.

mod check;
mod settings;

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::Args;

use super::{Failure, say};
use crate::load::{attributes::Attributes, chunks::Position, fault::Trouble, reader::Reading, source::Source};
use settings::FileArguments;

/// The exit codes, beside that of success: stopped, and can go on; nothing was done; all rows were answered, and some
/// failed.
const CAN_GO_ON: u8 = 1;
const UNUSABLE: u8 = 2;
const FINISHED_WITH_FAILURES: u8 = 3;

#[derive(Args, Debug)]
pub struct LoadArguments {
    /// The file: CSV with a header, NDJSON, or the body of the bulk call; packed by gzip or zstd or not; `-` for standard
    /// input
    #[arg(value_name = "FILE", required_unless_present_any = ["template", "attributes"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    reading: FileArguments,
    /// Shows what the first 1000 rows become, and sends nothing
    #[arg(long)]
    check: bool,
    /// Prints a file to begin with
    #[arg(long, conflicts_with = "file")]
    template: bool,
    /// Prints the attributes of an event, which are the names of columns
    #[arg(long, conflicts_with_all = ["file", "template"])]
    attributes: bool,
    /// Prints JSON, an object a line
    #[arg(long)]
    json: bool,
}

/// A referral, as the demo takes it.
const TEMPLATE: [(&str, &str); 6] = [
    ("performed_by_business_unit_identifier.code", "BU1"),
    ("performed_on", "2016-06-22T15:00:00"),
    ("referred_accounts_receivable_identifier.number", "ACR0000000018"),
    ("referred_by_accounts_receivable_identifier.number", "ACR0000000002"),
    ("external_system", "Shop"),
    ("external_system_reference_number", "1"),
];

pub async fn run(arguments: LoadArguments) -> Result<ExitCode, Failure> {
    let code = match carry_out(arguments).await {
        Ok(code) => return Ok(code),
        Err(trouble) => {
            _ = writeln!(std::io::stderr(), "error: {trouble}");
            match trouble {
                Trouble::Unusable(_) => UNUSABLE,
                Trouble::Stopped(_) => CAN_GO_ON,
            }
        }
    };
    Ok(ExitCode::from(code))
}

async fn carry_out(arguments: LoadArguments) -> Result<ExitCode, Trouble> {
    if arguments.template {
        let line = |cell: fn(&(&'static str, &'static str)) -> &'static str| TEMPLATE.map(|pair| cell(&pair)).join(",");
        say(&format!("{}\n{}", line(|(path, _)| path), line(|(_, example)| example)));
    }
    if arguments.attributes {
        let attributes = Attributes::of_the_contract().map_err(Trouble::unusable)?;
        let width = attributes.iter().map(|attribute| attribute.path.len()).max().unwrap_or_default();
        for attribute in attributes.iter() {
            let secret = if attribute.is_secret { "; a secret" } else { "" };
            say(&format!("{:width$}  {}{secret}", attribute.path, attribute.content.description()));
        }
    }
    let Some(file) = &arguments.file else { return Ok(ExitCode::SUCCESS) };
    let reading = Reading {
        mapping: arguments.reading.mapping()?,
        encoding: arguments.reading.encoding,
        delimiter: arguments.reading.delimiter,
        start: Position::default(),
    };
    let source = Source::open(file)?;
    check::run(&source, reading, arguments.json).await
}
