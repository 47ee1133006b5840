//! A client, and its connection.

use std::time::Duration;

use tonic::{
    Code, Response,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use super::{
    attempts::Settings,
    error::Error,
    tokens::{TokenSource, Tokens},
};
use crate::{contract::referral_event_service_client::ReferralEventServiceClient, secret::Secret};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// After how long the server is asked whether it is still there, and how long it has to say so.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// A client of one server. A clone shares its connection and its token.
#[derive(Clone)]
pub struct Client {
    pub(super) channel: Channel,
    pub(super) service: ReferralEventServiceClient<Channel>,
    pub(super) tokens: TokenSource,
    pub(super) settings: Settings,
}

impl Client {
    /// Connects when it is first called. `url` is of `http` or `https`.
    pub fn new(url: &str, tokens: Tokens, settings: Settings) -> Result<Self, Error> {
        let channel = endpoint(url, &settings)?.connect_lazy();
        Ok(Self {
            service: ReferralEventServiceClient::new(channel.clone()),
            tokens: TokenSource::new(tokens, channel.clone(), settings.deadline),
            channel,
            settings,
        })
    }

    /// Whether the next attempt has another token, because that of the last one was refused.
    pub(super) async fn renews(&self, error: &Error, used: Option<&Secret>) -> bool {
        match used.filter(|_| error.grpc_code() == Code::Unauthenticated) {
            Some(token) => self.tokens.renew(token).await,
            None => false,
        }
    }
}

pub fn request_id<T>(answer: &Response<T>) -> Option<String> {
    answer.metadata().get("x-request-id")?.to_str().ok().map(str::to_owned)
}

fn endpoint(url: &str, settings: &Settings) -> Result<Endpoint, Error> {
    let invalid = |message: String| Error::new(Code::InvalidArgument, message);
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| invalid(format!("{url} is no URL of a server: {error}.")))?;
    let endpoint = match endpoint.uri().scheme_str() {
        Some("http") if settings.ca_file.is_none() => endpoint,
        Some("http") => return Err(invalid(format!("A CA file is of use with https alone, and {url} is of http."))),
        Some("https") => {
            let tls = ClientTlsConfig::new();
            let tls = match &settings.ca_file {
                None => tls.with_native_roots(),
                Some(path) => {
                    let pem = std::fs::read(path)
                        .map_err(|error| invalid(format!("The CA file {} cannot be read: {error}.", path.display())))?;
                    tls.ca_certificate(Certificate::from_pem(pem))
                }
            };
            endpoint.tls_config(tls).map_err(|error| {
                let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                invalid(format!("The certificates to trust cannot be used: {cause}."))
            })?
        }
        _ => return Err(invalid(format!("{url} is no URL of a server: it has to begin with http:// or https://."))),
    };
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT))
}
