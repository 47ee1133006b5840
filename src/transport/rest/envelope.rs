//! The documented envelope, which every answer has: `{"data": …, "status": {"code", "description", "message"}}`.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use serde::Serialize;

use crate::{
    error::{Error, ErrorKind, Result},
    transport::{packed::ENCODINGS, request::RequestId, status},
};

#[derive(Serialize)]
struct Envelope<'a, T> {
    data: T,
    status: Status<'a>,
}

#[derive(Serialize)]
struct Status<'a> {
    code: &'a str,
    description: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct NoData {}

/// Makes answers.
#[derive(Clone, Copy, Debug)]
pub struct Responder {
    /// For callers that cannot take another HTTP status: refused calls too are 200, and `status.code` tells.
    pub always_ok: bool,
}

impl Responder {
    pub fn answer<T: Serialize>(&self, result: Result<T>, request_id: &RequestId) -> Response<Body> {
        match result.and_then(|data| success(&data)) {
            Ok(body) => response(StatusCode::OK, body),
            Err(error) => self.refuse(&error, request_id),
        }
    }

    pub fn refuse(&self, error: &Error, request_id: &RequestId) -> Response<Body> {
        status::log(error);
        let row = status::row_of(error.kind());
        let message = status::message(error, Some(request_id));
        let status = Status { code: row.code, description: &row.description, message: &message };
        let body = serde_json::to_vec(&Envelope { data: NoData {}, status }).unwrap_or_default();
        let mut response = response(if self.always_ok { StatusCode::OK } else { row.http }, body);
        // For the layers outside, whatever the HTTP status says.
        response.extensions_mut().insert(error.kind());
        let headers = response.headers_mut();
        if let Some(seconds) = status::retry_after_seconds(error) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if error.kind() == ErrorKind::UnsupportedMediaType {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(ENCODINGS));
        }
        if matches!(error.kind(), ErrorKind::InvalidToken | ErrorKind::InvalidCredentials) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

fn success<T: Serialize>(data: &T) -> Result<Vec<u8>> {
    let status = Status { code: "OK", description: "", message: "" };
    serde_json::to_vec(&Envelope { data, status }).map_err(Error::internal)
}

fn response(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
