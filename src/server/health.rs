//! Whether the service is ready for calls: what it says to probes, over gRPC and over HTTP, and how it knows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Response},
    middleware::Next,
    routing::get,
};
use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::sync::{Mutex, Notify};
use tonic::{Code, Response as GrpcResponse, Status, server::NamedService};
use tonic_health::{
    ServingStatus,
    pb::{
        HealthCheckRequest, HealthCheckResponse, health_check_response,
        health_server::{self, HealthServer},
    },
    server::{HealthReporter, HealthService},
};

use crate::{
    contract::services::{
        authentication_service_server::AuthenticationServiceServer, directory_service_server::DirectoryServiceServer,
        referral_event_service_server::ReferralEventServiceServer,
    },
    error::{Error, ErrorKind},
    storage::{Database, shards::Shard},
    transport::{grpc::GrpcService, request::RequestId, rest::Responder},
};

/// The services of the contract, and the server as a whole, which gRPC names by nothing.
const SERVICES: [&str; 4] = [
    "",
    <ReferralEventServiceServer<GrpcService> as NamedService>::NAME,
    <AuthenticationServiceServer<GrpcService> as NamedService>::NAME,
    <DirectoryServiceServer<GrpcService> as NamedService>::NAME,
];

/// How often the database is looked at: within two seconds of a fault that it tells of at once, and within a second of
/// its end, the service says so. Where it says nothing at all, it is waited for first, as it may only be slow.
const WHILE_WELL: Duration = Duration::from_secs(1);
const WHILE_FAULTY: Duration = Duration::from_millis(500);
/// The least time between two looks, whatever calls are answered.
const BREATH: Duration = Duration::from_millis(250);

/// The paths of the probes of HTTP.
pub const PROBES: [&str; 2] = [LIVE, READY];
const LIVE: &str = "/livez";
const READY: &str = "/readyz";

/// Probes look at the HTTP status, so they get it whatever `--always-ok` says.
const RESPONDER: Responder = Responder { always_ok: false };

/// What the service says of its health. It asks nothing of the database: [`watch`](Health::watch) does.
#[derive(Clone)]
pub struct Health {
    database: Database,
    reporter: HealthReporter,
    is_stopping: Arc<AtomicBool>,
    /// Told where a call was answered so that the database is doubted.
    doubt: Arc<Notify>,
    /// Held while gRPC's health is told, so that the last to tell it knows the latest.
    telling: Arc<Mutex<()>>,
}

impl Health {
    /// With the service that answers for it over gRPC.
    pub async fn new(database: Database) -> (Self, HealthServer<impl health_server::Health>) {
        let reporter = HealthReporter::new();
        let service = GrpcHealth(HealthService::from_health_reporter(reporter.clone()));
        let health =
            Self { database, reporter, is_stopping: Arc::default(), doubt: Arc::default(), telling: Arc::default() };
        health.tell().await;
        (health, HealthServer::new(service))
    }

    /// Says from now on that the service is not ready, because it stops.
    pub async fn stopping(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        self.tell().await;
    }

    /// Fails where the service is not ready for calls, with the reason.
    fn check(&self) -> Result<(), Error> {
        let first = self.reasons().into_iter().next();
        first.map_or(Ok(()), |reason| Err(Error::new(ErrorKind::ServiceUnavailable, reason)))
    }

    /// Why the service is not ready for calls; none where it is.
    pub fn reasons(&self) -> Vec<String> {
        let stopping = self.is_stopping.load(Ordering::SeqCst).then(|| "The service is stopping.".to_owned());
        stopping.into_iter().chain(self.database.fault().map(|fault| fault.to_string())).collect()
    }

    /// The shards of a cluster whose organisations cannot be served; the others can, so it is ready.
    pub fn lost_shards(&self) -> Vec<Shard> {
        self.database.shards().all().into_iter().filter(|shard| shard.is_lost).collect()
    }

    async fn tell(&self) {
        let _telling = self.telling.lock().await;
        let status = if self.check().is_ok() { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in SERVICES {
            self.reporter.set_service_status(service, status).await;
        }
    }

    /// Looks at the database for as long as the server runs, and says what it finds.
    pub async fn watch(self) {
        let mut probe = self.database.probe();
        let mut known = None;
        let mut is_doubted = false;
        loop {
            let found = probe.look(is_doubted || known.is_some()).await;
            if found != known {
                match found {
                    Some(fault) => tracing::error!("not ready: {fault}"),
                    None => tracing::info!("ready again"),
                }
                known = found;
                self.tell().await;
            }
            tokio::time::sleep(BREATH).await;
            let pause = if known.is_some() { WHILE_FAULTY } else { WHILE_WELL };
            is_doubted = tokio::time::timeout(pause - BREATH, self.doubt.notified()).await.is_ok();
        }
    }

    /// `/livez` and `/readyz`.
    pub fn probes(&self) -> Router {
        let of = |ready: fn(&Self) -> Result<(), Error>| {
            let answer = move |State(health): State<Self>, headers: HeaderMap| async move {
                RESPONDER.answer(ready(&health).map(|()| serde_json::Map::new()), &RequestId::of(&headers))
            };
            get(answer).fallback(method_not_allowed)
        };
        Router::new().route(LIVE, of(|_| Ok(()))).route(READY, of(Self::check)).with_state(self.clone())
    }
}

/// The service of tonic-health, but that who watches a service that there is not is told so and waits on, as the protocol of
/// gRPC's health has it; tonic-health ends the stream.
struct GrpcHealth(HealthService);

#[tonic::async_trait]
impl health_server::Health for GrpcHealth {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<GrpcResponse<HealthCheckResponse>, Status> {
        self.0.check(request).await
    }

    async fn watch(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<GrpcResponse<Self::WatchStream>, Status> {
        let statuses = match self.0.watch(request).await {
            Ok(known) => known.into_inner().boxed(),
            Err(_) => {
                let status = health_check_response::ServingStatus::ServiceUnknown.into();
                stream::iter([Ok(HealthCheckResponse { status })]).chain(stream::pending()).boxed()
            }
        };
        Ok(GrpcResponse::new(statuses))
    }
}

pub async fn method_not_allowed(request: Request) -> Response<Body> {
    let error = Error::new(ErrorKind::MethodNotAllowed, "The path does not take this method.");
    RESPONDER.refuse(&error, &RequestId::of(request.headers()))
}

/// A call that failed for want of the database is reason to look at it at once.
pub async fn doubting(State(health): State<Health>, request: Request, next: Next) -> Response<Body> {
    let response = next.run(request).await;
    let is_grpc_failure = Status::from_header_map(response.headers())
        .is_some_and(|status| matches!(status.code(), Code::Unavailable | Code::Internal));
    let is_rest_failure = response
        .extensions()
        .get()
        .is_some_and(|kind| matches!(kind, ErrorKind::ServiceUnavailable | ErrorKind::Internal));
    if is_grpc_failure || is_rest_failure {
        health.doubt.notify_one();
    }
    response
}
