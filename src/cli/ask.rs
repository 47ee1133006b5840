//! Asking for a password.

use std::io::{self, IsTerminal};

use console::Term;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::Failure;
use crate::{
    auth::{check_password, password},
    config::SettingError,
    secret::Secret,
};

/// The hash of a new password for a user. On a terminal it is asked for twice, without being shown; otherwise it is the
/// first line of standard input.
pub async fn new_password(user: &str, organisation: &str) -> Result<String, Failure> {
    let check = |given: &Secret| {
        let checked = check_password(given, user, organisation);
        checked.map_err(|weakness| SettingError::new(weakness.to_string()))
    };
    let given = if io::stdin().is_terminal() {
        let given = ask(format!("new password of {user}: ")).await?;
        check(&given)?;
        if ask("the same again: ".to_owned()).await? != given {
            return Err(SettingError::new("the second one differs; nothing was changed").into());
        }
        given
    } else {
        let mut line = Zeroizing::new(String::new());
        io::stdin().read_line(&mut line)?;
        let given = Secret::new(line.trim_end_matches(['\n', '\r']));
        if given.expose().is_empty() {
            return Err(SettingError::new("the password is empty; give it on standard input").into());
        }
        check(&given)?;
        given
    };
    Ok(password::hash(given).await?)
}

/// Told to stop, it leaves the terminal as it was before.
pub async fn ask(question: String) -> Result<Secret, Failure> {
    let before = tcgetattr(io::stdin()).map_err(io::Error::from)?;
    let asked = tokio::task::spawn_blocking(move || {
        let terminal = [Term::stderr(), Term::stdout()].into_iter().find(Term::is_term);
        let terminal = terminal.ok_or_else(|| io::Error::other("a password is asked for on a terminal alone"))?;
        terminal.write_str(&question)?;
        terminal.read_secure_line().map(Secret::new)
    });
    tokio::select! {
        answered = asked => Ok(answered.map_err(io::Error::other)??),
        _ = tokio::signal::ctrl_c() => {
            tcsetattr(io::stdin(), OptionalActions::Now, &before).map_err(io::Error::from)?;
            Err(SettingError::new("stopped; nothing was changed").into())
        }
    }
}
