//! What the command says of the file, and of the server.

use std::{fs, path::PathBuf};

use chrono_tz::{TZ_VARIANTS, Tz};
use clap::Args;

use crate::{
    directory::Encoding,
    load::{
        dates::Dates,
        fault::Trouble,
        mapping::{Mapping, Named, Reference},
    },
    text,
};

/// How the file is read.
#[derive(Args, Debug)]
pub struct FileArguments {
    /// What a column of the file is: 'Kunde=referred_rewards_participant_identifier.number'; with nothing after the = it
    /// is passed over
    #[arg(long = "column", value_name = "NAME=ATTRIBUTE", value_parser = column)]
    columns: Vec<(String, String)>,
    /// A TOML file that says the same of many columns: "Kunde" = "referred_rewards_participant_identifier.number"
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    map: Option<PathBuf>,
    /// What all events have: performed_by_unit_identifier.name=Web
    #[arg(long = "set", value_name = "ATTRIBUTE=VALUE", value_parser = constant)]
    constants: Vec<(String, String)>,
    /// How the file writes dates, as %d/%m/%Y %H:%M [default: 2016-06-22T15:00:00]
    #[arg(long, value_name = "FORM")]
    date_format: Option<String>,
    /// Where dates without an offset are told, as Europe/Athens [default: UTC]
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    time_zone: Option<Tz>,
    /// The column that has each row's own number in --set external_system=NAME, or `hash` for a number made of what the
    /// row says; so that a row that is loaded again is known again
    #[arg(long, value_name = "COLUMN|hash", value_parser = reference, hide_short_help = true)]
    reference_from: Option<Reference>,
    /// What separates the cells of CSV: a character, or `tab` [default: found out]
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter, hide_short_help = true)]
    pub delimiter: Option<u8>,
    /// How the file is encoded, if it is not UTF-8 and has no byte order mark: windows-1252, latin1 or utf-16
    #[arg(long, value_parser = encoding, hide_short_help = true)]
    pub encoding: Option<Encoding>,
}

impl FileArguments {
    pub fn mapping(&self) -> Result<Mapping, Trouble> {
        let dates = Dates::new(self.date_format.as_deref(), self.time_zone);
        let dates = dates.map_err(|reason| Trouble::unusable(format!("--date-format: {reason}")))?;
        Mapping::new(self.named()?, dates).map_err(Trouble::unusable)
    }

    fn named(&self) -> Result<Named, Trouble> {
        let mut columns = self.columns.clone();
        if let Some(file) = &self.map {
            let wrong = |reason: String| Trouble::unusable(format!("{}: {reason}", file.display()));
            let text = fs::read_to_string(file).map_err(|cause| wrong(format!("cannot be read: {cause}")))?;
            let map: toml::Table = text.parse().map_err(|error: toml::de::Error| wrong(error.message().to_owned()))?;
            for (name, path) in map {
                let toml::Value::String(path) = path else {
                    return Err(wrong(format!(
                        "{name} is no text; a line is \"NAME\" = \"ATTRIBUTE\", both in quotes"
                    )));
                };
                columns.push((name, path));
            }
        }
        Ok(Named { columns, constants: self.constants.clone(), reference: self.reference_from.clone() })
    }

    /// All that tells what becomes of a row, by name: a load goes on under the same alone.
    pub fn told(&self) -> Result<Vec<(String, String)>, Trouble> {
        let Named { mut columns, mut constants, .. } = self.named()?;
        columns.sort();
        constants.sort();
        let mut told: Vec<(String, String)> = Vec::new();
        told.extend(columns.into_iter().map(|(name, path)| (format!("--column {name}"), path)));
        told.extend(constants.into_iter().map(|(path, value)| (format!("--set {path}"), value)));
        let mut tell = |name: &str, value: Option<String>| told.extend(value.map(|value| (name.to_owned(), value)));
        tell("--date-format", self.date_format.clone());
        tell("--time-zone", self.time_zone.map(|zone| zone.name().to_owned()));
        tell(
            "--reference-from",
            self.reference_from.as_ref().map(|reference| match reference {
                Reference::Column(name) => name.clone(),
                Reference::Hash => "hash".to_owned(),
            }),
        );
        tell("--delimiter", self.delimiter.map(|delimiter| char::from(delimiter).to_string()));
        tell("--encoding", self.encoding.map(|encoding| format!("{encoding:?}")));
        Ok(told)
    }
}

fn column(text: &str) -> Result<(String, String), String> {
    // A column's name may have the character, an attribute's has not.
    let parts = text.rsplit_once('=').filter(|(name, _)| !name.trim().is_empty());
    let (name, path) =
        parts.ok_or("it takes NAME=ATTRIBUTE, as in 'Kunde=referred_rewards_participant_identifier.number'")?;
    Ok((name.to_owned(), path.trim().to_owned()))
}

fn constant(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(path, value)| !path.trim().is_empty() && !value.is_empty());
    let (path, value) = parts.ok_or("it takes ATTRIBUTE=VALUE, as in performed_by_unit_identifier.name=Web")?;
    Ok((path.trim().to_owned(), value.to_owned()))
}

fn zone(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| {
        let nearest = text::nearest(name, TZ_VARIANTS.iter().map(|zone| zone.name()));
        let suggestion = nearest.map(|zone| format!("; {zone} is probably meant")).unwrap_or_default();
        format!("there is no such time zone, as Europe/Athens is one{suggestion}")
    })
}

fn reference(text: &str) -> Result<Reference, String> {
    match text.trim() {
        "" => Err("it takes the name of a column, or hash".to_owned()),
        "hash" => Ok(Reference::Hash),
        name => Ok(Reference::Column(name.to_owned())),
    }
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
        _ => Err("it takes one character of ASCII, or tab".to_owned()),
    }
}

fn encoding(name: &str) -> Result<Encoding, crate::error::Error> {
    name.parse()
}
