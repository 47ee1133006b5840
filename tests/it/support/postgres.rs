//! A private PostgreSQL cluster for the tests, or the server that the environment names.

use std::{
    env, fs,
    hash::{BuildHasher, RandomState},
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;

/// The URL of a server to use instead of a private cluster, of a user who may create databases.
const URL: &str = "TEST_POSTGRES_URL";

/// Whether a cluster of ours is set up as an operator would, for measuring, rather than to be gone soon.
pub static MEASURES: AtomicBool = AtomicBool::new(false);

/// What is used, once it is known; `None` where there is no PostgreSQL.
static SERVER: OnceLock<Option<Mutex<PostgresServer>>> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(1);

struct PostgresServer {
    /// Without a database's name.
    url: String,
    /// Databases to drop at the end, where the server is not ours.
    databases: Vec<String>,
    cluster: Option<Cluster>,
}

/// A cluster of our own. Its server ends when it is dropped, and with the pipe to its standard input, so also when the
/// tests are killed.
pub struct Cluster {
    directory: TempDir,
    port: u16,
    settings: Vec<String>,
    server: Option<Child>,
}

/// Why there is no PostgreSQL to test on, if so.
pub fn missing() -> Option<&'static str> {
    let missing = env::var_os(URL).is_none() && programs().is_none();
    missing.then_some("no server programs, and TEST_POSTGRES_URL is not set")
}

/// Makes an empty database and answers its URL.
pub fn create_database() -> String {
    create("")
}

/// Makes a copy of a database, to which nobody is connected.
pub fn create_copy(template: &str) -> String {
    create(&format!("TEMPLATE {template}"))
}

fn create(options: &str) -> String {
    let server = SERVER.get_or_init(|| Some(Mutex::new(start()))).as_ref().expect("a server");
    let mut server = server.lock().expect("a lock");
    let name = format!("referral_events_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    execute(&server.url, &format!("CREATE DATABASE {name} {options}"));
    let url = format!("{}/{name}", server.url);
    server.databases.push(name);
    url
}

/// Ends the cluster, or drops the databases that were made on another's server.
pub fn stop() {
    let Some(Some(server)) = SERVER.get() else { return };
    let mut server = server.lock().expect("a lock");
    match server.cluster.take() {
        Some(cluster) => drop(cluster),
        None => {
            for name in std::mem::take(&mut server.databases) {
                execute(&server.url, &format!("DROP DATABASE {name} WITH (FORCE)"));
            }
        }
    }
}

fn start() -> PostgresServer {
    if let Ok(url) = env::var(URL) {
        let url = url.trim_end_matches('/').to_owned();
        return PostgresServer { url, databases: Vec::new(), cluster: None };
    }
    let cluster = match MEASURES.load(Ordering::Relaxed) {
        true => Cluster::start_with(measuring()),
        false => Cluster::start(),
    };
    PostgresServer { url: cluster.url(), databases: Vec::new(), cluster: Some(cluster) }
}

/// What docs/scaling.md advises: a quarter of the memory for the database's pages, and a log long enough that a load
/// does not force a checkpoint, after which each page that changes is written to the log whole.
fn measuring() -> Vec<String> {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = memory.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok());
    let quarter = kilobytes.map_or(128, |kilobytes| kilobytes / 1024 / 4);
    vec![format!("shared_buffers={quarter}MB"), "max_wal_size=16GB".to_owned(), "checkpoint_timeout=15min".to_owned()]
}

impl Cluster {
    /// Makes a cluster and starts its server. It does not sync its log: what is committed survives the end of a process
    /// without; only a power cut needs it.
    pub fn start() -> Self {
        Self::start_with(["fsync=off", "max_connections=400"].map(str::to_owned).into())
    }

    fn start_with(settings: Vec<String>) -> Self {
        let directory = tempfile::Builder::new().prefix("referral-events-postgres-").tempdir().expect("a directory");
        let mut cluster = Self { directory, port: free_port(), settings, server: None };
        if let Some((uid, gid)) = unprivileged_user() {
            chown(cluster.directory.path(), Some(uid), Some(gid)).expect("a directory for the server's user");
        }
        let mut initdb = cluster.command(&programs().expect("the server programs").join("initdb"));
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"]);
        assert!(initdb.arg(cluster.data()).status().expect("initdb").success(), "initdb failed");
        cluster.serve();
        cluster
    }

