//! What is known of a request, and decided, before its body is read.

use std::{sync::Arc, time::Instant};

use axum::http::HeaderMap;
use tokio::sync::Notify;

use super::{budget::Charge, request::RequestId};
use crate::{
    auth::Caller,
    contract::MAXIMUM_REQUEST_SIZE,
    error::{Error, ErrorKind},
    metrics::{CallRecord, Step},
    secret::Secret,
};

/// The largest request of most methods, in bytes. Every attribute filled with the longest text, each character of it
/// escaped as JSON can, has less.
pub(super) const SMALL: usize = 64 * 1024;
/// The same for the creation of one event. Its 9,100 characters of text take 12 bytes each at most.
const ONE_EVENT: usize = 128 * 1024;

/// The same of a message of rows to import: a thousand rows with a KiB of text each.
const ROWS: usize = 1024 * 1024;

/// What a method asks of a request.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// The largest body, in bytes.
    pub limit: usize,
    pub(super) access: Access,
    /// The stream of messages that its request is, if it is one, each with the limit for itself.
    pub(super) stream: Option<Stream>,
}

/// The requests that are streams.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    Load,
    Import,
}

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Anybody; a token is not asked for.
    Anybody,
    WithToken,
    /// Those whose role is to create events.
    Creators,
    /// Those whose role is to change the directory.
    Administrators,
}

impl Method {
    pub const BULK_CREATE: Self = Self::new(MAXIMUM_REQUEST_SIZE, Access::Creators);
    pub const LOAD: Self = Self { stream: Some(Stream::Load), ..Self::BULK_CREATE };
    pub const CREATE: Self = Self::new(ONE_EVENT, Access::Creators);
    pub const CANCEL: Self = Self::new(SMALL, Access::Creators);
    pub const LOOK_BACK: Self = Self::new(SMALL, Access::WithToken);
    pub const ADMINISTER: Self = Self::new(SMALL, Access::Administrators);
    pub const IMPORT: Self = Self { stream: Some(Stream::Import), ..Self::new(ROWS, Access::Administrators) };
    pub const RELEASE_TOKEN: Self = Self::new(SMALL, Access::WithToken);
    pub const CREATE_TOKEN: Self = Self::new(SMALL, Access::Anybody);

    const fn new(limit: usize, access: Access) -> Self {
        Self { limit, access, stream: None }
    }

    /// The method of an RPC; `None` where there is none of that name.
    pub fn of_rpc(name: &str) -> Option<Self> {
        Some(match name {
            "BulkCreateReferralEvents" => Self::BULK_CREATE,
            "LoadReferralEvents" => Self::LOAD,
            "CreateReferralEvent" => Self::CREATE,
            "CancelReferralEvent" => Self::CANCEL,
            "GetReferralEvent" | "ListReferralEvents" | "ListUnprocessedEvents" => Self::LOOK_BACK,
            name if READS_OF_DIRECTORY.contains(&name) => Self::LOOK_BACK,
            "SetAccountsReceivableState" | "SetParticipantState" | "SetAccessTokenState" => Self::ADMINISTER,
            "ImportDirectory" => Self::IMPORT,
            "ReleaseToken" => Self::RELEASE_TOKEN,
            "CreateToken" => Self::CREATE_TOKEN,
            _ => return None,
        })
    }
}

const READS_OF_DIRECTORY: [&str; 17] = [
    "GetBusinessUnit",
    "ListBusinessUnits",
    "GetUnit",
    "ListUnits",
    "GetTransactionAcquiringPoint",
    "ListTransactionAcquiringPoints",
    "GetDevice",
    "ListDevices",
    "GetClassification",
    "ListClassifications",
    "GetAccountsReceivable",
    "ListAccountsReceivable",
    "GetParticipant",
    "ListParticipants",
    "GetAccessToken",
    "ListAccessTokens",
    "ListReferralTree",
];

/// A request whose body is yet to be read.
pub struct Head {
    pub headers: HeaderMap,
    pub request_id: RequestId,
    /// The token of the header, and who calls by it.
    pub(super) known: Option<(Secret, Arc<Caller>)>,
    /// What the body holds of the budget.
    pub charge: Charge,
    /// Told when the charge is revoked.
    pub revoked: Arc<Notify>,
    /// When the reading of the body began.
    pub begun: Instant,
}

impl Head {
    /// The body has been read.
    pub fn is_read(&self) {
        CallRecord::current().took(Step::Read, self.begun);
    }
}

pub fn too_large(limit: usize) -> Error {
    Error::new(ErrorKind::RequestTooLarge, format!("The body is larger than {limit} bytes."))
}
