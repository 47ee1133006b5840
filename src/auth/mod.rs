//! Who calls, and what they may do: passwords, tokens, roles.

mod fault;
mod hs256;
pub mod password;
mod password_rules;
mod queue;
mod token;

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
    guessing::{Guessing, Subject, Wait},
    id::OrganisationId,
    metrics::{CallRecord, Login},
    secret::{KeyRing, Secret},
    storage::{
        Database,
        entity::{released_token, user},
        users::{self, TokenName, TokenUser},
    },
    text::printable,
    together::Together,
};
pub use fault::TokenFault;
pub use password_rules::check_password;
use queue::Queue;
use token::{Claims, Signer};

/// How long a token is valid, used or not.
pub const TOKEN_LIFETIME: TimeDelta = TimeDelta::hours(2);

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads.
    Reader,
    /// Reads, creates and cancels.
    Caller,
    /// Changes the directory besides.
    Administrator,
}

impl Role {
    pub const NAMES: [&str; 3] = ["reader", "caller", "administrator"];

    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "reader" => Some(Self::Reader),
            "caller" => Some(Self::Caller),
            "administrator" => Some(Self::Administrator),
            _ => None,
        }
    }
}

/// Who calls, known by a valid token.
#[derive(Debug)]
pub struct Caller {
    pub organisation_id: OrganisationId,
    pub user_id: String,
    pub user_name: String,
    pub role: Role,
    token_id: Uuid,
    token_expires_on: DateTime<Utc>,
}

impl Caller {
    /// Refuses a caller whose role is to read alone.
    pub fn require_creation(&self) -> Result<()> {
        match self.role {
            Role::Caller | Role::Administrator => Ok(()),
            Role::Reader => {
                let message = "The user's role does not allow to create or cancel events.";
                Err(Error::new(ErrorKind::AccessDenied, message))
            }
        }
    }

    /// Refuses a caller whose role is not to change the directory.
    pub fn require_administration(&self) -> Result<()> {
        match self.role {
            Role::Administrator => Ok(()),
            Role::Reader | Role::Caller => {
                let message = "The user's role does not allow to change the directory.";
                Err(Error::new(ErrorKind::AccessDenied, message))
            }
        }
    }
}

/// A new user, under a new id, ready to be stored.
pub fn new_user(
    organisation_id: OrganisationId,
    name: &str,
    password_hash: String,
    role: String,
    default_unit_id: Option<String>,
) -> user::Model {
    user::Model {
        organisation_id,
        id: format!("{:X}", Uuid::now_v7().simple()),
        name: name.to_owned(),
        password_hash,
        role,
        default_unit_id,
        created_on: Utc::now(),
        disabled_on: None,
        token_generation: 0,
    }
}

/// What a user gives for a token.
#[derive(Debug)]
pub struct Credentials {
    pub username: String,
    pub password: Secret,
    pub organisation: String,
    /// The id of a unit, which must be there.
    pub unit: Option<String>,
}

/// What is known of who logs in, beside the credentials.
#[derive(Debug)]
pub struct Origin {
    /// The address that the connection comes from.
    pub peer: Option<IpAddr>,
    /// A token that was issued before, valid still or not: who has had one of the user's is not taken for a stranger.
    pub former_token: Option<Secret>,
}

/// What the log tells of a login that failed.
struct Told {
    organisation: String,
    user: String,
    peer: Option<IpAddr>,
}

impl Told {
    fn of(credentials: &Credentials, origin: &Origin) -> Self {
        let Credentials { organisation, username, .. } = credentials;
        Self { organisation: printable(organisation), user: printable(username), peer: origin.peer }
    }

    /// Counts the login, and logs who tried, whether or not the caller is still there.
    fn refused(&self, record: &CallRecord, outcome: Login, error: &Error) {
        record.login(outcome);
        let Self { organisation, user, peer } = self;
        let peer = peer.as_ref().map(tracing::field::display);
        let wait_seconds = error.wait().map(|wait| wait.as_secs_f64());
        tracing::warn!(organisation, user, peer, outcome = outcome.name(), wait_seconds, "a login failed");
    }
}

fn outcome_of(error: &Error) -> Login {
    match error.kind() {
        ErrorKind::InvalidCredentials => Login::WrongCredentials,
        ErrorKind::TooManyRequests => Login::HasToWait,
        _ => Login::Failed,
    }
}

/// A token that was issued here and has not expired.
pub struct VerifiedToken(Claims);

impl VerifiedToken {
    pub fn organisation_id(&self) -> OrganisationId {
        self.0.org
    }
}

/// Issues, checks and releases tokens.
#[derive(Clone)]
pub struct Authenticator {
    database: Database,
    signer: Signer,
    guessing: Guessing,
    queue: Queue,
    clock: Clock,
    users: Together<TokenName, Option<TokenUser>>,
}

impl Authenticator {
    pub fn new(database: Database, token_keys: &KeyRing, guessing: Guessing, clock: Clock) -> Self {
        Self {
            database,
            signer: Signer::new(token_keys),
            guessing,
            queue: Queue::new(),
            clock,
            users: Together::default(),
        }
    }

