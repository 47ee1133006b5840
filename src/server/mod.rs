//! The composition root: what a server is put together from, and every layer that a request passes.

mod admin;
mod background;
mod connections;
pub mod descriptors;
mod health;
mod metrics;
mod observe;
mod observed;
mod pages;
mod reflection;
mod spans;
mod trace;

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, Method},
    middleware,
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};
use tonic::{codec::CompressionEncoding, service::Routes};
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_web::GrpcWebLayer;
use tower::{Layer, ServiceExt, service_fn, util::option_layer};
use tower_http::{
    CompressionLevel,
    compression::CompressionLayer,
    cors::{AllowHeaders, AllowOrigin, CorsLayer},
};

pub use self::spans::export_to as export_spans_to;
use self::{
    connections::Connections,
    health::Health,
    metrics::{Gauges, Metrics},
    observe::Observer,
    spans::Spans,
};
use crate::{
    auth::Authenticator,
    config::{Config, Keys},
    contract::{
        self, MAXIMUM_EVENTS, MAXIMUM_REQUEST_SIZE,
        services::{
            authentication_service_server::AuthenticationServiceServer,
            directory_service_server::DirectoryServiceServer,
            referral_event_service_server::ReferralEventServiceServer,
        },
    },
    directory::Directory,
    error::{Error, Result},
    guessing::Guessing,
    referral::ReferralEvents,
    secret::CodeHasher,
    storage::Database,
    transport::{
        admission::{Admission, AdmissionLimits},
        api::Api,
        budget::Budget,
        grpc::{self, GrpcService},
        protocol::Protocol,
        refusal,
        request::{IDEMPOTENCY_REPLAYED_HEADER, REQUEST_ID_HEADER, RequestId},
        rest::{self, Responder},
    },
};

/// Where a server listens: for calls, and for those who look after it.
pub struct Listeners {
    pub calls: TcpListener,
    /// `None` where nobody does.
    pub admin: Option<TcpListener>,
}

impl From<TcpListener> for Listeners {
    fn from(calls: TcpListener) -> Self {
        Self { calls, admin: None }
    }
}

/// Serves gRPC and REST until `shutdown`, then lets the calls under way end.
pub async fn run(
    listeners: impl Into<Listeners>,
    database: Database,
    keys: Keys,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let listeners = listeners.into();
    let (health, health_service) = Health::new(database.clone()).await;
    let mut in_the_background = JoinSet::new();
    in_the_background.spawn(health.clone().watch());
    if database.is_sqlite() {
        in_the_background.spawn(background::checkpoint(database.clone()));
    }
    if database.is_citus() {
        in_the_background.spawn(background::watch_workers(database.clone()));
    }
    if let Some(tls) = &config.tls {
        in_the_background.spawn(background::watch_certificate(tls.clone(), config.clock.clone()));
    }
    let hasher = CodeHasher::new(&keys.hash);
    let guessing = Guessing::new(database.clone(), hasher.clone(), config.guessing, config.clock.clone());
    in_the_background.spawn(background::remove_old_guesses(guessing.clone(), config.guessing.memory()));
    let pool_sizes = database.pool_sizes();
    let writes = Admission::new(admission_limits(&config, pool_sizes.write));
    let reads = Admission::new(admission_limits(&config, pool_sizes.read));
    let connections = connections::Open::default();
    let referral_events = ReferralEvents::new(
        database.clone(),
        hasher.clone(),
        config.referral.clone(),
        guessing.clone(),
        config.clock.clone(),
    );
    let directory = Directory::new(database.clone(), hasher, config.clock.clone(), referral_events.clone());
    let gauges = Gauges {
        writes: writes.clone(),
        reads: reads.clone(),
        connections: connections.clone(),
        database: database.clone(),
        referral_events: referral_events.clone(),
    };
    let metrics = Arc::new(Metrics::new(contract::files().map_err(Error::internal)?, gauges));
    let observer = Observer {
        responder: Responder { always_ok: config.always_ok },
        metrics: metrics.clone(),
        spans: config.spans.as_ref().map(Spans::of),
    };
    if let Some(admin) = listeners.admin {
        let router = admin::router(metrics.clone(), health.clone()).layer(compressed());
        in_the_background.spawn(admin::serve(admin, router));
    }
    let api = Api {
        authenticator: Authenticator::new(database, &keys.token, guessing, config.clock.clone()),
        referral_events,
        directory,
        time_limit: config.time_limit,
        writes,
        reads,
        budget: Budget::new(config.memory_budget),
    };
    in_the_background
        .spawn(background::remove_old_answers(api.referral_events.clone(), config.referral.idempotency_retention));
    in_the_background
        .spawn(background::remove_old_unprocessed(api.referral_events.clone(), config.referral.unprocessed_retention));
    let (finish_journal, finish) = oneshot::channel();
    let journal = tokio::spawn(api.referral_events.clone().write_unprocessed(finish));
    let responder = Responder { always_ok: config.always_ok };

    let grpc = grpc_router(&api, health_service)?;
    let grpc_web = GrpcWebLayer::new().layer(grpc.clone());
    let rest = rest::router(api, responder).merge(health.probes()).layer(compressed()).merge(pages::router(responder));

    // Outermost first: name the request, log it, answer for a panic; let browsers ask first; let a refusal be seen; then
    // the protocol that it speaks.
    let app = Router::new()
        .fallback_service(service_fn(move |mut request: Request| {
            let (grpc, grpc_web, rest) = (grpc.clone(), grpc_web.clone(), rest.clone());
            async move {
                match Protocol::of(request.headers(), request.version()) {
                    Ok(Protocol::Grpc) => grpc.oneshot(request).await,
                    Ok(protocol @ Protocol::GrpcWeb) => {
                        // From here on it looks like gRPC.
                        request.extensions_mut().insert(protocol);
                        Ok(grpc_web.oneshot(request).await?.map(Body::new))
                    }
                    Ok(Protocol::Rest) => rest.oneshot(rest::with_plain_path(request)).await,
                    Err(error) => Ok(responder.refuse(&error, &RequestId::of_request(&request))),
                }
            }
        }))
        .layer(middleware::from_fn(refusal::seen))
        .layer(option_layer(cors(&config.cors_origins)))
        .layer(middleware::from_fn_with_state(health.clone(), health::doubting))
        .layer(middleware::from_fn_with_state(observer, observe::observe));

    let mut connections = Connections::new(app, config.connections.clone(), config.tls.clone(), connections);
    let is_stopping = connections.stopping();
    let stopped = async {
        shutdown.await;
        is_stopping.store(true, Ordering::Relaxed);
        let stopped = Instant::now();
        health.stopping().await;
        // Those who ask for the health learn of it while the server still answers.
        tokio::time::sleep(config.drain_pause.min(config.drain_limit / 2)).await;
        stopped
    };
    let stopped = connections.accept(listeners.calls, stopped).await;
    let left = config.drain_limit.saturating_sub(stopped.elapsed());
    if tokio::time::timeout(left, connections.drain()).await.is_err() {
        tracing::warn!("calls were still under way when the time to end them was over");
        connections.cut();
    }
    let told = config.spans.map(|spans| {
        // It waits for the collector, and for no longer than the calls were waited for.
        let left = config.drain_limit.saturating_sub(stopped.elapsed());
        tokio::task::spawn_blocking(move || _ = spans.shutdown_with_timeout(left))
    });
    // What calls have left until now is written; where the database does not take it in time, it is lost.
    _ = finish_journal.send(());
    let left = config.drain_limit.saturating_sub(stopped.elapsed());
    if tokio::time::timeout(left, journal).await.is_err() {
        tracing::warn!("unprocessed events are not kept: the time to end was over");
    }
    if let Some(told) = told {
        _ = told.await;
    }
    Ok(())
}

