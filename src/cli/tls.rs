//! The settings of `serve` about TLS.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use chrono::Utc;
use clap::{Args, builder::FalseyValueParser};

use crate::{
    config::SettingError,
    tls::{ClientSettings, Tls, TlsSettings},
};

#[derive(Args, Debug)]
pub struct TlsArguments {
    /// Serves by TLS with the certificate in this PEM file, and after it those that lead to its authority; read again
    /// when it changes
    #[arg(long, value_name = "FILE", env = "REFERRAL_EVENTS_TLS_CERTIFICATE", hide_short_help = true)]
    tls_certificate: Option<PathBuf>,
    /// The PEM file with the key of the certificate
    #[arg(long, value_name = "FILE", env = "REFERRAL_EVENTS_TLS_KEY", hide_short_help = true)]
    tls_key: Option<PathBuf>,
    /// Takes callers alone whose certificate is from an authority in this PEM file
    #[arg(long, value_name = "FILE", env = "REFERRAL_EVENTS_TLS_CLIENT_AUTHORITY", hide_short_help = true)]
    tls_client_authority: Option<PathBuf>,
    /// Takes callers without a certificate too
    #[arg(
        long,
        env = "REFERRAL_EVENTS_TLS_CLIENT_OPTIONAL",
        value_parser = FalseyValueParser::new(),
        hide_short_help = true
    )]
    tls_client_optional: bool,
    /// Serves in plain text on an address that is not loopback
    #[arg(long, env = "REFERRAL_EVENTS_PLAINTEXT", value_parser = FalseyValueParser::new(), hide_short_help = true)]
    plaintext: bool,
}

impl TlsArguments {
    pub fn certificate(&self) -> Option<&Path> {
        self.tls_certificate.as_deref()
    }

    /// What is to be served by TLS at these addresses; `None` for plain text.
    pub fn open(&self, addresses: &[SocketAddr]) -> Result<Option<Tls>, SettingError> {
        let Some(settings) = self.settings()? else {
            let public = addresses.iter().find(|address| !address.ip().is_loopback());
            return match public {
                Some(address) if !self.plaintext => Err(SettingError::new(format!(
                    "{address} is no loopback address, and in plain text everybody on the way reads passwords and \
                     tokens: give --tls-certificate and --tls-key, or --plaintext where a proxy or a mesh encrypts"
                ))),
                _ => Ok(None),
            };
        };
        let tls = Tls::open(settings, Utc::now()).map_err(|error| SettingError::new(error.to_string()))?;
        Ok(Some(tls))
    }

    fn settings(&self) -> Result<Option<TlsSettings>, SettingError> {
        let needs = |one: &str, other: &str| Err(SettingError::new(format!("{one} needs {other} beside it")));
        let clients = match &self.tls_client_authority {
            None if self.tls_client_optional => return needs("--tls-client-optional", "--tls-client-authority"),
            None => None,
            Some(authority) => {
                Some(ClientSettings { authority: authority.clone(), are_optional: self.tls_client_optional })
            }
        };
        match (&self.tls_certificate, &self.tls_key) {
            (None, None) if clients.is_some() => needs("--tls-client-authority", "--tls-certificate and --tls-key"),
            (None, None) => Ok(None),
            (None, Some(_)) => needs("--tls-key", "--tls-certificate"),
            (Some(_), None) => needs("--tls-certificate", "--tls-key"),
            (Some(_), Some(_)) if self.plaintext => {
                Err(SettingError::new("--plaintext and --tls-certificate exclude each other: leave one of them out"))
            }
            (Some(certificate), Some(key)) => {
                Ok(Some(TlsSettings { certificate: certificate.clone(), key: key.clone(), clients }))
            }
        }
    }
}
