//! A private PostgreSQL cluster for the tests, or the server that the environment names.

use std::{
    cell::Cell,
    env, fs,
    hash::{BuildHasher, RandomState},
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;

/// The URL of a server to use instead of a private cluster, of a user who may create databases.
const URL: &str = "TEST_POSTGRES_URL";

/// What the log of a cluster of ours says before each line: the database, the program and the session.
const LINE_PREFIX: &str = "log_line_prefix=%d %a %p|";

/// Whether a cluster of ours is set up as an operator would, for measuring, rather than to be gone soon.
pub static MEASURES: AtomicBool = AtomicBool::new(false);

/// What is used, once it is needed.
static SERVER: OnceLock<PostgresServer> = OnceLock::new();
/// The data of a new cluster, which to copy takes a tenth of the time.
static NEW_DATA: Mutex<Option<TempDir>> = Mutex::new(None);
static NEXT: AtomicU32 = AtomicU32::new(1);

thread_local! {
    /// The test that this thread works for.
    static OWNER: Cell<usize> = const { Cell::new(NOBODY) };
}

/// The owner of what is kept to the end of all tests.
const NOBODY: usize = 0;

struct PostgresServer {
    /// Without a database's name.
    url: String,
    /// Those that are there, and whose they are.
    databases: Mutex<Vec<(usize, String)>>,
    cluster: Mutex<Option<Cluster>>,
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
    create(OWNER.get(), "")
}

/// Makes an empty database that outlives the test.
pub fn create_template() -> String {
    create(NOBODY, "")
}

/// Makes a copy of a database, to which nobody is connected.
pub fn create_copy(template: &str) -> String {
    // A copy through the log, which is the default, is as large again.
    create(OWNER.get(), &format!("TEMPLATE {template} STRATEGY file_copy"))
}

fn create(owner: usize, options: &str) -> String {
    let server = SERVER.get_or_init(start);
    let name = format!("referral_events_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    execute(&server.url, &format!("CREATE DATABASE {name} {options}"));
    let url = format!("{}/{name}", server.url);
    server.databases.lock().expect("a lock").push((owner, name));
    url
}

/// Has the databases that this thread makes belong to a test.
pub fn make_for(owner: usize) {
    OWNER.set(owner);
}

/// Drops the databases of a test that has ended: hundreds of them would keep autovacuum busy and fill the disk.
pub fn drop_those_of(owner: usize) {
    let Some(server) = SERVER.get() else { return };
    let dropped: Vec<_> = server.databases.lock().expect("a lock").extract_if(.., |(of, _)| *of == owner).collect();
    for (_, name) in dropped {
        execute(&server.url, &format!("DROP DATABASE {name} WITH (FORCE)"));
    }
}

/// The log of the cluster, where it is ours.
pub fn log() -> Option<PathBuf> {
    SERVER.get()?.cluster.lock().expect("a lock").as_ref().map(|cluster| cluster.directory.path().join("log"))
}

/// Ends the cluster, or drops what is left on another's server.
pub fn stop() {
    drop(NEW_DATA.lock().expect("a lock").take());
    let Some(server) = SERVER.get() else { return };
    if server.cluster.lock().expect("a lock").take().is_none() {
        drop_those_of(NOBODY);
    }
}

fn start() -> PostgresServer {
    if let Ok(url) = env::var(URL) {
        let url = url.trim_end_matches('/').to_owned();
        return PostgresServer { url, databases: Mutex::default(), cluster: Mutex::default() };
    }
    let cluster = match MEASURES.load(Ordering::Relaxed) {
        true => Cluster::start_with(measuring()),
        false => Cluster::start(),
    };
    PostgresServer { url: cluster.url(), databases: Mutex::default(), cluster: Mutex::new(Some(cluster)) }
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
        Self::start_with(
            ["fsync=off", "max_connections=400", "max_wal_size=256MB", LINE_PREFIX].map(str::to_owned).into(),
        )
    }

    fn start_with(settings: Vec<String>) -> Self {
        let mut new_data = NEW_DATA.lock().unwrap_or_else(PoisonError::into_inner);
        let new_data = new_data.get_or_insert_with(|| {
            let directory = directory();
            let mut initdb = command(&programs().expect("the server programs").join("initdb"), directory.path());
            initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
            initdb.arg("--pgdata").arg(directory.path().join("data"));
            assert!(initdb.status().expect("initdb").success(), "initdb failed");
            directory
        });
        let mut cluster = Self::of_copied(&new_data.path().join("data"), settings);
        cluster.serve();
        cluster
    }

    fn of_copied(data: &Path, settings: Vec<String>) -> Self {
        let directory = directory();
        let copied = Command::new("cp").arg("-a").arg(data).arg(directory.path()).status().expect("cp");
        assert!(copied.success(), "the data are not copied");
        Self { directory, port: free_port(), settings, server: None }
    }

    /// Another cluster with the same data, as a backup would make it; the server must have ended.
    pub fn copied(&self) -> Self {
        Self::of_copied(&self.data(), self.settings.clone())
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

    /// Starts the server on the data that are there, and waits until it answers.
    pub fn serve(&mut self) {
        let log = self.directory.path().join("log");
        let mut server = command(Path::new("/bin/sh"), self.directory.path());
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

/// A new one that belongs to the server's user.
fn directory() -> TempDir {
    let directory = tempfile::Builder::new().prefix("referral-events-postgres-").tempdir().expect("a directory");
    if let Some((uid, gid)) = unprivileged_user() {
        chown(directory.path(), Some(uid), Some(gid)).expect("a directory for the server's user");
    }
    directory
}

/// A program that runs in this folder, as a user that the server may run as.
fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).stdout(Stdio::null());
    if let Some((uid, gid)) = unprivileged_user() {
        command.uid(uid).gid(gid);
    }
    command
}

/// A port below those that the system hands out by itself, so that nobody has it when a server comes back to it.
fn free_port() -> u16 {
    let first = RandomState::new().hash_one(std::process::id());
    let mut ports = (0..12_000).map(|n| 20_000 + (first.wrapping_add(n) % 12_000) as u16);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a port")
}

/// The newest of the folders that have the server programs.
pub fn programs() -> Option<PathBuf> {
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
