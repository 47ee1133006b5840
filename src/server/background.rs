//! What the server does beside the calls, for as long as it runs.

use std::time::Duration;

use crate::{
    clock::Clock,
    error::Result,
    guessing::Guessing,
    referral::ReferralEvents,
    storage::Database,
    tls::{Tls, Watch},
};

/// Keeps the log of a SQLite database short, beside the calls.
pub async fn checkpoint(database: Database) {
    let mut is_failing = false;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let outcome = database.checkpoint().await;
        let was_failing = std::mem::replace(&mut is_failing, outcome.is_err());
        match outcome {
            // It is tried so often that the log would be full of the same line.
            Err(error) if !was_failing => {
                tracing::warn!(?error, "the log is not brought into the file; it is tried again and again");
            }
            Ok(()) if was_failing => tracing::info!("the log is brought into the file again"),
            _ => {}
        }
    }
}

/// Removes the answers that need not be kept any longer.
pub async fn remove_old_answers(referral_events: ReferralEvents, retention: Duration) {
    now_and_again(retention, "old answers", || referral_events.remove_old_answers()).await;
}

/// Removes the unprocessed events that need not be kept any longer: all that there are where none are.
pub async fn remove_old_unprocessed(referral_events: ReferralEvents, retention: Duration) {
    let kept_for = if retention.is_zero() { Duration::MAX } else { retention };
    now_and_again(kept_for, "old unprocessed events", || referral_events.remove_old_unprocessed()).await;
}

/// Removes the failed guesses that are forgotten.
pub async fn remove_old_guesses(guessing: Guessing, memory: Duration) {
    now_and_again(memory, "old guesses", || guessing.remove_old()).await;
}

/// Looks which workers of a cluster answer. Where the coordinator does not, that is told by its own probe.
pub async fn watch_workers(database: Database) {
    let mut watch = database.watch_of_workers();
    loop {
        if let Err(error) = watch.look().await {
            tracing::debug!(?error, "the workers are not looked at");
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// Looks whether there is a new certificate.
pub async fn watch_certificate(tls: Tls, clock: Clock) {
    let mut watch = Watch::new(tls.clone());
    loop {
        let now = clock.now();
        // Files may be far away.
        let looked = tokio::task::spawn_blocking(move || {
            watch.look(now);
            watch
        });
        watch = looked.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the look for a new TLS certificate failed; it is tried again");
            Watch::new(tls.clone())
        });
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// Has removed, several times within the time that they are kept for, what is older.
async fn now_and_again<F: Future<Output = Result<()>>>(kept_for: Duration, what: &str, remove: impl Fn() -> F) {
    let pause = (kept_for / 10).clamp(Duration::from_secs(1), Duration::from_secs(600));
    loop {
        if let Err(error) = remove().await {
            tracing::warn!(?error, "{what} are not removed; it is tried again");
        }
        tokio::time::sleep(pause).await;
    }
}
