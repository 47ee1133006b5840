//! Holding a server up at one of its statements, so that a test can do something else just then.

use std::{sync::mpsc, time::Duration};

use tokio::sync::oneshot;

/// The longest that a statement is held, so that a test that goes wrong comes to an end.
const LONGEST: Duration = Duration::from_secs(60);

/// The side of the server: which statement it waits at, and until when.
pub struct Hold {
    pub statement: &'static str,
    reached: oneshot::Sender<()>,
    gone_on: mpsc::Receiver<()>,
}

/// The side of the test. The statement goes on when this is dropped.
pub struct Held {
    reached: oneshot::Receiver<()>,
    _go_on: mpsc::Sender<()>,
}

impl Held {
    pub(super) fn new(statement: &'static str) -> (Self, Hold) {
        let (reach, reached) = oneshot::channel();
        let (go_on, gone_on) = mpsc::channel();
        (Self { reached, _go_on: go_on }, Hold { statement, reached: reach, gone_on })
    }

    /// Does something while the statement is held, and lets it go on.
    pub async fn meanwhile(self, something: impl Future<Output = ()>) {
        let reached = tokio::time::timeout(LONGEST, self.reached).await;
        reached.expect("no waiting for ever").expect("a server that comes to the statement");
        something.await;
    }
}

impl Hold {
    pub(super) fn wait(self) {
        tokio::task::block_in_place(|| {
            _ = self.reached.send(());
            _ = self.gone_on.recv_timeout(LONGEST);
        });
    }
}
