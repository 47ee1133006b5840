//! The composition root: what a server is put together from, and every layer that a request passes.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, Response, header},
    middleware::{self, Next},
    serve::ListenerExt,
};
use futures_util::FutureExt;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tonic::service::Routes;
use tower::{ServiceExt, service_fn};
use tracing::Instrument;

use crate::{
    auth::Authenticator,
    config::{Config, Keys, MAXIMUM_REQUEST_SIZE},
    contract::{
        DESCRIPTOR_SET, authentication_service_server::AuthenticationServiceServer,
        referral_event_service_server::ReferralEventServiceServer,
    },
    error::{Error, Result},
    referral::ReferralEvents,
    secret::CodeHasher,
    storage::Database,
    transport::{
        api::Api,
        deprecation,
        grpc::{self, GrpcService},
        request::{REQUEST_ID_HEADER, RequestId},
        rest::{self, Answers},
        status,
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
    let mut in_the_background = JoinSet::new();
    if database.is_sqlite() {
        in_the_background.spawn(checkpoint(database.clone()));
    }
    let api = Api {
        authenticator: Authenticator::new(database.clone(), &keys.token),
        referral_events: ReferralEvents::new(database, CodeHasher::new(&keys.hash), config.rules.clone()),
        time_limit: config.time_limit,
        capacity: Arc::new(Semaphore::new(config.maximum_calls)),
    };
    in_the_background.spawn(remove_old_answers(api.referral_events.clone(), config.rules.idempotency_retention));
    let answers = Answers { always_ok: config.always_ok };
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<ReferralEventServiceServer<GrpcService>>().await;
    health.set_serving::<AuthenticationServiceServer<GrpcService>>().await;

    let service = GrpcService(api.clone());
    let grpc_router =
        Routes::new(ReferralEventServiceServer::new(service.clone()).max_decoding_message_size(MAXIMUM_REQUEST_SIZE))
            .add_service(AuthenticationServiceServer::new(service))
            .add_service(health_service)
            .add_service(reflection()?.build_v1().map_err(Error::internal)?)
            .add_service(reflection()?.build_v1alpha().map_err(Error::internal)?)
            .into_axum_router()
            .layer(middleware::from_fn_with_state(api.clone(), grpc::within_limits));
    let rest = rest::router(api, answers, MAXIMUM_REQUEST_SIZE);

    // Outermost first: name the request, log it, answer for a panic; then the transport that it speaks.
    let app = Router::new()
        .fallback_service(service_fn(move |request: Request| {
            let transport = if is_grpc(&request) { grpc_router.clone() } else { rest.clone() };
            transport.oneshot(request)
        }))
        .layer(middleware::from_fn(move |request, next| observe(request, next, answers)));

    // Without TCP_NODELAY an answer of many packets waits for the acknowledgement of the first, some 40 ms.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY is not to be had");
        }
    });
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let serving = axum::serve(listener, app).with_graceful_shutdown(async move {
        shutdown.await;
        health.set_not_serving::<ReferralEventServiceServer<GrpcService>>().await;
        health.set_not_serving::<AuthenticationServiceServer<GrpcService>>().await;
        _ = stopping.send(());
    });
    let drained = async {
        if stopped.await.is_ok() {
            tokio::time::sleep(config.drain_limit).await;
        } else {
            std::future::pending().await
        }
    };
    tokio::select! {
        result = serving => result.map_err(Error::internal),
        () = drained => {
            tracing::warn!("calls were still under way when the time to end them was over");
            Ok(())
        }
    }
}

/// Keeps the log of a SQLite database short, beside the calls, for as long as the server runs.
async fn checkpoint(database: Database) {
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if let Err(error) = database.checkpoint().await {
            tracing::warn!(?error, "the log is not brought into the file; it is tried again");
        }
    }
}

/// Removes old answers, now and again, for as long as the server runs.
async fn remove_old_answers(referral_events: ReferralEvents, retention: Duration) {
    let pause = (retention / 10).clamp(Duration::from_secs(1), Duration::from_secs(600));
    loop {
        if let Err(error) = referral_events.remove_old_answers().await {
            tracing::warn!(?error, "old answers are not removed; it is tried again");
        }
        tokio::time::sleep(pause).await;
    }
}

fn reflection() -> Result<tonic_reflection::server::Builder<'static>> {
    Ok(tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET))
}

fn is_grpc(request: &Request) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Names the request, logs it once it is answered, and answers in its place where it panics. The query is not logged:
/// it may hold a token.
async fn observe(mut request: Request, next: Next, answers: Answers) -> Response<Body> {
    let request_id = RequestId::of(request.headers());
    request.extensions_mut().insert(request_id.clone());
    let span = tracing::info_span!(
        "request",
        id = request_id.as_str(),
        method = request.method().as_str(),
        path = request.uri().path()
    );
    let grpc = is_grpc(&request);
    let started = Instant::now();
    async {
        let answered = AssertUnwindSafe(deprecation::hinted(next.run(request))).catch_unwind().await;
        let mut response = answered.unwrap_or_else(|_| {
            let error = Error::internal("the request panicked");
            if !grpc {
                return answers.refuse(&error, &request_id);
            }
            status::log(&error);
            status::grpc_status(&error, Some(&request_id)).into_http()
        });
        if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
            response.headers_mut().insert(REQUEST_ID_HEADER, value);
        }
        tracing::info!(status = response.status().as_u16(), milliseconds = started.elapsed().as_millis(), "answered");
        response
    }
    .instrument(span)
    .await
}
