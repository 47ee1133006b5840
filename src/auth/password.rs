//! Passwords, as argon2id.

use std::{
    num::NonZero,
    sync::{Arc, LazyLock},
    thread,
};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::{Semaphore, oneshot};

use crate::{
    error::{Error, Result},
    secret::Secret,
};

/// How many hashes are computed at once. Each takes 19 MiB and a core for 20 ms; half of the cores are for the calls.
pub static HASHES: LazyLock<usize> = LazyLock::new(|| {
    /// Enough for 200 logins a second.
    const MOST: usize = 4;
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    (cores / 2).clamp(1, MOST)
});

static HASHING: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(*HASHES)));

/// A thread that hashes has a third of the weight of the others, so that a busy machine serves calls first; with much
/// less, logins would come to a halt there.
const NICENESS: i32 = 5;

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

/// Computes in a thread of its own: one of a pool would keep the priority.
async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let permit = HASHING.clone().acquire_owned().await.map_err(Error::internal)?;
    let (done, result) = oneshot::channel();
    let hashing = move || {
        // Where it cannot be lowered, hashing is only less polite. None is the thread itself.
        _ = rustix::process::setpriority_process(None, NICENESS);
        let computed = work();
        // The next hash begins only now, even if the caller of this one has left.
        drop(permit);
        _ = done.send(computed);
    };
    thread::Builder::new().name("hashing".to_owned()).spawn(hashing).map_err(Error::internal)?;
    result.await.map_err(Error::internal)
}
