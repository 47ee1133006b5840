//! Where a client has its tokens from.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;
use tonic::{
    Code, Request,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use super::error::Error;
use crate::{
    contract::{CreateTokenRequest, authentication_service_client::AuthenticationServiceClient},
    secret::Secret,
};

/// Where the tokens come from.
#[derive(Clone, Debug)]
pub enum Tokens {
    /// One that was issued before.
    Fixed(Secret),
    /// A login: a new token is taken before the last one ends, and once where it is refused.
    Login(Login),
}

/// Who logs in.
#[derive(Clone, Debug)]
pub struct Login {
    pub username: String,
    pub password: Secret,
    pub organisation: String,
    pub unit: Option<String>,
}

/// Gives out tokens, one for all calls.
#[derive(Clone)]
pub struct TokenSource {
    tokens: Tokens,
    service: AuthenticationServiceClient<Channel>,
    deadline: Duration,
    held: Arc<Mutex<Option<Held>>>,
}

struct Held {
    token: Secret,
    renewed_from: Instant,
}

impl TokenSource {
    pub fn new(tokens: Tokens, channel: Channel, deadline: Duration) -> Self {
        Self { tokens, service: AuthenticationServiceClient::new(channel), deadline, held: Arc::default() }
    }

    /// A token that is valid for some time, as far as it is known.
    pub async fn token(&self) -> Result<Secret, Error> {
        let login = match &self.tokens {
            Tokens::Fixed(token) => return Ok(token.clone()),
            Tokens::Login(login) => login,
        };
        let mut held = self.held.lock().await;
        if let Some(Held { token, renewed_from }) = &*held
            && Instant::now() < *renewed_from
        {
            return Ok(token.clone());
        }
        let former = held.as_ref().map(|held| &held.token);
        let new = self.log_in(login, former).await?;
        let token = new.token.clone();
        *held = Some(new);
        Ok(token)
    }

    /// Has another token taken in place of one that was refused; says whether there can be one.
    pub async fn renew(&self, refused: &Secret) -> bool {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_mut().filter(|held| held.token == *refused) {
            // It still tells that its user has logged in before.
            held.renewed_from = Instant::now();
        }
        matches!(self.tokens, Tokens::Login(_))
    }

    async fn log_in(&self, login: &Login, former: Option<&Secret>) -> Result<Held, Error> {
        let Login { username, password, organisation, unit } = login.clone();
        let mut request = Request::new(CreateTokenRequest {
            username: Some(username),
            password: Some(password.expose().to_owned()),
            organisation: Some(organisation),
            unit,
        });
        if let Some(former) = former {
            request.metadata_mut().insert("authorization", bearer(former)?);
        }
        let mut service = self.service.clone();
        let answered = tokio::time::timeout(self.deadline, service.create_token(request)).await;
        let answer = answered.map_err(|_| late(self.deadline))??.into_inner();
        // A tenth of its time before it ends.
        let renewed_from = Instant::now() + Duration::from_secs(answer.expires_in.into()).mul_f64(0.9);
        Ok(Held { token: Secret::new(answer.token), renewed_from })
    }
}

/// The metadata of a token.
pub fn bearer(token: &Secret) -> Result<MetadataValue<Ascii>, Error> {
    let value = MetadataValue::try_from(format!("Bearer {}", token.expose()));
    let mut value =
        value.map_err(|_| Error::new(Code::Unauthenticated, "The token has characters that no token has."))?;
    value.set_sensitive(true);
    Ok(value)
}

pub fn late(deadline: Duration) -> Error {
    Error::new(Code::DeadlineExceeded, format!("The server has not answered within {deadline:?}."))
}
