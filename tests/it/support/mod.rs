//! What the tests stand on.

mod answer;
pub mod archiving;
mod bad;
mod bytes_codec;
mod citus;
pub mod collector;
mod crash;
pub mod directory_calls;
pub mod doctor;
mod engine;
pub mod examples;
pub mod faults;
pub mod guessing;
mod health;
mod hold;
mod importer;
mod imports;
pub mod innocent;
pub mod jwt;
mod known_secrets;
mod loader;
mod loading;
mod looking_back;
mod message;
mod methods;
pub mod model;
mod pgbouncer;
pub mod postgres;
mod process;
mod proxy;
pub mod raw;
mod rows;
mod scrape;
mod server;
mod small_disk;
pub mod small_world;
mod statement_log;
pub mod tables;
mod templates;
mod terminal;
pub mod times;
pub mod tls;
mod until;
mod world;

use std::{
    path::Path,
    pin::Pin,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use libtest_mimic::Trial;

pub use answer::{Answer, answer, envelope};
pub use bad::{Bad, with};
pub use engine::{Engine, TestDatabase};
pub use importer::{Importer, counts};
pub use imports::{Directory, time};
pub use loader::{Loader, gzip, referrals};
pub use loading::Loading;
pub use looking_back::numbers;
pub use message::message;
pub use methods::{Leaf, Method, call_with_bytes, deprecated_fields, fields, leaves, method, methods};
pub use pgbouncer::Bouncer;
pub use postgres::Cluster;
pub use process::{Ended, Process, Workplace, signal};
pub use proxy::{Fault, Proxy};
pub use scrape::{Scrape, ask_admin};
pub use server::Server;
pub use small_disk::SmallDisk;
pub use statement_log::StatementLog;
pub use templates::{Beginning, fill};
pub use terminal::OnTerminal;
pub use until::{until, until_waiting_for_a_lock};
pub use world::{EVENT_FIELDS, event};

/// A number that the environment may give.
pub fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

/// Which of the two surfaces a test calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Grpc,
    Rest,
}

/// What a test runs on.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub engine: Engine,
    pub transport: Transport,
}

type TestFuture = Pin<Box<dyn Future<Output = ()>>>;

/// A test, named by its module and its function.
pub struct Test {
    pub name: &'static str,
    pub runs: Runs,
    pub run: fn(Setup) -> TestFuture,
}

/// What a test runs on.
pub struct Runs {
    pub engines: &'static [Engine],
    /// A test that makes its calls itself runs on one.
    pub transports: &'static [Transport],
    /// Why it cannot run here, if so.
    pub missing: fn(Engine) -> Option<&'static str>,
}

/// `tests!(Both: a, b)` lists the tests of a module that run on both transports; `Grpc` and `Rest` those of one,
/// `NoCalls` those that need a database alone, `Sqlite` and `Postgres` those about one database, `OwnPostgres` those
/// that start and end one, `SqliteOnSmallDisk` and `PostgresOnSmallDisk` those that fill a disk, `Curl` those that call
/// with curl, `Openssl` those that need openssl as well, `Citus` those about a cluster of it, `Pooled` and `PooledNoCalls` those behind a pooler, `Once` those that
/// need no server in this process.
macro_rules! tests {
    ($($runs:ident: $($name:ident),+;)+) => {
        pub fn tests() -> Vec<$crate::support::Test> {
            vec![$($($crate::support::Test {
                name: concat!(module_path!(), "::", stringify!($name)),
                runs: $crate::support::runs::$runs,
                run: |setup| Box::pin($name(setup)),
            }),+),+]
        }
    };
}
pub(crate) use tests;

