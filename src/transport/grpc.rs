//! The gRPC services: unwrap, call, wrap.

use axum::http::HeaderMap;
use tonic::{Request, Response, Status};

use super::{
    api::{Api, BulkCall},
    request::RequestId,
    status,
};
use crate::{
    contract::{
        BulkCreateReferralEventsRequest, BulkCreateReferralEventsResponse, CreateTokenRequest, CreateTokenResponse,
        ReleaseTokenRequest, ReleaseTokenResponse, authentication_service_server::AuthenticationService,
        referral_event_service_server::ReferralEventService,
    },
    error::{Error, Result},
};

/// The services, over the calls.
#[derive(Clone)]
pub struct GrpcService(pub Api);

#[tonic::async_trait]
impl ReferralEventService for GrpcService {
    async fn bulk_create_referral_events(
        &self,
        request: Request<BulkCreateReferralEventsRequest>,
    ) -> Result<Response<BulkCreateReferralEventsResponse>, Status> {
        let (headers, request_id, request) = unwrap(request);
        let call = BulkCall {
            token: request.token,
            events: request.referral_customer_events_set,
            fields_set: request.fields_set,
        };
        wrap(self.0.bulk_create_referral_events(&headers, call).await, &request_id)
    }
}

#[tonic::async_trait]
impl AuthenticationService for GrpcService {
    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        let (headers, request_id, request) = unwrap(request);
        wrap(self.0.create_token(&headers, request).await, &request_id)
    }

    async fn release_token(
        &self,
        request: Request<ReleaseTokenRequest>,
    ) -> Result<Response<ReleaseTokenResponse>, Status> {
        let (headers, request_id, request) = unwrap(request);
        wrap(self.0.release_token(&headers, request).await, &request_id)
    }
}

fn unwrap<T>(request: Request<T>) -> (HeaderMap, RequestId, T) {
    let (metadata, extensions, message) = request.into_parts();
    let headers = metadata.into_headers();
    let request_id = extensions.get().cloned().unwrap_or_else(|| RequestId::of(&headers));
    (headers, request_id, message)
}

fn wrap<T>(result: Result<T, Error>, request_id: &RequestId) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(|error| {
        status::log(&error);
        status::grpc_status(&error, Some(request_id))
    })
}
