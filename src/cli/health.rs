//! `health`: asks a server for its health over gRPC, as those do who watch over containers.

use std::{
    error::Error,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use axum::http::Uri;
use clap::Args;
use tokio::time::timeout;
use tonic::{
    Code,
    transport::{Certificate, ClientTlsConfig, Endpoint, Identity},
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{
    Failure, say,
    values::{DAY, Listen, number},
};
use crate::config::SettingError;

#[derive(Args, Debug)]
pub struct HealthArguments {
    /// The server, as http://HOST:PORT or https://HOST:PORT [default: where serve, with the same settings, listens]
    #[arg(long, value_name = "URL", value_parser = server)]
    pub server: Option<String>,
    /// The service to ask about, as referral.v1.ReferralEventService; without one, the server as a whole
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    service: String,
    /// How long an answer is waited for, in seconds (1 to 86400)
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = number::<u64>(1..=DAY))]
    patience: u64,
    /// A PEM file of the authorities of which one has signed the certificate of an https server
    #[arg(long, value_name = "FILE", requires = "server")]
    authority: Option<PathBuf>,
    /// The name in that certificate [default: the host of the URL]
    #[arg(long, value_name = "NAME", requires = "authority")]
    certificate_name: Option<String>,
    /// The PEM file of the certificate to show where the server asks for one
    #[arg(long, value_name = "FILE", requires_all = ["authority", "client_key"])]
    client_certificate: Option<PathBuf>,
    /// The PEM file with the key of that certificate
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
    /// Where serve listens.
    #[arg(skip)]
    pub listen: Option<Listen>,
}

fn server(text: &str) -> Result<String, String> {
    let url: Option<Uri> = text.parse().ok();
    let is_server = url.is_some_and(|url| {
        url.host().is_some() && url.path() == "/" && ["http", "https"].contains(&url.scheme_str().unwrap_or_default())
    });
    is_server.then(|| text.to_owned()).ok_or_else(|| "it takes http://HOST:PORT or https://HOST:PORT".to_owned())
}

pub async fn run(arguments: HealthArguments) -> Result<(), Failure> {
    let server = match (arguments.server, arguments.listen) {
        (Some(server), _) => server,
        (None, Some(listen)) => {
            listen.addresses("--listen").await?.first().map(|address| of_address(*address)).unwrap_or_default()
        }
        (None, None) => String::new(),
    };
    if server.starts_with("https:") && arguments.authority.is_none() {
        return Err(SettingError::new("an https server takes --authority FILE, to know its certificate by").into());
    }
    let endpoint = Endpoint::from_shared(server.clone());
    let mut endpoint = endpoint.map_err(|error| SettingError::new(format!("{server} cannot be asked: {error}")))?;
    if let Some(file) = arguments.authority {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(&file)?));
        let mut tls = arguments.certificate_name.into_iter().fold(tls, ClientTlsConfig::domain_name);
        if let (Some(certificate), Some(key)) = (&arguments.client_certificate, &arguments.client_key) {
            tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        endpoint =
            endpoint.tls_config(tls).map_err(|error| SettingError::new(format!("{}: {error}", file.display())))?;
    }
    let patience = Duration::from_secs(arguments.patience);
    match ask(endpoint, arguments.service, patience).await {
        Ok(true) => say("serving"),
        Ok(false) => return Err(SettingError::new(format!("{server} is not serving")).into()),
        Err(reason) => return Err(SettingError::new(format!("{server} {reason}")).into()),
    }
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>, SettingError> {
    fs::read(file).map_err(|error| SettingError::new(format!("{}: {error}", file.display())))
}

/// The URL of a server that listens at an address: of one that listens at all of this machine, loopback.
pub fn of_address(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        let loopback: IpAddr = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    format!("http://{address}")
}

/// Whether a server of ours serves; or why that is not known.
pub async fn ask(server: Endpoint, service: String, patience: Duration) -> Result<bool, String> {
    let asking = async {
        let is_plain = server.uri().scheme_str() == Some("http");
        let channel = server.connect().await.map_err(|error| format!("cannot be connected to: {}", cause(&error)))?;
        let answer = HealthClient::new(channel).check(HealthCheckRequest { service: service.clone() }).await;
        match answer {
            Ok(answer) => Ok(answer.into_inner().status() == ServingStatus::Serving),
            Err(status) if status.code() == Code::NotFound => Err(format!("has no service {service}")),
            // A status with a source was made here, of what came instead of an answer.
            Err(status) if is_plain && status.source().is_some() => Err(format!(
                "does not speak gRPC in plain text: {}; where it serves TLS, ask https:// with --authority FILE",
                cause(&status)
            )),
            Err(status) => Err(format!("does not tell its health: {}", status.message())),
        }
    };
    let answered = timeout(patience, asking).await;
    answered.unwrap_or_else(|_| Err(format!("does not answer within {} seconds", patience.as_secs())))
}

/// What is at the bottom of an error; above it stands what was tried.
fn cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    cause.to_string()
}