#[allow(non_upper_case_globals)]
pub mod runs {
    use super::{Cluster, Engine, Runs, SmallDisk, Transport};
    /// Why curl cannot be run here, if so.
    fn curl_is_missing() -> Option<&'static str> {
        let is_there = std::process::Command::new("curl").arg("--version").output().is_ok();
        (!is_there).then_some("no curl")
    }
    fn openssl_is_missing() -> Option<&'static str> {
        let is_there = std::process::Command::new("openssl").arg("version").output().is_ok();
        (!is_there).then_some("no openssl")
    }
    const fn on(transports: &'static [Transport]) -> Runs {
        Runs { engines: &Engine::ALL, transports, missing: Engine::missing }
    }
    pub const Both: Runs = on(&[Transport::Grpc, Transport::Rest]);
    pub const Grpc: Runs = on(&[Transport::Grpc]);
    pub const Rest: Runs = on(&[Transport::Rest]);
    /// For a test that needs a database and no server: one run for each database.
    pub const NoCalls: Runs = on(&[Transport::Grpc]);
    pub const Sqlite: Runs = Runs { engines: &[Engine::Sqlite], ..on(&[Transport::Rest]) };
    pub const Postgres: Runs = Runs { engines: &[Engine::Postgres], ..on(&[Transport::Rest]) };
    pub const Curl: Runs = Runs { missing: |_| curl_is_missing(), ..Sqlite };
    pub const Openssl: Runs = Runs { missing: |_| openssl_is_missing().or_else(curl_is_missing), ..Sqlite };
    pub const OwnPostgres: Runs = Runs { missing: |_| Cluster::missing(), ..Postgres };
    pub const SqliteOnSmallDisk: Runs = Runs { missing: |_| SmallDisk::missing(), ..Sqlite };
    pub const PostgresOnSmallDisk: Runs =
        Runs { missing: |_| Cluster::missing().or_else(SmallDisk::missing), ..Postgres };
    /// On a cluster of Citus, where the environment names one.
    pub const Citus: Runs = Runs { engines: &[Engine::Citus], ..on(&[Transport::Rest]) };
    pub const Pooled: Runs = Runs { engines: &[Engine::Pgbouncer], ..Both };
    pub const PooledNoCalls: Runs = Runs { engines: &[Engine::Pgbouncer], ..NoCalls };
    /// For a test that needs neither the server nor the database of a setup.
    pub const Once: Runs = Runs { engines: &[], ..on(&[]) };
}

/// How long a test may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(600);

/// The runs of a test: one for each database and transport.
pub fn trials(test: Test) -> Vec<Trial> {
    let name = test.name.trim_start_matches("it::");
    if test.runs.engines.is_empty() {
        let setup = Setup { engine: Engine::Sqlite, transport: Transport::Grpc };
        return vec![trial(name.to_owned(), test.run, setup)];
    }
    let mut trials = Vec::new();
    for &engine in test.runs.engines {
        for &transport in test.runs.transports {
            let setup = Setup { engine, transport };
            let title = if test.runs.transports.len() == 1 {
                format!("{name} [{engine:?}]").to_lowercase()
            } else {
                format!("{name} [{engine:?}, {transport:?}]").to_lowercase()
            };
            let trial = trial(title, test.run, setup);
            trials.push(match (test.runs.missing)(engine) {
                Some(reason) => trial.with_kind(reason).with_ignored_flag(true),
                None => trial,
            });
        }
    }
    trials
}

fn trial(title: String, run: fn(Setup) -> TestFuture, setup: Setup) -> Trial {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    Trial::test(title.clone(), move || {
        let clock = times::Clock::start(&title);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        postgres::make_for(number);
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2).enable_all().on_thread_start(move || postgres::make_for(number));
        let runtime = runtime.on_thread_stop(clock.of_thread()).build()?;
        // One that hangs fails, rather than keeps all others from ending.
        let ended = runtime.block_on(async { tokio::time::timeout(PATIENCE, run(setup)).await });
        drop(runtime);
        postgres::drop_those_of(number);
        clock.stop();
        ended.map_err(|_| format!("the test has not ended after {PATIENCE:?}").into())
    })
}

/// Has all files of the tests in memory, where there is room: thousands are made, of which a disk makes much work, and no
/// test is about a power cut. Whoever sets `TMPDIR` has said where.
pub fn use_memory() {
    /// In KiB. A few databases are there at once, and the log of the cluster.
    const ROOM: u64 = 4 * 1024 * 1024;
    let memory = Path::new("/dev/shm");
    let free = Command::new("df").args(["--output=avail", "-k"]).arg(memory).output();
    let free = free.ok().and_then(|free| String::from_utf8(free.stdout).ok()?.lines().nth(1)?.trim().parse().ok());
    if std::env::var_os("TMPDIR").is_none() && free.is_some_and(|free: u64| free >= ROOM) {
        tempfile::env::override_temp_dir(memory).expect("a place for temporary files that nobody has asked for yet");
    }
}
