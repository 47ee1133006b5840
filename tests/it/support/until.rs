//! Waiting for what nobody tells a test of.

use std::time::{Duration, Instant};

use referral_events::storage::Database;
use sea_orm::{ConnectionTrait, Statement};

/// How long it may take, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is so; `what` is said where it never is.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < PATIENCE, "after {PATIENCE:?} it is not so that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until so many sessions of a PostgreSQL database wait for a lock that another holds.
pub async fn until_waiting_for_a_lock(observer: &Database, sessions: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
               AND wait_event_type = 'Lock' AND backend_type = 'client backend'";
    until("sessions wait for a lock", async || {
        let statement = Statement::from_string(observer.reader().get_database_backend(), sql);
        let row = observer.reader().query_one_raw(statement).await.expect("a query").expect("a row");
        row.try_get_by_index::<i64>(0).expect("a number") >= sessions
    })
    .await;
}
