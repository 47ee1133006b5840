//! A caller who keeps to all limits, beside those who do not; and a server with limits that a test need not wait for long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use referral_events::config::{Config, ConnectionLimits};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{Server, Setup, event};

/// Limits that a test need not wait for long.
pub fn limits() -> ConnectionLimits {
    ConnectionLimits {
        head_timeout: Duration::from_millis(500),
        stall_timeout: Duration::from_millis(500),
        ..ConnectionLimits::default()
    }
}

pub async fn start(setup: Setup, connections: ConnectionLimits) -> Arc<Server> {
    Arc::new(Server::start_with(setup, Config { connections, ..Config::default() }).await)
}

/// A caller who keeps to all limits, and is answered well for as long as the test goes on.
pub struct Innocent {
    is_over: Arc<AtomicBool>,
    task: JoinHandle<usize>,
}

impl Innocent {
    pub fn start(server: &Arc<Server>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (server, over) = (server.clone(), is_over.clone());
        let task = tokio::spawn(async move {
            let mut calls = 0;
            while !over.load(Ordering::Relaxed) {
                server.send(repeatable()).await.assert_outcome(&["1"], &[]);
                calls += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            calls
        });
        Self { is_over, task }
    }

    pub async fn was_served(self) {
        self.is_over.store(true, Ordering::Relaxed);
        assert!(self.task.await.expect("good answers") > 0);
    }
}

/// An event that is answered as processed however often it is sent.
pub fn repeatable() -> Value {
    let mut event = event("1", "02", "03");
    event["external_system_reference_number"] = "again".into();
    json!([event])
}
