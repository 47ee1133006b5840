//! The calls of the service, the same for both transports.

use std::{sync::Arc, time::Duration};

use axum::http::HeaderMap;
use tokio::sync::Semaphore;

use super::{convert::bulk_response, fields::Fields, request};
use crate::{
    auth::{Authenticator, Caller, Credentials},
    contract::{
        BulkCreateReferralEventsResponse, CreateTokenRequest, CreateTokenResponse, MAXIMUM_EVENTS, ReleaseTokenRequest,
        ReleaseTokenResponse,
    },
    error::{Error, ErrorKind, Result},
    referral::{ReferralEvents, event::EventRequest},
    secret::Secret,
};

/// What the calls are made of.
#[derive(Clone)]
pub struct Api {
    pub authenticator: Authenticator,
    pub referral_events: ReferralEvents,
    /// How long a call may take.
    pub time_limit: Duration,
    /// How many calls may be under way at once.
    pub capacity: Arc<Semaphore>,
}

/// A bulk call whose events are not yet read: who may not call, or sends too many, costs nothing more.
pub struct BulkCall<E> {
    pub token: Option<String>,
    pub events: Vec<E>,
    pub fields_set: Vec<String>,
}

impl Api {
    pub async fn create_token(&self, request: CreateTokenRequest) -> Result<CreateTokenResponse> {
        let credentials = Credentials {
            username: mandatory("username", request.username)?,
            password: Secret::new(mandatory("password", request.password)?),
            organisation: mandatory("organisation", request.organisation)?,
            unit: request.unit.filter(|unit| !unit.trim().is_empty()),
        };
        let token = self.authenticator.create_token(credentials).await?;
        Ok(CreateTokenResponse { token: token.expose().to_owned() })
    }

    pub async fn release_token(
        &self,
        headers: &HeaderMap,
        request: ReleaseTokenRequest,
    ) -> Result<ReleaseTokenResponse> {
        let caller = self.caller(headers, request.token).await?;
        self.authenticator.release_token(&caller).await?;
        Ok(ReleaseTokenResponse {})
    }

    pub async fn bulk_create_referral_events<E: Into<EventRequest>>(
        &self,
        headers: &HeaderMap,
        call: BulkCall<E>,
    ) -> Result<BulkCreateReferralEventsResponse> {
        let caller = self.caller(headers, call.token).await?;
        caller.require_creation()?;
        let fields = Fields::parse(&call.fields_set)?;
        if call.events.is_empty() {
            return Err(missing("referral_customer_events_set"));
        }
        if call.events.len() > MAXIMUM_EVENTS {
            let message =
                format!("A call holds at most {MAXIMUM_EVENTS} events; this one holds {}.", call.events.len());
            return Err(
                Error::new(ErrorKind::MaximumNumberOfEventsExceeded, message).at_field("referral_customer_events_set")
            );
        }
        let events = call.events.into_iter().map(Into::into).collect();
        let report = self.referral_events.bulk_create(caller.organisation_id, events).await?;
        Ok(bulk_response(report, &fields))
    }

    pub(super) async fn caller(&self, headers: &HeaderMap, token: Option<String>) -> Result<Caller> {
        self.authenticator.authenticate(&request::token(token, headers)?).await
    }

    /// Runs a call where there is room for it, for as long as the caller waits and the service allows. Every call of
    /// every transport runs in this, the reading of a body included.
    pub async fn within_limits<T>(&self, headers: &HeaderMap, call: impl Future<Output = Result<T>>) -> Result<T> {
        let _place = self.capacity.try_acquire().map_err(|_| {
            Error::new(ErrorKind::TooManyRequests, "The service has too many calls under way; try again.")
        })?;
        let limit = request::timeout(headers)?.map_or(self.time_limit, |timeout| timeout.min(self.time_limit));
        tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
            let message = "The call took too long; its events were all created or none was.";
            Err(Error::new(ErrorKind::DeadlineExceeded, message))
        })
    }
}

fn mandatory(field: &str, value: Option<String>) -> Result<String> {
    value.filter(|value| !value.trim().is_empty()).ok_or_else(|| missing(field))
}

fn missing(field: &str) -> Error {
    let message = format!("The attribute {field} is missing or empty.");
    Error::new(ErrorKind::MissingMandatoryAttribute, message).at_field(field)
}
