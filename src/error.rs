//! What refuses a whole call.
//!
//! An [`Error`] keeps what the caller may read (its message) apart from what only the log may hold (its cause).
//! Failures of single events are no `Error`s; they are `referral::violation::Violation`s of an answered call.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

/// Why a call is refused. `transport::status` gives each kind its code, gRPC code and HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    InvalidToken,
    InvalidCredentials,
    AccessDenied,
    MalformedRequest,
    MissingMandatoryAttribute,
    MaximumNumberOfEventsExceeded,
    InvalidFieldsSet,
    InvalidPageToken,
    IdempotencyKeyReused,
    OffsetOutOfRange,
    UnknownAttribute,
    CustomerEventNotFound,
    AccessTokenNotFound,
    NotFound,
    MethodNotAllowed,
    UnsupportedMediaType,
    RequestTooLarge,
    TooManyRequests,
    DeadlineExceeded,
    ServiceUnavailable,
    Internal,
    /// The only event of a call was refused, or what a call names it by.
    EventRefused(ViolationKind),
}

impl ErrorKind {
    /// Those that are about a call.
    pub const OF_CALLS: [Self; 21] = [
        Self::InvalidToken,
        Self::InvalidCredentials,
        Self::AccessDenied,
        Self::MalformedRequest,
        Self::MissingMandatoryAttribute,
        Self::MaximumNumberOfEventsExceeded,
        Self::InvalidFieldsSet,
        Self::InvalidPageToken,
        Self::IdempotencyKeyReused,
        Self::OffsetOutOfRange,
        Self::UnknownAttribute,
        Self::CustomerEventNotFound,
        Self::AccessTokenNotFound,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::UnsupportedMediaType,
        Self::RequestTooLarge,
        Self::TooManyRequests,
        Self::DeadlineExceeded,
        Self::ServiceUnavailable,
        Self::Internal,
    ];
}

/// Why an event is not created, in order of precedence: the first that applies is the event's error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ViolationKind {
    MalformedEvent,
    UnknownAttribute,
    MissingMandatoryAttribute,
    UnsupportedAttribute,
    InvalidAttributeValue,
    DuplicateRequestUniqueIdentifier,
    InvalidIdentifier,
    BusinessUnitNotFound,
    UnitNotFound,
    TransactionAcquiringPointNotFound,
    DeviceNotFound,
    CustomerEventClassificationNotFound,
    AccountsReceivableNotFound,
    RewardsParticipantNotFound,
    InvalidAccessToken,
    PerformedByMismatch,
    AccountsReceivableNotActive,
    RewardsParticipantNotEffective,
    ExternalReferenceConflict,
    SelfReferral,
    ReferralAlreadyExists,
    ReferredByAnotherParticipant,
    CircularReferral,
    NotAttempted,
}

impl ViolationKind {
    pub const ALL: [Self; 24] = [
        Self::MalformedEvent,
        Self::UnknownAttribute,
        Self::MissingMandatoryAttribute,
        Self::UnsupportedAttribute,
        Self::InvalidAttributeValue,
        Self::DuplicateRequestUniqueIdentifier,
        Self::InvalidIdentifier,
        Self::BusinessUnitNotFound,
        Self::UnitNotFound,
        Self::TransactionAcquiringPointNotFound,
        Self::DeviceNotFound,
        Self::CustomerEventClassificationNotFound,
        Self::AccountsReceivableNotFound,
        Self::RewardsParticipantNotFound,
        Self::InvalidAccessToken,
        Self::PerformedByMismatch,
        Self::AccountsReceivableNotActive,
        Self::RewardsParticipantNotEffective,
        Self::ExternalReferenceConflict,
        Self::SelfReferral,
        Self::ReferralAlreadyExists,
        Self::ReferredByAnotherParticipant,
        Self::CircularReferral,
        Self::NotAttempted,
    ];

