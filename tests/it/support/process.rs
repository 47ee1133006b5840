//! The program itself, as a process of its own.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{Answer, TestDatabase, envelope, known_secrets::assert_none_in};

/// How long a process may take to start, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder in which the program runs, with no setting but what a test sets, and no admin port.
pub struct Workplace {
    directory: TempDir,
    environment: Vec<(String, String)>,
    database: Option<TestDatabase>,
    /// How many descriptors the programs may open, unless they raise that limit.
    pub descriptors: Option<u32>,
}

/// What a command that came to its end has left.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A running server. It is killed when it is dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Workplace {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // Servers side by side would all want the same port.
        let environment = vec![("REFERRAL_EVENTS_ADMIN_LISTEN".to_owned(), "off".to_owned())];
        Self { directory, environment, database: None, descriptors: None }
    }

    /// One whose programs use this database, of any engine, and share its keys.
    pub fn over(database: TestDatabase) -> Self {
        let mut workplace = Self::new();
        workplace.set("DATABASE_URL", &database.url);
        workplace.set("REFERRAL_EVENTS_TOKEN_KEY", &"70".repeat(32));
        workplace.set("REFERRAL_EVENTS_HASH_KEY", &"4a".repeat(32));
        workplace.database = Some(database);
        workplace
    }

    /// Sets an environment variable for what is run from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Takes an environment variable back.
    pub fn unset(&mut self, name: &str) {
        self.environment.retain(|(set, _)| set != name);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The database that the program uses where it is not told of another.
    pub fn database_url(&self) -> String {
        let default = || format!("sqlite:{}", self.path("referral-events.db").display());
        self.database.as_ref().map_or_else(default, |database| database.url.clone())
    }

    /// Runs a script of the shell, which finds the program in its path, and must succeed.
    #[track_caller]
    pub fn run_script(&self, script: &str) -> String {
        let program = Path::new(env!("CARGO_BIN_EXE_referral-events"));
        let path = format!("{}:/usr/bin:/bin", program.parent().expect("a folder").display());
        let mut command = Command::new("/bin/sh");
        command.args(["-e", "-c", script]).env_clear().env("PATH", path).current_dir(self.directory.path());
        let output = command.output().expect("an output");
        assert!(output.status.success(), "{script}\n{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_referral-events");
        let mut command = Command::new(if self.descriptors.is_some() { "/bin/sh" } else { program });
        if let Some(descriptors) = self.descriptors {
            command.args(["-c", &format!("ulimit -S -n {descriptors} && exec \"$0\" \"$@\""), program]);
        }
        command
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with_input(arguments, "")
    }

    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Ended {
        let mut child = self.command(arguments).spawn().expect("a process");
        // A command that has no use for its input may be gone already.
        _ = child.stdin.take().expect("an input").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("an output");
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Runs a command that must succeed.
    #[track_caller]
    pub fn run_well(&self, arguments: &[&str], input: &str) -> Ended {
        let ended = self.run_with_input(arguments, input);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        ended
    }

    /// Adds organisation acme and carla, a caller, whose password is `password`.
    pub fn add_caller(&self, password: &str) {
        self.run_well(&["organisation", "add", "acme"], "");
        self.run_well(
            &["user", "add", "carla", "--organisation", "acme", "--role", "caller"],
            &format!("{password}\n"),
        );
    }

    /// Runs a server on a free port of this machine.
    pub fn serve(&self, arguments: &[&str]) -> Process {
        self.serve_on("127.0.0.1:0", arguments)
    }

    pub fn serve_on(&self, listen: &str, arguments: &[&str]) -> Process {
        self.start([&["serve", "--listen", listen], arguments].concat(), Stdio::piped())
    }

    /// Runs a server with the arguments of a line; on a free port where it names none or the default one.
    pub fn start_with(&self, line: &str) -> Process {
        let mut arguments: Vec<&str> = line.split_whitespace().collect();
        if !arguments.contains(&"--listen") {
            arguments.extend(["--listen", "127.0.0.1:0"]);
        }
        self.start([&["serve"], &arguments[..]].concat(), Stdio::piped())
    }

    /// Runs a server whose log goes where `log` leads.
    pub fn serve_logging_to(&self, log: Stdio) -> Process {
        self.start(vec!["serve", "--listen", "127.0.0.1:0"], log)
    }

    /// Runs a command whose outputs go elsewhere.
    pub fn spawn(&self, arguments: &[&str], stdout: Stdio, stderr: Stdio) -> Child {
        self.command(arguments).stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn().expect("a process")
    }

    /// The same of a command that is given an input bit by bit.
    pub fn spawn_with_input(&self, arguments: &[&str], stdout: Stdio, stderr: Stdio) -> Child {
        self.command(arguments).stdout(stdout).stderr(stderr).spawn().expect("a process")
    }

    /// The same on these: input, output and log.
    pub fn spawn_on(&self, arguments: &[&str], [stdin, stdout, stderr]: [Stdio; 3]) -> Child {
        self.command(arguments).stdin(stdin).stdout(stdout).stderr(stderr).spawn().expect("a process")
    }

    fn start(&self, arguments: Vec<&str>, stderr: Stdio) -> Process {
        let mut child = self.command(&arguments).stderr(stderr).spawn().expect("a process");
        let output = Arc::new(Mutex::new(String::new()));
        let mut readers = vec![keep(child.stdout.take().expect("an output"), output.clone())];
        readers.extend(child.stderr.take().map(|log| keep(log, output.clone())));
        let started = Instant::now();
        loop {
            let text = output.lock().expect("a lock").clone();
            if let Some(address) = text.lines().find_map(|line| line.strip_prefix("serving gRPC and REST on ")) {
                let address = address.parse().expect("an address");
                return Process { child, address, output, readers };
            }
            let ended = child.try_wait().expect("a status");
            assert!(ended.is_none() && started.elapsed() < PATIENCE, "the server does not start: {text}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Collects whole lines, as they come.
fn keep(source: impl Read + Send + 'static, output: Arc<Mutex<String>>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            let mut output = output.lock().expect("a lock");
            output.push_str(&line);
            output.push('\n');
        }
    })
}

impl Process {
    /// A server at this address of which nothing is heard.
    pub fn unheard(child: Child, address: SocketAddr) -> Self {
        Self { child, address, output: Arc::default(), readers: Vec::new() }
    }

    /// All that it has printed and logged so far.
    pub fn output(&self) -> String {
        self.output.lock().expect("a lock").clone()
    }

    /// Waits until it has printed or logged `text`.
    pub async fn wait_for_output(&self, text: &str) {
        let started = Instant::now();
        while !self.output().contains(text) {
            assert!(started.elapsed() < PATIENCE, "{text} is not there: {}", self.output());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The address of its admin port, once it has said so.
    pub async fn admin(&self) -> SocketAddr {
        const SAID: &str = "serving /metrics, /livez and /readyz on ";
        self.wait_for_output(SAID).await;
        let output = self.output();
        let address = output.lines().find_map(|line| line.strip_prefix(SAID)).expect("a line");
        address.parse().expect("an address")
    }

    /// The lines of its log, which is JSON.
    pub fn log_lines(&self) -> Vec<Value> {
        let lines = self.output();
        let lines = lines.lines().filter(|line| !line.starts_with("serving "));
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// Of the process, for signals.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().expect("a kill");
        self.child.wait().expect("an end");
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        signal("TERM", &[self.child.id()]);
    }

    /// Waits for its end, and for the last of its output.
    pub async fn ended(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                self.readers.drain(..).for_each(|reader| reader.join().expect("an output"));
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "the server does not end: {}", self.output());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The most memory that it has had so far, in MiB.
    pub fn peak_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        peak.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") / 1024
    }

    /// Posts JSON to a REST path; an error where the connection broke.
    pub async fn try_post(&self, path: &str, body: &Value) -> Result<Answer, reqwest::Error> {
        let request = reqwest::Client::new().post(format!("http://{}/{path}", self.address)).json(body);
        Ok(envelope(request.send().await?).await.1)
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.try_post(path, body).await.expect("an answer")
    }

    /// Posts JSON under an idempotency key, where there is one.
    pub async fn post_once(&self, path: &str, body: &Value, idempotency_key: Option<&str>) -> Answer {
        let mut request = reqwest::Client::new().post(format!("http://{}/{path}", self.address)).json(body);
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        envelope(request.send().await.expect("an answer")).await.1
    }

    /// The token of carla of acme.
    pub async fn login(&self, password: &str) -> String {
        self.login_as("acme", "carla", password).await
    }

    pub async fn login_as(&self, organisation: &str, username: &str, password: &str) -> String {
        let credentials = serde_json::json!({"organisation": organisation, "username": username, "password": password});
        let started = Instant::now();
        loop {
            let answer = self.post("authentication/token", &credentials).await;
            if let Some(token) = answer.data["token"].as_str() {
                return token.to_owned();
            }
            // Hashing yields to all else, and may take longer than a call may on a machine that has much else to do.
            assert_eq!(answer.code, "DeadlineExceededException", "no token: {answer:?}");
            assert!(started.elapsed() < PATIENCE, "no token: {answer:?}");
        }
    }
}

/// Sends a signal to processes.
pub fn signal(name: &str, processes: &[u32]) {
    let processes = processes.iter().map(u32::to_string);
    let status = Command::new("kill").arg(format!("-{name}")).args(processes).status().expect("a signal");
    assert!(status.success());
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.child.kill();
        _ = self.child.wait();
        // A demo that is killed leaves its database.
        let output = self.output();
        let database =
            output.lines().find_map(|line| line.strip_prefix("database: ")?.strip_suffix(" (removed at the end)"));
        if let Some(folder) = database.and_then(|file| Path::new(file).parent()) {
            _ = std::fs::remove_dir_all(folder);
        }
        if !thread::panicking() {
            assert_none_in(&output);
        }
    }
}
