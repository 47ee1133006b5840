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
    error::Result,
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
        self.serve(request, async |headers, request| {
            let call = BulkCall {
                token: request.token,
                events: request.referral_customer_events_set,
                fields_set: request.fields_set,
            };
            self.0.bulk_create_referral_events(headers, call).await
        })
        .await
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
        let (metadata, extensions, message) = request.into_parts();
        let headers = metadata.into_headers();
        let result = self.0.within_limits(&headers, call(&headers, message)).await;
        result.map(Response::new).map_err(|error| {
            status::log(&error);
            status::grpc_status(&error, extensions.get::<RequestId>())
        })
    }
}