    /// Another cluster with the same data, as a backup would make it; the server must have ended.
    pub fn copied(&self) -> Self {
        let directory = tempfile::Builder::new().prefix("referral-events-postgres-").tempdir().expect("a directory");
        let copied = Command::new("cp").arg("-a").arg(self.data()).arg(directory.path()).status().expect("cp");
        assert!(copied.success(), "the data are not copied");
        if let Some((uid, gid)) = unprivileged_user() {
            chown(directory.path(), Some(uid), Some(gid)).expect("a directory for the server's user");
        }
        Self { directory, port: free_port(), settings: self.settings.clone(), server: None }
    }

    /// Runs a statement in the database `postgres`, as the superuser.
    pub fn execute(&self, sql: &str) {
        execute(&self.url(), sql);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Without a database's name.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}", self.port)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A program that runs in the cluster's folder, as a user that the server may run as.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.directory.path()).stdout(Stdio::null());
        if let Some((uid, gid)) = unprivileged_user() {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Starts the server on the data that are there, and waits until it answers.
    pub fn serve(&mut self) {
        let log = self.directory.path().join("log");
        let mut server = self.command(Path::new("/bin/sh"));
        server.args(["-c", r#""$0" "$@" < /dev/null & server=$!; cat > /dev/null; kill -INT $server; wait $server"#]);
        server.arg(programs().expect("the server programs").join("postgres"));
        server.arg("-D").arg(self.data()).arg("-k").arg(self.directory.path());
        let address = ["listen_addresses=127.0.0.1".to_owned(), format!("port={}", self.port)];
        for setting in address.iter().chain(&self.settings) {
            server.args(["-c", setting]);
        }
        server.stdin(Stdio::piped()).stderr(fs::File::create(&log).expect("a log"));
        self.server = Some(server.spawn().expect("a server"));
        for _ in 0..200 {
            if try_execute(&self.url(), "SELECT 1").is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("the server does not start: {}", fs::read_to_string(log).unwrap_or_default());
    }

    /// Tells the server to stop, by the end of its input, and waits until it has.
    pub fn end(&mut self) {
        if let Some(mut server) = self.server.take() {
            drop(server.stdin.take());
            server.wait().expect("the server to end");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end();
    }
}

/// A port below those that the system hands out by itself, so that nobody has it when a server comes back to it.
fn free_port() -> u16 {
    let first = RandomState::new().hash_one(std::process::id());
    let mut ports = (0..12_000).map(|n| 20_000 + (first.wrapping_add(n) % 12_000) as u16);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a port")
}

/// The newest of the folders that have the server programs.
pub(super) fn programs() -> Option<PathBuf> {
    let of_path = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.filter_map(Result::ok).map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    versions.sort();
    let mut folders = versions.into_iter().rev().chain(of_path);
    folders.find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
}

/// PostgreSQL and PgBouncer refuse to run as root; whom to run them as then.
pub(super) fn unprivileged_user() -> Option<(u32, u32)> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let is_root = status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"));
    if !is_root {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("the users");
    let ids_of = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    ids_of("postgres").or_else(|| ids_of("nobody"))
}

fn execute(url: &str, sql: &str) {
    try_execute(url, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

fn try_execute(url: &str, sql: &str) -> Result<(), sqlx::Error> {
    apart(async {
        let mut connection = PgConnection::connect(&format!("{url}/postgres")).await?;
        connection.execute(AssertSqlSafe(sql)).await?;
        connection.close().await
    })
}

/// Runs something to its end on a runtime of its own, for it is called from inside of others.
pub(super) fn apart<T: Send>(something: impl Future<Output = T> + Send) -> T {
    thread::scope(|scope| {
        let run = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(something)
        });
        run.join().expect("a thread")
    })
}
