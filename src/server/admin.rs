//! The admin port: metrics, and probes that say why. Whatever happens there harms no call, and it answers while calls
//! wait and while they drain.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::prometheus_text;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};
use tower::ServiceExt;

use super::{health::Health, metrics::Metrics};
use crate::storage::shards::Shard;

/// How many connections are open at once; a new one ends the oldest.
const MAXIMUM_CONNECTIONS: usize = 32;
/// How long the head of a request may take, and a connection with its one request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(15);
/// How soon an accept that failed is tried again.
const RETRY: Duration = Duration::from_millis(50);

#[derive(Clone)]
struct Admin {
    metrics: Arc<Metrics>,
    health: Health,
}

/// `/metrics`, `/livez` and `/readyz`.
pub fn router(metrics: Arc<Metrics>, health: Health) -> Router {
    Router::new()
        .route("/metrics", get(metrics_text))
        .route("/livez", get(async || answer_json(StatusCode::OK, &json!({"live": true}))))
        .route("/readyz", get(readiness))
        .with_state(Admin { metrics, health })
}

async fn metrics_text(State(admin): State<Admin>) -> Response {
    match admin.metrics.text() {
        Ok(text) => {
            let content_type = HeaderValue::from_static(prometheus_text::CONTENT_TYPE);
            ([(header::CONTENT_TYPE, content_type)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn readiness(State(admin): State<Admin>) -> Response {
    let reasons = admin.health.reasons();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut answer = json!({"ready": reasons.is_empty(), "reasons": reasons});
    let lost = admin.health.lost_shards();
    if !lost.is_empty() {
        let shard = |Shard { id, worker, .. }| json!({"shard": id, "worker": worker});
        answer["lost_shards"] = lost.into_iter().map(shard).collect();
    }
    answer_json(status, &answer)
}

fn answer_json(status: StatusCode, body: &Value) -> Response {
    let content_type = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, content_type)], body.to_string()).into_response()
}

/// Serves the router for as long as this is polled. Each connection has one request.
pub async fn serve(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    open.retain(|connection| !connection.is_finished());
                    if open.len() >= MAXIMUM_CONNECTIONS && let Some(oldest) = open.pop_front() {
                        oldest.abort();
                    }
                    open.push_back(connections.spawn(answer(stream, router.clone())));
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection of the admin port cannot be accepted");
                    tokio::time::sleep(RETRY).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(stream: TcpStream, router: Router) {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        router.clone().oneshot(request.map(Body::new))
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).keep_alive(false);
    let serving = http.serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = tokio::time::timeout(TIMEOUT, serving).await {
        tracing::debug!(%error, "a connection of the admin port broke");
    }
}
