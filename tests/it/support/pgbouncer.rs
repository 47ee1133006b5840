//! A PgBouncer in front of the tests' PostgreSQL, in transaction mode.

use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    os::unix::{fs::chown, process::CommandExt},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use tempfile::TempDir;

use super::postgres::unprivileged_user;

/// A pooler of one database. It ends with the pipe to its standard input, so also when the tests are killed.
pub struct Bouncer {
    /// The database behind it, with the setting that it needs.
    pub url: String,
    process: Child,
    _directory: TempDir,
}

/// Why there is none, if so.
pub fn missing() -> Option<&'static str> {
    program().is_none().then_some("no program pgbouncer")
}

fn program() -> Option<PathBuf> {
    let folders = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let mut programs = folders.into_iter().chain(["/usr/sbin".into()]).map(|folder| folder.join("pgbouncer"));
    programs.find(|program| program.exists())
}

impl Bouncer {
    /// How many sessions of the server all clients share.
    pub const SESSIONS: i64 = 2;

    /// In front of the database of `url`; `settings` are lines of its own for the section `[pgbouncer]`.
    pub fn start(url: &str, settings: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("referral-events-pgbouncer-").tempdir().expect("a directory");
        let server: PgConnectOptions = url.parse().expect("a PostgreSQL URL");
        let (host, user, password) = (server.get_host(), server.get_username(), server.to_url_lossy());
        let password = password.password().map(|password| format!("password={password}")).unwrap_or_default();
        let database = server.get_database().expect("a database");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let configuration = directory.path().join("pgbouncer.ini");
        let log = directory.path().join("log");
        let text = format!(
            "[databases]\n{database} = host={host} port={} user={user} {password}\n\
             [pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\nauth_type=any\n\
             pool_mode=transaction\ndefault_pool_size={}\nlogfile={}\n{settings}\n",
            server.get_port(),
            Self::SESSIONS,
            log.display(),
        );
        fs::write(&configuration, text).expect("a configuration");

        let mut command = Command::new("/bin/sh");
        command.args(["-c", r#""$0" "$@" < /dev/null & pooler=$!; cat > /dev/null; kill -TERM $pooler; wait $pooler"#]);
        command.arg(program().expect("pgbouncer")).arg("--quiet").arg(&configuration).stdin(Stdio::piped());
        if let Some((uid, gid)) = unprivileged_user() {
            chown(directory.path(), Some(uid), Some(gid)).expect("a directory for the pooler's user");
            command.uid(uid).gid(gid);
        }
        let process = command.current_dir(directory.path()).spawn().expect("a pooler");
        // With what README tells its operators to set.
        let url = format!("postgres://{user}@127.0.0.1:{port}/{database}?statement-cache-capacity=0");
        let bouncer = Self { url, process, _directory: directory };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return bouncer;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("the pooler does not start: {}", fs::read_to_string(log).unwrap_or_default());
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().expect("the pooler to end");
    }
}
