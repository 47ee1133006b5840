//! The gRPC services: unwrap, call, wrap.

use axum::{
    body::Body,
    extract::{Request as HttpRequest, State},
    http::{HeaderMap, Response as HttpResponse},
    middleware::Next,
};
use tonic::{Request, Response, Status, metadata::MetadataValue};

use super::{
    api::{Answer, Api, CreateCall},
    fields::ByDefault,
    request::{IDEMPOTENCY_REPLAYED_HEADER, RequestId},
    status,
};
use crate::{
    contract::{
        BulkCreateReferralEventsRequest, BulkCreateReferralEventsResponse, CancelReferralEventRequest,
        CancelReferralEventResponse, CreateReferralEventRequest, CreateReferralEventResponse, CreateTokenRequest,
        CreateTokenResponse, GetReferralEventRequest, GetReferralEventResponse, ListReferralEventsRequest,
        ListReferralEventsResponse, ReleaseTokenRequest, ReleaseTokenResponse,
        authentication_service_server::AuthenticationService, referral_event_service_server::ReferralEventService,
    },
    error::Result,
    referral::Options,
};

/// What the paths of the contract's RPCs begin with.
const CONTRACT: &str = "/referral.v1.";

/// The services, over the calls.
#[derive(Clone)]
pub struct GrpcService(pub Api);

#[tonic::async_trait]
impl ReferralEventService for GrpcService {
    async fn bulk_create_referral_events(
        &self,
        request: Request<BulkCreateReferralEventsRequest>,
    ) -> Result<Response<BulkCreateReferralEventsResponse>, Status> {
        self.serve_once(request, async |headers, request| {
            let call = CreateCall {
                token: request.token,
                events: request.referral_customer_events_set,
                fields_set: request.fields_set,
                options: Options {
                    validate_only: request.validate_only.unwrap_or_default(),
                    all_or_nothing: request.all_or_nothing.unwrap_or_default(),
                },
            };
            self.0.bulk_create_referral_events(headers, call, ByDefault::Everything).await
        })
        .await
    }

    async fn create_referral_event(
        &self,
        request: Request<CreateReferralEventRequest>,
    ) -> Result<Response<CreateReferralEventResponse>, Status> {
        self.serve_once(request, async |headers, request| {
            let call = CreateCall {
                token: request.token,
                events: request.referral_customer_event.into_iter().collect(),
                fields_set: request.fields_set,
                options: Options { validate_only: request.validate_only.unwrap_or_default(), ..Options::default() },
            };
            self.0.create_referral_event(headers, call, ByDefault::Everything).await
        })
        .await
    }

    async fn get_referral_event(
        &self,
        request: Request<GetReferralEventRequest>,
    ) -> Result<Response<GetReferralEventResponse>, Status> {
        self.serve(request, async |headers, request| self.0.get_referral_event(headers, request).await).await
    }

    async fn list_referral_events(
        &self,
        request: Request<ListReferralEventsRequest>,
    ) -> Result<Response<ListReferralEventsResponse>, Status> {
        self.serve(request, async |headers, request| self.0.list_referral_events(headers, request).await).await
    }

    async fn cancel_referral_event(
        &self,
        request: Request<CancelReferralEventRequest>,
    ) -> Result<Response<CancelReferralEventResponse>, Status> {
        self.serve(request, async |headers, request| self.0.cancel_referral_event(headers, request).await).await
    }
}

#[tonic::async_trait]
impl AuthenticationService for GrpcService {
    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        self.serve(request, async |_, request| self.0.create_token(request).await).await
    }

    async fn release_token(
        &self,
        request: Request<ReleaseTokenRequest>,
    ) -> Result<Response<ReleaseTokenResponse>, Status> {
        self.serve(request, async |headers, request| self.0.release_token(headers, request).await).await
    }
}

impl GrpcService {
    /// Unwraps the message, calls, and wraps what came of it.
    async fn serve<M, T>(
        &self,
        request: Request<M>,
        call: impl AsyncFnOnce(&HeaderMap, M) -> Result<T>,
    ) -> Result<Response<T>, Status> {
        self.serve_once(request, async |headers, message| call(headers, message).await.map(Answer::new)).await
    }

    /// The same for a call that can have an idempotency key.
    async fn serve_once<M, T>(
        &self,
        request: Request<M>,
        call: impl AsyncFnOnce(&HeaderMap, M) -> Result<Answer<T>>,
    ) -> Result<Response<T>, Status> {
        let (metadata, extensions, message) = request.into_parts();
        match call(&metadata.into_headers(), message).await {
            Ok(Answer { message, is_repeated }) => {
                let mut response = Response::new(message);
                if is_repeated {
                    response.metadata_mut().insert(IDEMPOTENCY_REPLAYED_HEADER, MetadataValue::from_static("true"));
                }
                Ok(response)
            }
            Err(error) => {
                status::log(&error);
                Err(status::grpc_status(&error, extensions.get::<RequestId>()))
            }
        }
    }
}

/// Runs a call of the contract within the limits. This stands before the services, for they are called only once the
/// message has been read, and the reading has its limits too.
pub async fn within_limits(State(api): State<Api>, request: HttpRequest, next: Next) -> HttpResponse<Body> {
    if !request.uri().path().starts_with(CONTRACT) {
        return next.run(request).await;
    }
    let headers = request.headers().clone();
    let request_id = request.extensions().get::<RequestId>().cloned();
    let answered = api.within_limits(&headers, async { Ok(next.run(request).await) }).await;
    answered.unwrap_or_else(|error| {
        status::log(&error);
        status::grpc_status(&error, request_id.as_ref()).into_http()
    })
}
