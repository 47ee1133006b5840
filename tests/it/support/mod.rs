//! What the tests stand on.

mod answer;
mod bad;
mod engine;
mod imports;
mod looking_back;
mod methods;
pub mod postgres;
mod process;
mod rows;
mod server;
mod world;

use std::pin::Pin;

use libtest_mimic::Trial;

pub use answer::Answer;
pub use bad::{Bad, with};
pub use engine::{Engine, TestDatabase};
pub use imports::{Directory, time};
pub use looking_back::numbers;
pub use methods::{Leaf, Method, fields, leaves, method, methods};
pub use process::{Ended, Process, Workplace};
pub use server::{Server, answer, envelope, message};
pub use world::{EVENT_FIELDS, event};

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
    /// The transports it runs on; a test that makes its calls itself runs on one.
    pub transports: &'static [Transport],
    pub run: fn(Setup) -> TestFuture,
}

/// `tests!(Both: a, b)` lists the tests of a module that run on both transports; `Grpc` and `Rest` those of one,
/// `NoCalls` those that need a database alone, `Once` those that need no server in this process.
macro_rules! tests {
    ($($transports:ident: $($name:ident),+;)+) => {
        pub fn tests() -> Vec<$crate::support::Test> {
            vec![$($($crate::support::Test {
                name: concat!(module_path!(), "::", stringify!($name)),
                transports: $crate::support::transports::$transports,
                run: |setup| Box::pin($name(setup)),
            }),+),+]
        }
    };
}
pub(crate) use tests;

#[allow(non_upper_case_globals)]
pub mod transports {
    use super::Transport;
    pub const Both: &[Transport] = &[Transport::Grpc, Transport::Rest];
    pub const Grpc: &[Transport] = &[Transport::Grpc];
    pub const Rest: &[Transport] = &[Transport::Rest];
    /// For a test that needs a database and no server: one run for each database.
    pub const NoCalls: &[Transport] = &[Transport::Grpc];
    /// For a test that needs neither the server nor the database of a setup.
    pub const Once: &[Transport] = &[];
}

/// The runs of a test: one for each database and transport.
pub fn trials(test: Test) -> Vec<Trial> {
    let name = test.name.trim_start_matches("it::");
    if test.transports.is_empty() {
        let setup = Setup { engine: Engine::Sqlite, transport: Transport::Grpc };
        return vec![trial(name.to_owned(), test.run, setup)];
    }
    let mut trials = Vec::new();
    for engine in Engine::ALL {
        for &transport in test.transports {
            let setup = Setup { engine, transport };
            let title = if test.transports.len() == 1 {
                format!("{name} [{engine:?}]").to_lowercase()
            } else {
                format!("{name} [{engine:?}, {transport:?}]").to_lowercase()
            };
            let trial = trial(title, test.run, setup);
            trials.push(match engine.missing() {
                Some(reason) => trial.with_kind(reason).with_ignored_flag(true),
                None => trial,
            });
        }
    }
    trials
}

fn trial(title: String, run: fn(Setup) -> TestFuture, setup: Setup) -> Trial {
    Trial::test(title, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(run(setup));
        Ok(())
    })
}
