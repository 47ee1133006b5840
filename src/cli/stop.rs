//! How a command is told to stop.

use std::io::{self, Write};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

/// The exit code of a command that was told to stop, as of one that Ctrl-C ended.
pub const STOPPED: u8 = 130;

/// Comes where the command is told to stop, and has said so with this sentence. Told again, it ends at once.
pub fn told_to_stop(sentence: &'static str) -> io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (sender, receiver) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let mut told = async || tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => () };
        told().await;
        _ = writeln!(io::stderr(), "{sentence}");
        _ = sender.send(());
        told().await;
        std::process::exit(STOPPED.into());
    });
    Ok(async {
        _ = receiver.await;
    })
}
