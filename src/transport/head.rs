//! What is known of a request, and decided, before its body is read.

use std::sync::Arc;

use axum::http::HeaderMap;
use tokio::sync::Notify;

use super::{
    api::Api,
    body::too_large,
    budget::{Charge, Holder},
    request,
};
use crate::{
    auth::{Caller, invalid_token},
    contract::MAXIMUM_REQUEST_SIZE,
    error::Result,
    secret::Secret,
};

/// The largest request of most methods, in bytes. Every attribute filled with the longest text, each character of it
/// escaped as JSON can, has less.
const SMALL: usize = 64 * 1024;
/// The same for the creation of one event. Its 9,100 characters of text take 12 bytes each at most.
const ONE_EVENT: usize = 128 * 1024;

/// What a method asks of a request.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// The largest body, in bytes.
    pub limit: usize,
    access: Access,
}

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Anybody; a token is not asked for.
    Anybody,
    WithToken,
    /// Those whose role is to create events.
    Creators,
}

impl Method {
    pub const BULK_CREATE: Self = Self { limit: MAXIMUM_REQUEST_SIZE, access: Access::Creators };
    pub const CREATE: Self = Self { limit: ONE_EVENT, access: Access::Creators };
    pub const CANCEL: Self = Self { limit: SMALL, access: Access::Creators };
    pub const LOOK_BACK: Self = Self { limit: SMALL, access: Access::WithToken };
    pub const RELEASE_TOKEN: Self = Self { limit: SMALL, access: Access::WithToken };
    pub const CREATE_TOKEN: Self = Self { limit: SMALL, access: Access::Anybody };

    /// The method of an RPC; `None` where there is none of that name.
    pub fn of_rpc(name: &str) -> Option<Self> {
        Some(match name {
            "BulkCreateReferralEvents" => Self::BULK_CREATE,
            "CreateReferralEvent" => Self::CREATE,
            "CancelReferralEvent" => Self::CANCEL,
            "GetReferralEvent" | "ListReferralEvents" => Self::LOOK_BACK,
            "ReleaseToken" => Self::RELEASE_TOKEN,
            "CreateToken" => Self::CREATE_TOKEN,
            _ => return None,
        })
    }
}

/// A request whose body is yet to be read.
pub struct Head {
    pub headers: HeaderMap,
    /// The token of the header, and who calls by it.
    known: Option<(Secret, Arc<Caller>)>,
    /// What the body holds of the budget.
    pub charge: Charge,
    /// Told when the charge is revoked.
    pub revoked: Arc<Notify>,
}

impl Api {
    /// Begins a request whose body has `announced` bytes at least. A token in the header is checked here, so that who
    /// may not call is not read.
    pub async fn begin(&self, headers: HeaderMap, method: Method, announced: u64) -> Result<Head> {
        if announced > method.limit as u64 {
            return Err(too_large(method.limit));
        }
        let mut known = None;
        if method.access != Access::Anybody
            && let Some(token) = request::token_of_header(&headers)?
        {
            if method.access == Access::Creators
                && let Some(organisation_id) = self.authenticator.organisation_of(&token)
            {
                self.writes.check(organisation_id)?;
            }
            let caller = self.authenticator.authenticate(&token).await?;
            if method.access == Access::Creators {
                caller.require_creation()?;
            }
            known = Some((token, Arc::new(caller)));
        }
        let holder =
            known.as_ref().map_or(Holder::Anonymous, |(_, caller)| Holder::Organisation(caller.organisation_id));
        let revoked = Arc::new(Notify::new());
        let telling = revoked.clone();
        let charge = self.budget.charge(holder, move || telling.notify_one());
        Ok(Head { headers, known, charge, revoked })
    }

    /// Who calls: by the token of the header, which is known already, or by that of the message. Two that differ are
    /// refused.
    pub(super) async fn caller(&self, head: &Head, token: Option<String>) -> Result<Arc<Caller>> {
        let token = token.filter(|token| !token.is_empty()).map(Secret::new);
        match (&head.known, token) {
            (Some((known, _)), Some(token)) if *known != token => Err(invalid_token()),
            (Some((_, caller)), _) => Ok(caller.clone()),
            (None, Some(token)) => {
                let caller = self.authenticator.authenticate(&token).await?;
                head.charge.move_to(Holder::Organisation(caller.organisation_id));
                Ok(Arc::new(caller))
            }
            (None, None) => Err(invalid_token()),
        }
    }
}
