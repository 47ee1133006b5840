//! Passwords, as argon2id.

use std::sync::LazyLock;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::Semaphore;

use crate::{
    error::{Error, Result},
    secret::Secret,
};

/// Hashes computed at once. Each takes 19 MiB and a core for a while; logins must not push the calls aside.
static HASHING: Semaphore = Semaphore::const_new(2);

/// What the password of an unknown user is compared with, so that it takes the time of a known one's.
static DECOY: LazyLock<Option<String>> = LazyLock::new(|| hash_blocking(&Secret::new("decoy")).ok());

/// The hash to store for a password.
pub async fn hash(password: Secret) -> Result<String> {
    compute(move || hash_blocking(&password)).await?
}

/// Whether the password is the one of the hash. Without a hash the answer is no, after the same work.
pub async fn verify(password: Secret, hash: Option<String>) -> Result<bool> {
    compute(move || {
        let known = hash.is_some();
        let Some(hash) = hash.or_else(|| DECOY.clone()) else { return false };
        let matches = PasswordHash::new(&hash)
            .is_ok_and(|hash| Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok());
        known && matches
    })
    .await
}

fn hash_blocking(password: &Secret) -> Result<String> {
    let hash = Argon2::default().hash_password(password.expose().as_bytes());
    Ok(hash.map_err(|error| Error::internal(error.to_string()))?.to_string())
}

async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let _permit = HASHING.acquire().await.map_err(Error::internal)?;
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)
}
