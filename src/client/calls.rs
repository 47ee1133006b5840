//! The calls of one message.

use tonic::{Code, Request, Response, Status, metadata::MetadataValue, transport::Channel};
use uuid::Uuid;

use super::{
    attempts::Attempts,
    connection::{Client, request_id},
    error::Error,
    load::{Load, LoadOptions},
    tokens::{bearer, late},
};
use crate::contract::{
    BulkCreateReferralEventsRequest, BulkCreateReferralEventsResponse, ListReferralEventsRequest,
    ListReferralEventsResponse, ReferralCustomerEvent, referral_event_service_client::ReferralEventServiceClient,
};

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
}
