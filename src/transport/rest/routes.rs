//! The paths, each at the root and under the prefix that the documented API is served under.

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Response, header},
    routing::{get, post},
};
use http_body_util::BodyExt;
use serde::Serialize;

use super::{envelope::Answers, json, query};
use crate::{
    error::{Error, ErrorKind, Result},
    transport::{
        api::{Answer, Api},
        fields::ByDefault,
        request::{IDEMPOTENCY_REPLAYED_HEADER, RequestId},
    },
};

/// Where existing callers of the documented API find it on their host.
const PREFIX: &str = "/crmapi/rest/v2";

#[derive(Clone)]
struct Gateway {
    api: Api,
    answers: Answers,
    body_limit: usize,
}

/// The REST surface; `body_limit` is the size in bytes of the largest body that is read.
pub fn router(api: Api, answers: Answers, body_limit: usize) -> Router {
    let methods = Router::new()
        .route("/customer_events/bulk/referrals/create", post(bulk_create_referral_events))
        .route("/customer_events/referrals/create", post(create_referral_event))
        .route("/customer_events/referrals/show", get(get_referral_event))
        .route("/customer_events/referrals/list", post(list_referral_events))
        .route("/customer_events/referrals/cancel", post(cancel_referral_event))
        .route("/authentication/token", post(create_token))
        .route("/authentication/token/release", post(release_token));
    Router::new()
        .merge(methods.clone())
        .nest(PREFIX, methods)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Gateway { api, answers, body_limit })
}

async fn bulk_create_referral_events(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let api = &gateway.api;
    gateway
        .serve_once(request, async |headers, body| {
            api.bulk_create_referral_events(headers, json::bulk_call(body)?, ByDefault::Documented).await
        })
        .await
}

async fn create_referral_event(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let api = &gateway.api;
    gateway
        .serve_once(request, async |headers, body| {
            api.create_referral_event(headers, json::create_call(&body)?, ByDefault::Documented).await
        })
        .await
}

/// The event's attributes are the data itself.
async fn get_referral_event(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let request_id = request_id(&request);
    // Without the body, which a GET has no use for.
    let (parts, _) = request.into_parts();
    let headers = &parts.headers;
    let call = async {
        let query = query::to_json(parts.uri.query().unwrap_or_default())?;
        let response = gateway.api.get_referral_event(headers, json::request(query.as_bytes())?).await?;
        Ok(response.customer_event)
    };
    gateway.answers.answer(gateway.api.within_limits(headers, call).await, &request_id)
}

async fn list_referral_events(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let api = &gateway.api;
    gateway.serve(request, async |headers, body| api.list_referral_events(headers, json::request(&body)?).await).await
}

async fn cancel_referral_event(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let api = &gateway.api;
    gateway.serve(request, async |headers, body| api.cancel_referral_event(headers, json::request(&body)?).await).await
}

async fn create_token(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let api = &gateway.api;
    gateway.serve(request, async |_, body| api.create_token(json::request(&body)?).await).await
}

async fn release_token(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let api = &gateway.api;
    gateway.serve(request, async |headers, body| api.release_token(headers, json::request(&body)?).await).await
}

async fn not_found(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let error = Error::new(ErrorKind::NotFound, "There is no such path.");
    gateway.answers.refuse(&error, &request_id(&request))
}

/// The router adds the header that says which methods the path takes.
async fn method_not_allowed(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let error = Error::new(ErrorKind::MethodNotAllowed, "The path does not take this method.");
    gateway.answers.refuse(&error, &request_id(&request))
}

fn request_id(request: &Request) -> RequestId {
    request.extensions().get().cloned().unwrap_or_else(|| RequestId::of(request.headers()))
}

impl Gateway {
    /// Reads the body, calls, and answers what came of it.
    async fn serve<T: Serialize>(
        &self,
        request: Request,
        call: impl AsyncFnOnce(&HeaderMap, Bytes) -> Result<T>,
    ) -> Response<Body> {
        self.serve_once(request, async |headers, body| call(headers, body).await.map(Answer::new)).await
    }

    /// The same for a call that can have an idempotency key.
    async fn serve_once<T: Serialize>(
        &self,
        request: Request,
        call: impl AsyncFnOnce(&HeaderMap, Bytes) -> Result<Answer<T>>,
    ) -> Response<Body> {
        let request_id = request_id(&request);
        let (parts, body) = request.into_parts();
        let headers = parts.headers;
        let result = self.api.within_limits(&headers, async {
            check_media_type(&headers)?;
            call(&headers, read_body(body, self.body_limit).await?).await
        });
        match result.await {
            Ok(Answer { message, is_repeated }) => {
                let mut response = self.answers.answer(Ok(message), &request_id);
                if is_repeated {
                    response.headers_mut().insert(IDEMPOTENCY_REPLAYED_HEADER, HeaderValue::from_static("true"));
                }
                response
            }
            Err(error) => self.answers.refuse(&error, &request_id),
        }
    }
}

/// A body of another type than JSON is refused; one that does not say its type is taken for JSON.
fn check_media_type(headers: &HeaderMap) -> Result<()> {
    let unsupported = |message| Err(Error::new(ErrorKind::UnsupportedMediaType, message));
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return unsupported("The body must not be compressed.");
    }
    let Some(media_type) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let media_type = media_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return unsupported("The content type must be application/json.");
    }
    Ok(())
}

/// Reads a body up to the limit. One that is larger is read on for a while without being kept: a caller that is still
/// sending when the connection closes would not see the answer.
async fn read_body(mut body: Body, limit: usize) -> Result<Bytes> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(limit);
    let mut bytes = Vec::with_capacity(announced.min(limit));
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Error::new(ErrorKind::MalformedRequest, "The body broke off.").caused_by(error))?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length <= limit {
            bytes.extend_from_slice(&data);
        } else {
            bytes = Vec::new();
        }
        if length > limit * 4 {
            break;
        }
    }
    if length > limit {
        let message = format!("The body is larger than {limit} bytes.");
        return Err(Error::new(ErrorKind::RequestTooLarge, message));
    }
    Ok(bytes.into())
}