/// How many calls are carried out over so many connections: one place less, which is left for what must not wait. At
/// least two, even over SQLite's one connection that writes: one is read and checked while the other is stored.
fn admission_limits(config: &Config, connections: usize) -> AdmissionLimits {
    AdmissionLimits {
        places: connections.saturating_sub(1).max(2),
        places_of_one: 2,
        events_of_a_place: MAXIMUM_EVENTS,
        calls: config.maximum_calls,
        wait: config.maximum_wait,
    }
}

/// The services of gRPC. Both sides may compress, by gzip or zstd.
fn grpc_router(api: &Api, health: HealthServer<impl health_server::Health>) -> Result<Router> {
    use CompressionEncoding::{Gzip, Zstd};
    let events = ReferralEventServiceServer::new(GrpcService(api.clone()))
        .max_decoding_message_size(MAXIMUM_REQUEST_SIZE)
        .accept_compressed(Gzip)
        .accept_compressed(Zstd)
        .send_compressed(Gzip)
        .send_compressed(Zstd);
    let authentication = AuthenticationServiceServer::new(GrpcService(api.clone()))
        .accept_compressed(Gzip)
        .accept_compressed(Zstd)
        .send_compressed(Gzip)
        .send_compressed(Zstd);
    let directory = DirectoryServiceServer::new(GrpcService(api.clone()))
        .accept_compressed(Gzip)
        .accept_compressed(Zstd)
        .send_compressed(Gzip)
        .send_compressed(Zstd);
    let router = Routes::new(events)
        .add_service(authentication)
        .add_service(directory)
        .add_service(health.accept_compressed(Gzip).accept_compressed(Zstd))
        .into_axum_router()
        .merge(reflection::router()?)
        .fallback(grpc::no_such_method)
        .layer(middleware::from_fn_with_state(api.clone(), grpc::within_limits));
    Ok(router)
}

/// Compresses the answers of REST for callers that ask for it, fast rather than small.
fn compressed() -> CompressionLayer {
    CompressionLayer::new().quality(CompressionLevel::Fastest)
}

/// Lets pages of these origins call; `*` stands for all. Nothing is told by cookies, so that no page can call as somebody
/// whose token it doesn't have.
fn cors(origins: &[HeaderValue]) -> Option<CorsLayer> {
    /// How long a browser need not ask again.
    const MAXIMUM_AGE: Duration = Duration::from_secs(3600);
    let origins = match origins.iter().any(|origin| origin == "*") {
        _ if origins.is_empty() => return None,
        true => AllowOrigin::any(),
        false => AllowOrigin::list(origins.iter().cloned()),
    };
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED_HEADERS.map(HeaderName::from_static))
        .max_age(MAXIMUM_AGE);
    Some(layer)
}

/// The headers of an answer that a page may read: those of gRPC-Web, and ours.
const EXPOSED_HEADERS: [&str; 6] = [
    "grpc-status",
    "grpc-message",
    "grpc-status-details-bin",
    "retry-after",
    REQUEST_ID_HEADER,
    IDEMPOTENCY_REPLAYED_HEADER,
];
