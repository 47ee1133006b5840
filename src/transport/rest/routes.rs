//! The paths, each at the root and under the prefix that the documented API is served under.

use std::borrow::Cow;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderValue, Response, Uri, header},
    routing::{get, post},
};
use percent_encoding::percent_decode_str;

use super::{
    calls::{self, RawEvent},
    directory,
    envelope::Responder,
    gateway::{Gateway, take_query},
    json, query,
};
use crate::{
    contract::CustomerEventIdentifier,
    error::{Error, ErrorKind, Result},
    metrics::{CallRecord, Step},
    transport::{
        api::{Api, CreateCall},
        fields::ByDefault,
        head::{Head, Method},
        request::{self, RequestId},
    },
};

/// Where existing callers of the documented API find it on their host.
pub const PREFIX: &str = "/crmapi/rest/v2";

/// A body larger than this takes a while to split into its events, so it is split on a thread for blocking work.
const LARGE: usize = 1024 * 1024;

/// The REST surface.
pub fn router(api: Api, responder: Responder) -> Router {
    let methods = Router::new()
        .route("/customer_events/bulk/referrals/create", post(bulk_create_referral_events))
        .route("/customer_events/referrals/create", post(create_referral_event))
        .route("/customer_events/referrals/show", get(get_referral_event))
        .route("/customer_events/referrals/list", post(list_referral_events))
        .route("/customer_events/referrals/unprocessed/list", post(list_unprocessed_events))
        .route("/customer_events/referrals/cancel", post(cancel_referral_event))
        .route("/authentication/token", post(create_token))
        .route("/authentication/token/release", post(release_token))
        .merge(directory::routes());
    Router::new()
        .merge(methods.clone())
        .nest(PREFIX, methods)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Gateway { api, responder })
}

async fn bulk_create_referral_events(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let api = &gateway.api;
    gateway
        .serve_once(request, Method::BULK_CREATE, async |head, body| {
            api.bulk_create_referral_events(head, bulk_call(body).await?, ByDefault::Documented).await
        })
        .await
}

async fn bulk_call(body: Bytes) -> Result<CreateCall<RawEvent>> {
    if body.len() <= LARGE {
        return calls::bulk_call(&body);
    }
    let _timer = CallRecord::current().timer(Step::Read);
    tokio::task::spawn_blocking(move || calls::bulk_call(&body)).await.map_err(Error::internal)?
}

async fn create_referral_event(State(gateway): State<Gateway>, mut request: Request) -> Response<Body> {
    let api = &gateway.api;
    let query = take_query(&mut request);
    gateway
        .serve_once(request, Method::CREATE, async |head, body| {
            api.create_referral_event(head, calls::create_call(&body, &query)?, ByDefault::Documented).await
        })
        .await
}

/// The event's attributes are the data itself.
async fn get_referral_event(State(gateway): State<Gateway>, mut request: Request) -> Response<Body> {
    let query = take_query(&mut request);
    // A GET has no use for a body.
    *request.body_mut() = Body::empty();
    let call = async |head: &Head, _| {
        let query = query::of_identifier::<CustomerEventIdentifier>(&query, "customer_event_identifier")?;
        let response = gateway.api.get_referral_event(head, json::request(query.as_bytes())?).await?;
        Ok(response.customer_event)
    };
    gateway.serve(request, Method::LOOK_BACK, call).await
}

async fn list_referral_events(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let call = async |head: &Head, body: Bytes| gateway.api.list_referral_events(head, json::request(&body)?).await;
    gateway.serve(request, Method::LOOK_BACK, call).await
}

async fn list_unprocessed_events(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let call = async |head: &Head, body: Bytes| gateway.api.list_unprocessed_events(head, json::request(&body)?).await;
    gateway.serve(request, Method::LOOK_BACK, call).await
}

async fn cancel_referral_event(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let call = async |head: &Head, body: Bytes| gateway.api.cancel_referral_event(head, json::request(&body)?).await;
    gateway.serve(request, Method::CANCEL, call).await
}

async fn create_token(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let peer = request::peer(request.extensions());
    let call = async |head: &Head, body: Bytes| gateway.api.create_token(head, peer, json::request(&body)?).await;
    let mut response = gateway.serve(request, Method::CREATE_TOKEN, call).await;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn release_token(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let call = async |head: &Head, body: Bytes| gateway.api.release_token(head, json::request(&body)?).await;
    gateway.serve(request, Method::RELEASE_TOKEN, call).await
}

async fn not_found(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let error = Error::new(ErrorKind::NotFound, "There is no such path.");
    gateway.responder.refuse(&error, &RequestId::of_request(&request))
}

/// The router adds the header that says which methods the path takes.
async fn method_not_allowed(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let error = Error::new(ErrorKind::MethodNotAllowed, "The path does not take this method.");
    gateway.responder.refuse(&error, &RequestId::of_request(&request))
}

/// The paths at the root, and the method that each takes.
pub const ROUTES: [(&str, &str); 28] = [
    ("/customer_events/bulk/referrals/create", "POST"),
    ("/customer_events/referrals/create", "POST"),
    ("/customer_events/referrals/show", "GET"),
    ("/customer_events/referrals/list", "POST"),
    ("/customer_events/referrals/cancel", "POST"),
    ("/customer_events/referrals/unprocessed/list", "POST"),
    ("/authentication/token", "POST"),
    ("/authentication/token/release", "POST"),
    ("/business_units/show", "GET"),
    ("/business_units/list", "POST"),
    ("/units/show", "GET"),
    ("/units/list", "POST"),
    ("/taps/show", "GET"),
    ("/taps/list", "POST"),
    ("/devices/show", "GET"),
    ("/devices/list", "POST"),
    ("/classifications/show", "GET"),
    ("/classifications/list", "POST"),
    ("/accounts_receivable/show", "GET"),
    ("/accounts_receivable/list", "POST"),
    ("/rewards_participants/show", "GET"),
    ("/rewards_participants/list", "POST"),
    ("/rewards_participants/referral_tree/list", "POST"),
    ("/access_tokens/show", "GET"),
    ("/access_tokens/list", "POST"),
    ("/accounts_receivable/set_state", "POST"),
    ("/rewards_participants/set_state", "POST"),
    ("/access_tokens/set_state", "POST"),
];

/// The path of a request at the root, as [`ROUTES`] has it if it is there.
pub fn plain_path(uri: &Uri) -> Cow<'_, str> {
    let without_prefix = |path: &str| path.strip_prefix(PREFIX).map(str::to_owned);
    match plain(uri) {
        Some(plain) => without_prefix(plain.path()).unwrap_or_else(|| plain.path().to_owned()).into(),
        None => uri.path().strip_prefix(PREFIX).unwrap_or(uri.path()).into(),
    }
}

/// The request with its path as the routes have it: without slashes too many, and without escapes of what needs none.
pub fn with_plain_path(mut request: Request) -> Request {
    if let Some(plain) = plain(request.uri()) {
        *request.uri_mut() = plain;
    }
    request
}

/// The same of its URI; `None` where it is so already.
fn plain(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    if !(path.contains("//") || path.contains('%') || path.len() > 1 && path.ends_with('/')) {
        return None;
    }
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    // An escaped question mark begins no query.
    if decoded.contains(['?', '#']) {
        return None;
    }
    let parts: Vec<&str> = decoded.split('/').filter(|part| !part.is_empty()).collect();
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    // What is no path even so is none of ours, and stays as it is.
    Uri::try_from(format!("/{}{query}", parts.join("/"))).ok()
}
