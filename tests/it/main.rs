//! The tests: each enters by the front door, with a server on a free port, real clients and a database of its own.
//!
//! A test is a function of a [`support::Setup`]; it runs once for each database, and for each transport where it makes
//! calls.

mod architecture;
mod authentication;
mod documented_example;
mod support;

use libtest_mimic::Arguments;

fn main() {
    let tests = [architecture::tests(), authentication::tests(), documented_example::tests()];
    let trials = tests.into_iter().flatten().flat_map(support::trials).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
