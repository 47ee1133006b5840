//! A database server that ends as in a crash.

use std::{fs, thread, time::Duration};

use super::{
    postgres::{Cluster, programs},
    process::signal,
};

impl Cluster {
    /// Why none can be started here, if so.
    pub fn missing() -> Option<&'static str> {
        programs().is_none().then_some("no server programs")
    }

    /// Lets the server begin as one that follows another, from its next start on: it takes no writes until it is promoted.
    pub fn stand_by(&self) {
        fs::write(self.data().join("standby.signal"), "").expect("a file");
    }

    /// Ends the server and all its processes at once, in the middle of whatever they do. It can serve again, on the
    /// same data and port.
    pub fn crash(&mut self) {
        let lock = fs::read_to_string(self.data().join("postmaster.pid")).expect("the server's lock file");
        let server = lock.lines().next().and_then(|line| line.trim().parse().ok()).expect("a process id");
        // Halted first, for else it would start more processes meanwhile.
        signal("STOP", &[server]);
        while status(server).is_none_or(|(state, _)| state != "T") {
            thread::sleep(Duration::from_millis(1));
        }
        let mut processes = children(server);
        assert!(processes.len() > 1, "the server does nothing");
        processes.push(server);
        signal("KILL", &processes);
        self.end();
        while processes.iter().any(|process| is_alive(*process)) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The state of a process and the id of its parent.
fn status(process: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before them is in brackets and may hold anything.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("the processes").filter_map(Result::ok);
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id| status(*id).is_some_and(|(_, of)| of == parent)).collect()
}

/// One that has ended and that nobody has asked about yet is none.
fn is_alive(process: u32) -> bool {
    status(process).is_some_and(|(state, _)| !["Z", "X"].contains(&state.as_str()))
}
