//! Who runs a command.

use chrono::Utc;
use nix::unistd::{User, gethostname, getuid};

use crate::storage::people::Act;

/// What the operating system's user does on this machine, now.
pub fn act(action: &'static str, details: Option<String>) -> Act {
    let uid = getuid();
    // In a container the user may have no name.
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
    let actor = name.unwrap_or_else(|| format!("uid {uid}"));
    let host = gethostname().ok().and_then(|host| host.into_string().ok()).unwrap_or_else(|| "unknown".to_owned());
    Act { actor, host, action, details, occurred_on: Utc::now() }
}
