//! The schema, one step a file, the same steps on SQLite and PostgreSQL.
//!
//! What holds in every step: a table that belongs to an organisation has `organisation_id` first in its primary key,
//! in every unique key and in every foreign key, so that the data can be distributed by organisation; where PostgreSQL
//! has Citus, the step that makes a table distributes it. Names, codes and numbers are unique by constraint, never by
//! looking first. Directory rows carry a narrow `key` that other rows refer to, beside the opaque `id` that callers
//! see: keys and indexes of a billion events stay small that way.

mod m20261123_000001_create_organisations;
mod m20261123_000002_create_directory;
mod m20261123_000003_create_referral_events;
mod m20261123_000004_cancel_referral_events;
mod m20261123_000005_create_idempotency_keys;
mod m20261124_000006_share_states;
mod m20261124_000007_cover_look_ups;
mod m20261124_000008_compare_bytes;
mod m20261124_000009_make_counters;
mod m20261124_000010_forget_organisations;
mod m20261126_000011_count_failed_guesses;
mod m20261126_000012_tell_programs_apart;
mod m20261126_000013_watch_the_clock;
mod m20261127_000014_manage_people;
mod m20261127_000020_keep_calls;
mod m20261127_000021_keep_unprocessed_events;
mod table;

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;
pub use table::has_citus;

/// What a transaction on PostgreSQL says before the steps, for the sake of Citus: without them it makes a table that
/// refers to one of which each machine has a copy a table of its own kind at once, and cannot change such tables in one
/// transaction. PostgreSQL without Citus takes them in silence.
pub const FOR_CITUS: [&str; 2] = [
    "SET LOCAL citus.enable_local_reference_table_foreign_keys = off",
    "SET LOCAL citus.multi_shard_modify_mode = 'sequential'",
];

/// Brings a database to the schema of this version.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_create_organisations::Migration),
            Box::new(m20261123_000002_create_directory::Migration),
            Box::new(m20261123_000003_create_referral_events::Migration),
            Box::new(m20261123_000004_cancel_referral_events::Migration),
            Box::new(m20261123_000005_create_idempotency_keys::Migration),
            Box::new(m20261124_000006_share_states::Migration),
            Box::new(m20261124_000007_cover_look_ups::Migration),
            Box::new(m20261124_000008_compare_bytes::Migration),
            Box::new(m20261124_000009_make_counters::Migration),
            Box::new(m20261124_000010_forget_organisations::Migration),
            Box::new(m20261126_000011_count_failed_guesses::Migration),
            Box::new(m20261126_000012_tell_programs_apart::Migration),
            Box::new(m20261126_000013_watch_the_clock::Migration),
            Box::new(m20261127_000014_manage_people::Migration),
            Box::new(m20261127_000020_keep_calls::Migration),
            Box::new(m20261127_000021_keep_unprocessed_events::Migration),
        ]
    }
}

/// The steps that programs can do without knowing, each with the last step that they need to know for that: a program
/// that knows the second of a pair starts on a schema that has the first. A step that is not here keeps all programs from
/// starting that do not know it. `docs/upgrading.md` says which steps belong here.
pub const COMPATIBLE: [(&str, &str); 4] = [
    ("m20261126_000013_watch_the_clock", "m20261126_000012_tell_programs_apart"),
    ("m20261127_000014_manage_people", "m20261126_000012_tell_programs_apart"),
    ("m20261127_000020_keep_calls", "m20261126_000012_tell_programs_apart"),
    ("m20261127_000021_keep_unprocessed_events", "m20261126_000012_tell_programs_apart"),
];
