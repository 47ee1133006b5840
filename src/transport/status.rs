//! The one table of error codes: for each kind of error its code, gRPC code and HTTP status. There is no wildcard arm:
//! a new kind does not compile until it has its row.

use std::{borrow::Cow, collections::HashMap, time::Duration};

use axum::http::StatusCode;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::request::RequestId;
use crate::{
    error::{Error, ErrorKind, ViolationKind},
    metrics::CallRecord,
};

/// The domain of `google.rpc.ErrorInfo`.
const ERROR_DOMAIN: &str = "referral.v1";
/// How long a caller should wait before it tries again, if the error itself does not say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How an error is answered.
#[derive(Clone, Debug)]
pub struct StatusRow {
    pub code: &'static str,
    pub grpc: Code,
    pub http: StatusCode,
    pub description: Cow<'static, str>,
}

pub fn row_of(kind: ErrorKind) -> StatusRow {
    let row =
        |code, grpc, http, description: &'static str| StatusRow { code, grpc, http, description: description.into() };
    use ErrorKind as Kind;
    match kind {
        Kind::InvalidToken => {
            row("InvalidTokenException", Code::Unauthenticated, StatusCode::UNAUTHORIZED, "Invalid token")
        }
        Kind::InvalidCredentials => {
            row("InvalidCredentialsException", Code::Unauthenticated, StatusCode::UNAUTHORIZED, "Invalid credentials")
        }
        Kind::AccessDenied => {
            row("AccessDeniedException", Code::PermissionDenied, StatusCode::FORBIDDEN, "Access denied")
        }
        Kind::MalformedRequest => {
            row("MalformedRequestException", Code::InvalidArgument, StatusCode::BAD_REQUEST, "Malformed request")
        }
        Kind::MissingMandatoryAttribute => row(
            "MissingMandatoryAttributeException",
            Code::InvalidArgument,
            StatusCode::BAD_REQUEST,
            "Missing mandatory attribute",
        ),
        Kind::MaximumNumberOfEventsExceeded => row(
            "MaximumNumberOfEventsExceededException",
            Code::InvalidArgument,
            StatusCode::BAD_REQUEST,
            "Maximum number of events exceeded",
        ),
        Kind::InvalidFieldsSet => {
            row("InvalidFieldsSetException", Code::InvalidArgument, StatusCode::BAD_REQUEST, "Invalid fields set")
        }
        Kind::IdempotencyKeyReused => row(
            "IdempotencyKeyReusedException",
            Code::FailedPrecondition,
            StatusCode::UNPROCESSABLE_ENTITY,
            "Idempotency key reused",
        ),
        Kind::OffsetOutOfRange => {
            row("OffsetOutOfRangeException", Code::OutOfRange, StatusCode::BAD_REQUEST, "Offset out of range")
        }
        Kind::InvalidPageToken => {
            row("InvalidPageTokenException", Code::InvalidArgument, StatusCode::BAD_REQUEST, "Invalid page token")
        }
        Kind::UnknownAttribute => {
            row("UnknownAttributeException", Code::InvalidArgument, StatusCode::BAD_REQUEST, "Unknown attribute")
        }
        Kind::CustomerEventNotFound => {
            row("CustomerEventNotFoundException", Code::NotFound, StatusCode::NOT_FOUND, "Customer event not found")
        }
        Kind::AccessTokenNotFound => {
            row("AccessTokenNotFoundException", Code::NotFound, StatusCode::NOT_FOUND, "Access token not found")
        }
        Kind::NotFound => row("NotFoundException", Code::Unimplemented, StatusCode::NOT_FOUND, "Not found"),
        Kind::MethodNotAllowed => {
            row("MethodNotAllowedException", Code::Unimplemented, StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
        }
        Kind::UnsupportedMediaType => row(
            "UnsupportedMediaTypeException",
            Code::Unimplemented,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Unsupported media type",
        ),
        Kind::RequestTooLarge => {
            row("RequestTooLargeException", Code::ResourceExhausted, StatusCode::PAYLOAD_TOO_LARGE, "Request too large")
        }
        Kind::TooManyRequests => {
            row("TooManyRequestsException", Code::ResourceExhausted, StatusCode::TOO_MANY_REQUESTS, "Too many requests")
        }
        Kind::DeadlineExceeded => {
            row("DeadlineExceededException", Code::DeadlineExceeded, StatusCode::GATEWAY_TIMEOUT, "Deadline exceeded")
        }
        Kind::ServiceUnavailable => row(
            "ServiceUnavailableException",
            Code::Unavailable,
            StatusCode::SERVICE_UNAVAILABLE,
            "Service unavailable",
        ),
        Kind::Internal => row("InternalException", Code::Internal, StatusCode::INTERNAL_SERVER_ERROR, "Internal error"),
        Kind::EventRefused(violation) => {
            let (grpc, http) = of_event(violation);
            StatusRow { code: violation.code(), grpc, http, description: words_of(violation.code()).into() }
        }
    }
}

/// A code as the beginning of a sentence: `UnitNotFoundException` is "Unit not found".
fn words_of(code: &str) -> String {
    let name = code.strip_suffix("Exception").unwrap_or(code);
    let mut words = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
            words.push(c.to_ascii_lowercase());
        } else {
            words.push(c);
        }
    }
    words
}

