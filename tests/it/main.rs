//! The tests: each enters by the front door, with a server on a free port, real clients and a database of its own.
//!
//! A test is a function of a [`support::Setup`]; it runs once for each database, and for each transport where it makes
//! calls.

mod access;
mod access_tokens;
mod admin;
mod answer_sizes;
mod api_examples;
mod arbitrary_events;
mod architecture;
mod archive_runs;
mod archives;
mod around_events;
mod attributes;
mod authentication;
mod backups;
mod bad_events;
mod bad_json;
mod bad_messages;
mod broken_talk;
mod budget;
mod cancelling;
mod chains;
mod circles;
mod citus;
mod client;
mod clocks;
mod command_line;
mod config_file;
mod connection_places;
mod connections;
mod database_faults;
mod demo;
mod deploy;
mod description;
mod descriptors;
mod details;
mod directory_imports;
mod directory_rows;
mod directory_states;
mod discovery;
mod doctor;
mod doctor_database;
mod documented_example;
mod documents;
mod durability;
mod envelope;
mod error_catalogue;
mod fields_set;
mod frozen_replicas;
mod full_disks;
mod generated;
mod groups;
mod guessing_codes;
mod guessing_passwords;
mod hang_ups;
mod health;
mod health_command;
mod help;
mod idempotency;
mod identifiers;
mod import_command;
mod import_dates;
mod import_document;
mod import_files;
mod import_formats;
mod import_kinds;
mod import_quotes;
mod import_rejected;
mod import_rows;
mod import_runs;
mod interleavings;
mod isolation;
mod key_commands;
mod key_rotation;
mod keys;
mod limits;
mod list_filters;
mod list_pages;
mod list_refusals;
mod load_bad_files;
mod load_crashes;
mod load_document;
mod load_files;
mod load_kills;
mod load_limits;
mod load_moves;
mod load_own_files;
mod load_runs;
mod load_stops;
mod load_under_way;
mod loads;
mod log_lines;
mod logging;
mod looking_back;
mod messages;
mod metrics;
mod migrations;
mod model;
mod neighbours;
mod new_passwords;
mod one_event;
mod one_time_passwords;
mod origins;
mod packed_bodies;
mod pages;
mod party_states;
mod people;
mod performed_by;
mod plans;
mod pooler;
mod precedence;
mod protocols;
mod races;
mod reading_bounds;
mod referral_trees;
mod refusal_sentences;
mod refusals;
mod rehearsal;
mod releases;
mod replays;
mod request_ids;
mod rules;
mod secrets;
mod setting_values;
mod show;
mod slow_callers;
mod spoilt_rows;
mod spoilt_sessions;
mod sqlite_files;
mod start_up;
mod statements;
mod stopping;
mod support;
mod tls;
mod tls_files;
mod tokens;
mod traces;
mod unknown_names;
mod unprocessed;
mod unprocessed_lists;
mod unseen_organisations;
mod upgrades;

use libtest_mimic::Arguments;
use support::{Engine, postgres, times};

fn main() {
    let tests = [
        access::tests(),
        access_tokens::tests(),
        admin::tests(),
        answer_sizes::tests(),
        api_examples::tests(),
        arbitrary_events::tests(),
        architecture::tests(),
        archive_runs::tests(),
        archives::tests(),
        around_events::tests(),
        attributes::tests(),
        authentication::tests(),
        backups::tests(),
        bad_events::tests(),
        bad_json::tests(),
        bad_messages::tests(),
        broken_talk::tests(),
        budget::tests(),
        cancelling::tests(),
        chains::tests(),
        circles::tests(),
        citus::tests(),
        client::tests(),
        clocks::tests(),
        command_line::tests(),
        config_file::tests(),
        connection_places::tests(),
        connections::tests(),
        database_faults::tests(),
        demo::tests(),
        deploy::tests(),
        description::tests(),
        descriptors::tests(),
        details::tests(),
        directory_imports::tests(),
        directory_rows::tests(),
        directory_states::tests(),
        discovery::tests(),
        doctor::tests(),
        doctor_database::tests(),
        documented_example::tests(),
        documents::tests(),
        durability::tests(),
        envelope::tests(),
        error_catalogue::tests(),
        fields_set::tests(),
        frozen_replicas::tests(),
        full_disks::tests(),
        generated::tests(),
        groups::tests(),
        guessing_codes::tests(),
        guessing_passwords::tests(),
        hang_ups::tests(),
        health::tests(),
        health_command::tests(),
        help::tests(),
        idempotency::tests(),
        identifiers::tests(),
        import_command::tests(),
        import_dates::tests(),
        import_document::tests(),
        import_files::tests(),
        import_formats::tests(),
        import_kinds::tests(),
        import_quotes::tests(),
        import_rejected::tests(),
        import_rows::tests(),
        import_runs::tests(),
        interleavings::tests(),
        isolation::tests(),
        key_commands::tests(),
        key_rotation::tests(),
        keys::tests(),
        limits::tests(),
        list_filters::tests(),
        list_pages::tests(),
        list_refusals::tests(),
        load_bad_files::tests(),
        load_crashes::tests(),
        load_document::tests(),
        load_files::tests(),
        load_kills::tests(),
        load_limits::tests(),
        load_moves::tests(),
        load_own_files::tests(),
        load_runs::tests(),
        load_stops::tests(),
        load_under_way::tests(),
        loads::tests(),
        log_lines::tests(),
        logging::tests(),
        looking_back::tests(),
        messages::tests(),
        metrics::tests(),
        migrations::tests(),
        model::tests(),
        neighbours::tests(),
        new_passwords::tests(),
        one_event::tests(),
        one_time_passwords::tests(),
        origins::tests(),
        packed_bodies::tests(),
        pages::tests(),
        party_states::tests(),
        people::tests(),
        performed_by::tests(),
        plans::tests(),
        pooler::tests(),
        precedence::tests(),
        protocols::tests(),
        races::tests(),
        reading_bounds::tests(),
        referral_trees::tests(),
        refusal_sentences::tests(),
        refusals::tests(),
        rehearsal::tests(),
        releases::tests(),
        replays::tests(),
        request_ids::tests(),
        rules::tests(),
        secrets::tests(),
        setting_values::tests(),
        show::tests(),
        slow_callers::tests(),
        spoilt_rows::tests(),
        spoilt_sessions::tests(),
        sqlite_files::tests(),
        start_up::tests(),
        statements::tests(),
        stopping::tests(),
        tls::tests(),
        tls_files::tests(),
        tokens::tests(),
        traces::tests(),
        unknown_names::tests(),
        unprocessed::tests(),
        unprocessed_lists::tests(),
        unseen_organisations::tests(),
        upgrades::tests(),
    ];
    if let (Some(reason), Ok("1")) = (Engine::Pgbouncer.missing(), std::env::var("REQUIRE_POSTGRES").as_deref()) {
        eprintln!("REQUIRE_POSTGRES is set, but: {reason}");
        std::process::exit(1);
    }
    support::use_memory();
    let trials = tests.into_iter().flatten().flat_map(support::trials).collect();
    let mut arguments = Arguments::from_args();
    // Most of a test's time is waiting: for a limit, for a process to start, for a database.
    let threads = std::thread::available_parallelism().map_or(8, |cores| 4 * cores.get());
    arguments.test_threads.get_or_insert(threads);
    let conclusion = libtest_mimic::run(&arguments, trials);
    postgres::stop();
    times::print();
    conclusion.exit();
}
