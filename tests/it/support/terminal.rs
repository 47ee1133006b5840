//! Commands on a terminal.

use std::{
    fs::File,
    io::Read,
    os::fd::OwnedFd,
    process::{Child, Stdio},
};

use nix::pty::{Winsize, openpty};

use super::Workplace;

const SIZE: Winsize = Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };

/// A command that runs on a terminal. The terminal is not the one that the process belongs to, so keys send no signals.
pub struct OnTerminal {
    pub child: Child,
    /// The side of who sits there.
    pub terminal: File,
    shown: Vec<u8>,
}

impl OnTerminal {
    pub fn start(workplace: &Workplace, arguments: &[&str]) -> Self {
        let terminal = openpty(Some(&SIZE), None).expect("a terminal");
        let side = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("a descriptor"));
        let sides = [side(&terminal.slave), side(&terminal.slave), side(&terminal.slave)];
        Self { child: workplace.spawn_on(arguments, sides), terminal: terminal.master.into(), shown: Vec::new() }
    }

    /// Waits for more to be shown; answers whether there was any before the command ended.
    pub fn look(&mut self) -> bool {
        let mut buffer = [0; 4096];
        // Where nobody is on the other side any more, reading fails.
        let length = self.terminal.read(&mut buffer).unwrap_or_default();
        self.shown.extend_from_slice(&buffer[..length]);
        length > 0
    }

    /// All that was shown so far.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown).into_owned()
    }

    /// How it ended, and all that was shown.
    pub fn end(mut self) -> (Option<i32>, String) {
        while self.look() {}
        (self.child.wait().expect("an end").code(), self.shown())
    }
}