/// How the refusal of a call's only event is answered.
fn of_event(violation: ViolationKind) -> (Code, StatusCode) {
    use ViolationKind as Kind;
    match violation {
        Kind::MalformedEvent
        | Kind::UnknownAttribute
        | Kind::MissingMandatoryAttribute
        | Kind::UnsupportedAttribute
        | Kind::InvalidAttributeValue
        | Kind::DuplicateRequestUniqueIdentifier
        | Kind::InvalidIdentifier
        | Kind::InvalidAccessToken
        | Kind::PerformedByMismatch
        | Kind::SelfReferral => (Code::InvalidArgument, StatusCode::BAD_REQUEST),
        Kind::BusinessUnitNotFound
        | Kind::UnitNotFound
        | Kind::TransactionAcquiringPointNotFound
        | Kind::DeviceNotFound
        | Kind::CustomerEventClassificationNotFound
        | Kind::AccountsReceivableNotFound
        | Kind::RewardsParticipantNotFound => (Code::NotFound, StatusCode::NOT_FOUND),
        Kind::ExternalReferenceConflict | Kind::ReferralAlreadyExists => (Code::AlreadyExists, StatusCode::CONFLICT),
        Kind::AccountsReceivableNotActive
        | Kind::RewardsParticipantNotEffective
        | Kind::ReferredByAnotherParticipant
        | Kind::CircularReferral
        | Kind::NotAttempted => (Code::FailedPrecondition, StatusCode::CONFLICT),
    }
}

/// How long the caller should wait, if the same call may succeed a little later.
fn retry_after(error: &Error) -> Option<Duration> {
    let is_worth_a_retry = matches!(error.kind(), ErrorKind::TooManyRequests | ErrorKind::ServiceUnavailable);
    is_worth_a_retry.then(|| error.wait().unwrap_or(RETRY_AFTER))
}

/// The same in the whole seconds that HTTP has, rounded up so that nobody comes too early.
pub fn retry_after_seconds(error: &Error) -> Option<u64> {
    let wait = retry_after(error)?;
    Some((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1))
}

/// The sentence for the caller. A failure of ours names the request, because the log says more under that id.
pub fn message(error: &Error, request_id: Option<&RequestId>) -> String {
    match (error.kind(), request_id) {
        (ErrorKind::Internal, Some(request_id)) => format!("{} Request id: {request_id}.", error.message()),
        _ => error.message().to_owned(),
    }
}

/// The error as gRPC carries it, with `ErrorInfo`, and `BadRequest` and `RetryInfo` where they apply.
pub fn grpc_status(error: &Error, request_id: Option<&RequestId>) -> Status {
    let row = row_of(error.kind());
    let message = message(error, request_id);
    let mut details = ErrorDetails::new();
    let next_offset = error.next_offset().map(|offset| ("next_offset".to_owned(), offset.to_string()));
    details.set_error_info(row.code, ERROR_DOMAIN, next_offset.into_iter().collect::<HashMap<String, String>>());
    if let Some(field) = error.field() {
        details.add_bad_request_violation(field, &message);
    }
    let told = violations_told(error.violations());
    let left_out = left_out(error.violations().len() - told.len());
    for (n, (field, description)) in (1..).zip(told) {
        let more = if n == told.len() { &*left_out } else { "" };
        details.add_bad_request_violation(field, format!("{description}{more}"));
    }
    if let Some(wait) = retry_after(error) {
        details.set_retry_info(Some(wait));
    }
    Status::with_error_details(row.grpc, message, details)
}

/// Of what is wrong as much as there is room for in the head of an answer, and the first in any case.
fn violations_told(violations: &[(String, String)]) -> &[(String, String)] {
    /// In bytes. Clients read heads of 8 KiB; what is not ASCII takes thrice its length in the message, and details come
    /// in base64.
    const ROOM: usize = 1536;
    let mut size = 0;
    let has_room = |(field, description): &&(String, String)| {
        size += field.len() + description.len();
        size <= ROOM
    };
    let told = violations.iter().take_while(has_room).count().max(1);
    violations.get(..told).unwrap_or_default()
}

/// What is added to the last violation that is told where there are more of them.
pub fn left_out(violations: usize) -> String {
    match violations {
        0 => String::new(),
        1 => " 1 more violation of the event is left out.".to_owned(),
        more => format!(" {more} more violations of the event are left out."),
    }
}

/// Notes an error once, at the boundary: the line of its call has its code, and the cause of a failure of ours.
pub fn log(error: &Error) {
    let StatusRow { code, http, .. } = row_of(error.kind());
    CallRecord::current().note(|facts| {
        facts.error = Some(code);
        facts.cause = error.cause().filter(|_| http.is_server_error()).map(ToString::to_string);
    });
    match error.cause() {
        Some(cause) => tracing::debug!(code, %cause, "{error}"),
        None => tracing::debug!(code, "{error}"),
    }
}