    /// Exchanges credentials for a token. Every wrong part of them gives the same answer after the same work.
    pub async fn create_token(&self, credentials: Credentials, origin: Origin) -> Result<Secret> {
        let record = CallRecord::current();
        let told = Told::of(&credentials, &origin);
        let turn = self.queue.turn(origin.peer).await;
        let turn = turn.inspect_err(|error| told.refused(&record, Login::QueueFull, error))?;
        // From here on it runs to its end, even if the caller leaves: what is counted before the hash is taken back
        // after it, and only then comes the next login's turn.
        let authenticator = self.clone();
        let login = async move {
            let _turn = turn;
            let outcome = authenticator.log_in(credentials, origin).await;
            match &outcome {
                Ok(_) => record.login(Login::Succeeded),
                Err(error) => told.refused(&record, outcome_of(error), error),
            }
            outcome
        };
        tokio::spawn(login.in_current_span()).await.map_err(Error::internal)?
    }

    async fn log_in(&self, credentials: Credentials, origin: Origin) -> Result<Secret> {
        let organisation = users::find_organisation(self.database.reader(), &credentials.organisation).await?;
        // Looking in none keeps the number of look-ups the same.
        let organisation_id = organisation.as_ref().map_or(OrganisationId::NONE, |organisation| organisation.id);
        let user = users::find_user(self.database.reader(), organisation_id, &credentials.username).await?;
        let (guessed_at, wait) = self.count_guess(&credentials, &origin, user.as_ref()).await?;
        let refused = || {
            let error = Error::new(ErrorKind::InvalidCredentials, "The credentials are not valid.");
            // For the log: the caller is told once it comes too early.
            wait.map_or(error.clone(), |wait| error.retry_after(wait.0))
        };
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let matches = password::verify(credentials.password, hash).await?;
        // Who is disabled is told nothing else than who gives a wrong password.
        let is_enabled = organisation.is_some_and(|organisation| organisation.disabled_on.is_none());
        let user = user.filter(|user| matches && is_enabled && user.disabled_on.is_none()).ok_or_else(refused)?;
        if let Some(unit) = &credentials.unit
            && !users::unit_exists(self.database.reader(), organisation_id, unit).await?
        {
            return Err(refused());
        }
        self.guessing.forget(&guessed_at).await?;
        let now = self.clock.now();
        self.signer.sign(&Claims {
            jti: Uuid::new_v4(),
            usr: user.id,
            org: organisation_id,
            generation: user.token_generation,
            iat: now.timestamp(),
            exp: (now + TOKEN_LIFETIME).timestamp(),
        })
    }

    /// Counts a failed guess before it is known for one, so that no number of guesses at once runs ahead of the count;
    /// refuses one that comes too early. Answers what is to be forgotten where the guess is right, and how long the next one
    /// has to wait where it is wrong.
    async fn count_guess(
        &self,
        credentials: &Credentials,
        origin: &Origin,
        user: Option<&user::Model>,
    ) -> Result<([Subject; 2], Option<Wait>)> {
        let Credentials { organisation, username, .. } = credentials;
        let former = origin.former_token.as_ref().and_then(|token| self.signer.verify_expired(token));
        let had_token = former
            .is_some_and(|claims| user.is_some_and(|user| user.organisation_id == claims.org && user.id == claims.usr));
        let source = match origin.peer {
            _ if had_token => "former token".to_owned(),
            Some(peer) => peer.to_string(),
            None => String::new(),
        };
        let subjects =
            [self.guessing.login_from(organisation, username, &source), self.guessing.login(organisation, username)];
        // A user that has had a token waits only for its own guesses.
        let counted = if had_token { &subjects[..1] } else { &subjects[..] };
        let known = self.guessing.look_up(counted).await?;
        let failures: Vec<(Subject, u32)> = counted.iter().map(|subject| (*subject, 1)).collect();
        let counted = self.guessing.count(&failures, &known).await?;
        let wait = counted.map_err(|wait| wait.refusal("Too many wrong credentials were given for this user"))?;
        Ok((subjects, wait))
    }

    /// What the token itself says; it may have ended before its time.
    pub fn verify(&self, token: &Secret) -> Result<VerifiedToken> {
        Ok(VerifiedToken(self.signer.verify(token, self.clock.now())?))
    }

    /// Who calls with this token.
    pub async fn authenticate(&self, VerifiedToken(claims): VerifiedToken) -> Result<Caller> {
        let database = self.database.clone();
        let find_all = move |tokens: Vec<TokenName>| {
            let database = database.clone();
            async move { Ok(users::find_token_users(database.reader(), claims.org, &tokens).await?) }
        };
        let user = self.users.ask(claims.org, (claims.usr.clone(), claims.jti, claims.generation), find_all).await?;
        let TokenUser { name, role } = user.ok_or(TokenFault::Released)?;
        Ok(Caller {
            organisation_id: claims.org,
            user_name: name,
            role: Role::from_name(&role).ok_or(TokenFault::Released)?,
            token_id: claims.jti,
            token_expires_on: claims.expires_on()?,
            user_id: claims.usr,
        })
    }

    /// Ends the caller's token.
    pub async fn release_token(&self, caller: &Caller) -> Result<()> {
        let token = released_token::Model {
            organisation_id: caller.organisation_id,
            token_id: caller.token_id,
            expires_on: caller.token_expires_on,
        };
        Ok(users::release_token(self.database.writer(), token, self.clock.now()).await?)
    }
}
