//! The tests: each enters by the front door, with a server on a free port, real clients and a database of its own.
//!
//! A test is a function of a [`support::Setup`]; it runs once for each database, and for each transport where it makes
//! calls.

mod access_tokens;
mod architecture;
mod attributes;
mod authentication;
mod circles;
mod command_line;
mod documented_example;
mod durability;
mod identifiers;
mod model;
mod one_time_passwords;
mod performed_by;
mod precedence;
mod replays;
mod rules;
mod secrets;
mod statements;
mod support;

use libtest_mimic::Arguments;

fn main() {
    let tests = [
        access_tokens::tests(),
        architecture::tests(),
        attributes::tests(),
        authentication::tests(),
        circles::tests(),
        command_line::tests(),
        documented_example::tests(),
        durability::tests(),
        identifiers::tests(),
        model::tests(),
        one_time_passwords::tests(),
        performed_by::tests(),
        precedence::tests(),
        replays::tests(),
        rules::tests(),
        secrets::tests(),
        statements::tests(),
    ];
    let trials = tests.into_iter().flatten().flat_map(support::trials).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