    /// Whether the event may pass later as it is: what it names may come to exist or to be active, and it was not itself
    /// at fault.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::BusinessUnitNotFound
            | Self::UnitNotFound
            | Self::TransactionAcquiringPointNotFound
            | Self::DeviceNotFound
            | Self::CustomerEventClassificationNotFound
            | Self::AccountsReceivableNotFound
            | Self::RewardsParticipantNotFound
            | Self::AccountsReceivableNotActive
            | Self::RewardsParticipantNotEffective
            | Self::NotAttempted => true,
            Self::MalformedEvent
            | Self::UnknownAttribute
            | Self::MissingMandatoryAttribute
            | Self::UnsupportedAttribute
            | Self::InvalidAttributeValue
            | Self::DuplicateRequestUniqueIdentifier
            | Self::InvalidIdentifier
            | Self::InvalidAccessToken
            | Self::PerformedByMismatch
            | Self::ExternalReferenceConflict
            | Self::SelfReferral
            | Self::ReferralAlreadyExists
            | Self::ReferredByAnotherParticipant
            | Self::CircularReferral => false,
        }
    }

    /// The documented error code.
    pub fn code(self) -> &'static str {
        match self {
            Self::MalformedEvent => "MalformedEventException",
            Self::UnknownAttribute => "UnknownAttributeException",
            Self::MissingMandatoryAttribute => "MissingMandatoryAttributeException",
            Self::UnsupportedAttribute => "UnsupportedAttributeException",
            Self::InvalidAttributeValue => "InvalidAttributeValueException",
            Self::DuplicateRequestUniqueIdentifier => "DuplicateRequestUniqueIdentifierException",
            Self::InvalidIdentifier => "InvalidIdentifierException",
            Self::BusinessUnitNotFound => "BusinessUnitNotFoundException",
            Self::UnitNotFound => "UnitNotFoundException",
            Self::TransactionAcquiringPointNotFound => "TransactionAcquiringPointNotFoundException",
            Self::DeviceNotFound => "DeviceNotFoundException",
            Self::CustomerEventClassificationNotFound => "CustomerEventClassificationNotFoundException",
            Self::AccountsReceivableNotFound => "AccountsReceivableNotFoundException",
            Self::RewardsParticipantNotFound => "RewardsParticipantNotFoundException",
            Self::InvalidAccessToken => "InvalidAccessTokenException",
            Self::PerformedByMismatch => "PerformedByMismatchException",
            Self::AccountsReceivableNotActive => "AccountsReceivableNotActiveException",
            Self::RewardsParticipantNotEffective => "RewardsParticipantNotEffectiveException",
            Self::ExternalReferenceConflict => "ExternalReferenceConflictException",
            Self::SelfReferral => "SelfReferralException",
            Self::ReferralAlreadyExists => "ReferralAlreadyExistsException",
            Self::ReferredByAnotherParticipant => "ReferredByAnotherParticipantException",
            Self::CircularReferral => "CircularReferralException",
            Self::NotAttempted => "NotAttemptedException",
        }
    }
}

/// A refused call.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    field: Option<Box<str>>,
    violations: Vec<(String, String)>,
    retry_after: Option<Duration>,
    next_offset: Option<u64>,
    cause: Option<Arc<dyn StdError + Send + Sync>>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            field: None,
            violations: Vec::new(),
            retry_after: None,
            next_offset: None,
            cause: None,
        }
    }

    /// A failure of ours: the caller reads a fixed sentence, the log gets the cause.
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Internal, "The service could not complete the call.").caused_by(cause)
    }

    /// Names the attribute of the call that is at fault.
    pub fn at_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into().into_boxed_str());
        self
    }

    /// Names the message of the request in which that attribute is.
    pub fn within(mut self, message: &str) -> Self {
        self.field = self.field.map(|field| format!("{message}.{field}").into_boxed_str());
        self
    }

    /// Adds something that is wrong with an attribute: its path, and a sentence.
    pub fn with_violation(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        self.violations.push((field.into(), description.into()));
        self
    }

    /// Tells the caller how long to wait before it tries again, where that is known.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Tells the caller where the load goes on.
    pub fn next_is(mut self, offset: u64) -> Self {
        self.next_offset = Some(offset);
        self
    }

    /// Keeps what happened beneath, for the log alone.
    pub fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into().into());
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence for the caller.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// All that is wrong, attribute by attribute.
    pub fn violations(&self) -> &[(String, String)] {
        &self.violations
    }

    /// How long the caller has to wait before it tries again, where the error knows.
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Where the load goes on, of which a chunk was refused for its offset.
    pub fn next_offset(&self) -> Option<u64> {
        self.next_offset
    }

    /// The cause, for the log.
    pub fn cause(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.cause.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// With the cause: for the log and the command line, never for a caller.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)?;
        match &self.cause {
            Some(cause) => write!(f, " ({cause})"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {}
