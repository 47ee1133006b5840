//! The composition root: what a server is put together from, and every layer that a request passes.

mod background;
mod connections;
pub mod descriptors;
mod health;
mod observe;

use std::{sync::atomic::Ordering, time::Instant};

use axum::{Router, extract::Request, middleware};
use tokio::{net::TcpListener, task::JoinSet};
use tonic::service::Routes;
use tower::{ServiceExt, service_fn};

use self::{connections::Connections, health::Health};
use crate::{
    auth::Authenticator,
    config::{Config, Keys},
    contract::{
        DESCRIPTOR_SET, MAXIMUM_REQUEST_SIZE,
        services::{
            authentication_service_server::AuthenticationServiceServer,
            referral_event_service_server::ReferralEventServiceServer,
        },
    },
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
        refusal,
        rest::{self, Responder},
    },
};

/// Serves gRPC and REST on `listener` until `shutdown`, then lets the calls under way end.
pub async fn run(
    listener: TcpListener,
    database: Database,
    keys: Keys,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let (health, health_service) = Health::new(database.clone()).await;
    let mut in_the_background = JoinSet::new();
    in_the_background.spawn(health.clone().watch());
    if database.is_sqlite() {
        in_the_background.spawn(background::checkpoint(database.clone()));
    }
    let hasher = CodeHasher::new(&keys.hash);
    let guessing = Guessing::new(database.clone(), hasher.clone(), config.guessing, config.clock.clone());
    in_the_background.spawn(background::remove_old_guesses(guessing.clone(), config.guessing.memory()));
    let pool_sizes = database.pool_sizes();
    let api = Api {
        authenticator: Authenticator::new(database.clone(), &keys.token, guessing.clone(), config.clock.clone()),
        referral_events: ReferralEvents::new(database, hasher, config.referral.clone(), guessing, config.clock.clone()),
        time_limit: config.time_limit,
        writes: Admission::new(admission_limits(&config, pool_sizes.write)),
        reads: Admission::new(admission_limits(&config, pool_sizes.read)),
        budget: Budget::new(config.memory_budget),
    };
    in_the_background
        .spawn(background::remove_old_answers(api.referral_events.clone(), config.referral.idempotency_retention));
    let responder = Responder { always_ok: config.always_ok };

    let service = GrpcService(api.clone());
    let grpc_router =
        Routes::new(ReferralEventServiceServer::new(service.clone()).max_decoding_message_size(MAXIMUM_REQUEST_SIZE))
            .add_service(AuthenticationServiceServer::new(service))
            .add_service(health_service)
            .add_service(reflection()?.build_v1().map_err(Error::internal)?)
            .add_service(reflection()?.build_v1alpha().map_err(Error::internal)?)
            .into_axum_router()
            .layer(middleware::from_fn_with_state(api.clone(), grpc::within_limits));
    let rest = rest::router(api, responder).merge(health.probes());

    // Outermost first: name the request, log it, answer for a panic; let a refusal be seen; then the transport that it
    // speaks.
    let app = Router::new()
        .fallback_service(service_fn(move |request: Request| {
            let transport = if observe::is_grpc(request.headers()) { grpc_router.clone() } else { rest.clone() };
            transport.oneshot(request)
        }))
        .layer(middleware::from_fn(refusal::seen))
        .layer(middleware::from_fn_with_state(health.clone(), health::doubting))
        .layer(middleware::from_fn(move |request, next| observe::observe(request, next, responder)));

    let mut connections = Connections::new(app, config.connections.clone());
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
    let stopped = connections.accept(listener, stopped).await;
    let left = config.drain_limit.saturating_sub(stopped.elapsed());
    if tokio::time::timeout(left, connections.drain()).await.is_err() {
        tracing::warn!("calls were still under way when the time to end them was over");
    }
    Ok(())
}

/// How many calls are carried out over so many connections: one less, which is left for what must not wait. At least
/// two, even over SQLite's one connection that writes: one is read and checked while the other is stored.
fn admission_limits(config: &Config, connections: usize) -> AdmissionLimits {
    AdmissionLimits {
        at_work: connections.saturating_sub(1).max(2),
        at_work_of_one: 2,
        calls: config.maximum_calls,
        wait: config.maximum_wait,
    }
}

fn reflection() -> Result<tonic_reflection::server::Builder<'static>> {
    Ok(tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET))
}
