//! Why a token is not accepted.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::error::{Error, ErrorKind};

/// All have one code. Of a token that was not signed here nothing more is said, for it would help who forges one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    Missing,
    NotBearer,
    SeveralHeaders,
    /// The header and the attribute have two different ones.
    Different,
    NotIssuedHere,
    Expired(DateTime<Utc>),
    /// It was released; or its user or organisation was disabled, changed or removed.
    Released,
}

impl From<TokenFault> for Error {
    fn from(fault: TokenFault) -> Self {
        let message = match fault {
            TokenFault::Missing => {
                "A token is needed, in the header authorization: Bearer … or in the attribute token.".to_owned()
            }
            TokenFault::NotBearer => "The header authorization is not of the form Bearer ….".to_owned(),
            TokenFault::SeveralHeaders => "The header authorization is given more than once.".to_owned(),
            TokenFault::Different => {
                "The header authorization and the attribute token have two different tokens.".to_owned()
            }
            TokenFault::NotIssuedHere => "The token is malformed, or was not issued by this service.".to_owned(),
            TokenFault::Expired(when) => {
                let when = when.to_rfc3339_opts(SecondsFormat::Secs, true);
                format!("The token expired on {when}; take a new one.")
            }
            TokenFault::Released => {
                "The token was released, or its user was disabled, changed or removed; log in again.".to_owned()
            }
        };
        Self::new(ErrorKind::InvalidToken, message)
    }
}
