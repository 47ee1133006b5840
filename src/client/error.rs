//! Why a call failed.

use std::{error::Error as StdError, fmt, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The domain of the service's error codes.
const DOMAIN: &str = "referral.v1";

/// Why a call failed: the service's code and sentence, or what became of the connection.
#[derive(Clone, Debug)]
pub struct Error {
    code: Option<String>,
    grpc: Code,
    message: String,
    request_id: Option<String>,
    wait: Option<Duration>,
    next_offset: Option<u64>,
}

impl Error {
    /// One of the client itself.
    pub(super) fn new(grpc: Code, message: impl Into<String>) -> Self {
        Self { code: None, grpc, message: message.into(), request_id: None, wait: None, next_offset: None }
    }

    pub(super) fn of_request(mut self, request_id: Option<&str>) -> Self {
        self.request_id = self.request_id.or_else(|| request_id.map(str::to_owned));
        self
    }

    /// The documented error code, such as `InvalidTokenException`; `None` where the service did not answer.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    pub fn grpc_code(&self) -> Code {
        self.grpc
    }

    /// The sentence for a human.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The id of the request, under which the log of the server has more.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// How long the service asks to wait.
    pub fn wait(&self) -> Option<Duration> {
        self.wait
    }

    /// Where the load goes on, of which a chunk was refused for its offset.
    pub fn next_offset(&self) -> Option<u64> {
        self.next_offset
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        let is_passing = |code: &str| {
            ["TooManyRequests", "DeadlineExceeded", "ServiceUnavailable", "Internal"]
                .contains(&code.trim_end_matches("Exception"))
        };
        self.code().map_or_else(
            || {
                matches!(
                    self.grpc,
                    Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::Internal
                )
            },
            is_passing,
        )
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN);
        let request_id = status.metadata().get("x-request-id").and_then(|id| id.to_str().ok());
        Self {
            code: info.map(|info| info.reason.clone()),
            grpc: status.code(),
            message: if info.is_some() { status.message().to_owned() } else { without_service(&status) },
            request_id: request_id.map(str::to_owned),
            wait: details.retry_info().and_then(|info| info.retry_delay),
            next_offset: info.and_then(|info| info.metadata.get("next_offset")?.parse().ok()),
        }
    }
}

/// A sentence of a failure that the service has not worded.
fn without_service(status: &Status) -> String {
    let mut cause: Option<&dyn StdError> = status.source();
    while let Some(deeper) = cause.and_then(|cause| cause.source()) {
        cause = Some(deeper);
    }
    match (cause, status.message()) {
        (Some(cause), _) => format!("The connection to the server failed: {cause}."),
        (None, "") => format!("The server answered nothing but {:?}.", status.code()),
        (None, message) => message.to_owned(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.message)?;
        match &self.code {
            Some(code) => f.write_str(code)?,
            None => write!(f, "{:?}", self.grpc)?,
        }
        match &self.request_id {
            Some(request_id) => write!(f, "; request {request_id})"),
            None => f.write_str(")"),
        }
    }
}

impl StdError for Error {}
