//! A client, and its calls of one message.

use std::time::Duration;

use tonic::{
    Code, Request, Response, Status,
    metadata::MetadataValue,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use uuid::Uuid;

use super::{
    attempts::{Attempts, Settings},
    error::Error,
    load::{Load, LoadOptions},
    tokens::{TokenSource, Tokens, bearer, late},
};
use crate::{
    contract::{
        BulkCreateReferralEventsRequest, BulkCreateReferralEventsResponse, ListReferralEventsRequest,
        ListReferralEventsResponse, ReferralCustomerEvent, referral_event_service_client::ReferralEventServiceClient,
    },
    secret::Secret,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// After how long the server is asked whether it is still there, and how long it has to say so.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// A client of one server. A clone shares its connection and its token.
#[derive(Clone)]
pub struct Client {
    pub(super) service: ReferralEventServiceClient<Channel>,
    pub(super) tokens: TokenSource,
    pub(super) settings: Settings,
}

/// What a bulk call may ask for beside the events.
#[derive(Clone, Debug, Default)]
pub struct BulkOptions {
    /// One is made where none is given.
    pub idempotency_key: Option<String>,
    pub validate_only: bool,
    pub all_or_nothing: bool,
    pub fields_set: Vec<String>,
}

/// The answer to a bulk call.
#[derive(Clone, Debug)]
pub struct BulkAnswer {
    pub response: BulkCreateReferralEventsResponse,
    /// Whether it was kept from an earlier call under the same idempotency key.
    pub replayed: bool,
    pub request_id: Option<String>,
}

impl Client {
    /// Connects when it is first called. `url` is of `http` or `https`.
    pub fn new(url: &str, tokens: Tokens, settings: Settings) -> Result<Self, Error> {
        let channel = endpoint(url, &settings)?.connect_lazy();
        Ok(Self {
            service: ReferralEventServiceClient::new(channel.clone()),
            tokens: TokenSource::new(tokens, channel, settings.deadline),
            settings,
        })
    }

    /// Creates 1 to 1000 events in one call.
    pub async fn bulk_create(
        &self,
        events: Vec<ReferralCustomerEvent>,
        options: BulkOptions,
    ) -> Result<BulkAnswer, Error> {
        let BulkOptions { idempotency_key, validate_only, all_or_nothing, fields_set } = options;
        let key = idempotency_key.unwrap_or_else(|| Uuid::new_v4().simple().to_string());
        let key = MetadataValue::try_from(key).map_err(|_| {
            Error::new(Code::InvalidArgument, "The idempotency key has characters that are not of ASCII.")
        })?;
        let message = BulkCreateReferralEventsRequest {
            token: None,
            referral_customer_events_set: events,
            fields_set,
            validate_only: Some(validate_only),
            all_or_nothing: Some(all_or_nothing),
        };
        let answered = self.call(move |mut service, mut head| {
            head.metadata_mut().insert("idempotency-key", key.clone());
            let request = head.map(|()| message.clone());
            async move { service.bulk_create_referral_events(request).await }
        });
        let answer = answered.await?;
        Ok(BulkAnswer {
            replayed: answer.metadata().contains_key("idempotency-replayed"),
            request_id: request_id(&answer),
            response: answer.into_inner(),
        })
    }

    /// Answers a page of events; its `next_page_token` leads to the next.
    pub async fn list_referral_events(
        &self,
        request: ListReferralEventsRequest,
    ) -> Result<ListReferralEventsResponse, Error> {
        let answered = self.call(move |mut service, head| {
            let request = head.map(|()| request.clone());
            async move { service.list_referral_events(request).await }
        });
        Ok(answered.await?.into_inner())
    }

    /// Opens a load, or goes on with it. `load_id` is 1 to 128 characters of visible ASCII.
    pub async fn load(&self, load_id: &str, options: LoadOptions) -> Result<Load, Error> {
        Load::open(self.clone(), load_id, options).await
    }

    /// Tries a call until it succeeds, or nothing helps.
    async fn call<T, F: Future<Output = Result<Response<T>, Status>>>(
        &self,
        call: impl Fn(ReferralEventServiceClient<Channel>, Request<()>) -> F,
    ) -> Result<Response<T>, Error> {
        let deadline = self.settings.deadline;
        let mut attempts = Attempts::new(&self.settings);
        loop {
            let mut used = None;
            let attempt = async {
                let token = used.insert(self.tokens.token().await?);
                let mut request = Request::new(());
                request.metadata_mut().insert("authorization", bearer(token)?);
                request.set_timeout(deadline);
                Ok(call(self.service.clone(), request).await?)
            };
            match tokio::time::timeout(deadline, attempt).await.unwrap_or_else(|_| Err(late(deadline))) {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    let is_renewed = self.renews(&error, used.as_ref()).await;
                    attempts.next(error, is_renewed).await?;
                }
            }
        }
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
