//! Between HTTP and a call: reads the request, calls, and answers in the envelope.

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{HeaderMap, HeaderValue, Response, Uri},
};
use serde::Serialize;

use super::envelope::Responder;
use crate::{
    error::{Error, ErrorKind, Result},
    text::quoted,
    transport::{
        api::{Answer, Api},
        body::{self, Reader},
        budget::Holder,
        head::{Head, Method},
        packed::Encoding,
        protocol::media_type,
        request::{IDEMPOTENCY_REPLAYED_HEADER, RequestId},
    },
};

#[derive(Clone)]
pub struct Gateway {
    pub api: Api,
    pub responder: Responder,
}

impl Gateway {
    /// Reads the body, calls, and answers what came of it.
    pub async fn serve<T: Serialize>(
        &self,
        request: Request,
        method: Method,
        call: impl AsyncFnOnce(&Head, Bytes) -> Result<T>,
    ) -> Response<Body> {
        self.serve_once(request, method, async |head, body| call(head, body).await.map(Answer::new)).await
    }

    /// The same for a call that can have an idempotency key.
    pub async fn serve_once<T: Serialize>(
        &self,
        request: Request,
        method: Method,
        call: impl AsyncFnOnce(&Head, Bytes) -> Result<Answer<T>>,
    ) -> Response<Body> {
        let request_id = RequestId::of_request(&request);
        let (parts, body) = request.into_parts();
        let headers = parts.headers;
        let mut holder = Holder::Anonymous;
        let result = self.api.within_time_limit(&headers, async {
            if parts.uri.query().is_some_and(|query| !query.is_empty()) {
                let message = "The method reads no query; its attributes belong in the body.";
                return Err(Error::new(ErrorKind::MalformedRequest, message));
            }
            check_media_type(&headers)?;
            let encoding = Encoding::of_content(&headers)?;
            let head = self.api.begin(headers.clone(), request_id.clone(), method, body.size_hint().lower()).await?;
            let body = match encoding {
                Some(encoding) => encoding.unpack(body, method.limit, &head).await?,
                None => Reader::new(body, method.limit, &head).read_to_end().await?,
            };
            head.is_read();
            let answer = call(&head, body).await;
            holder = head.charge.holder();
            answer
        });
        let response = match result.await {
            Ok(Answer { message, is_repeated }) => {
                let mut response = self.responder.answer(Ok(message), &request_id);
                if is_repeated {
                    response.headers_mut().insert(IDEMPOTENCY_REPLAYED_HEADER, HeaderValue::from_static("true"));
                }
                response
            }
            Err(error) => self.responder.refuse(&error, &request_id),
        };
        body::charged(response, &self.api.budget, holder).await
    }
}

/// Takes the query off, for a method that reads it. One that is left there is refused by [`Gateway::serve_once`].
pub fn take_query(request: &mut Request) -> String {
    let query = request.uri().query().unwrap_or_default().to_owned();
    if let Ok(path) = Uri::try_from(request.uri().path()) {
        *request.uri_mut() = path;
    }
    query
}

/// A body is taken for JSON under whatever type the libraries of existing callers give it; the documented API asks for
/// none. What says that it is something else is refused.
fn check_media_type(headers: &HeaderMap) -> Result<()> {
    let Some(media_type) = media_type(headers) else { return Ok(()) };
    let is_json = matches!(
        media_type.as_str(),
        "" | "application/json"
            | "text/json"
            | "text/plain"
            | "application/octet-stream"
            | "application/x-www-form-urlencoded"
    ) || (media_type.starts_with("application/") && media_type.ends_with("+json"));
    if !is_json {
        let message = format!(
            "The body must be JSON, of the content type application/json; it is said to be {}.",
            quoted(&media_type)
        );
        return Err(Error::new(ErrorKind::UnsupportedMediaType, message));
    }
    Ok(())
}
