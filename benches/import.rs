//! How fast the directory is imported: `cargo bench --bench import`.

#[path = "support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use referral_events::directory::DirectoryKind;
use support::{Bench, Engine, postgres, world};

const ROWS: u64 = 100_000;

#[tokio::main]
async fn main() {
    println!("| engine | kind | rows | new rows/s | rows/s, imported again |");
    println!("|---|---|---|---|---|");
    for engine in Engine::chosen() {
        let bench = Bench::new(engine).await;
        let database = bench.connect().await;
        for kind in [DirectoryKind::AccountsReceivable, DirectoryKind::RewardsParticipants, DirectoryKind::AccessTokens]
        {
            let file = world::file(kind, ROWS);
            let started = Instant::now();
            let new = world::import(&database, &bench.hasher(), bench.organisation_id, kind, file.clone()).await;
            let inserted = started.elapsed();
            let started = Instant::now();
            let again = world::import(&database, &bench.hasher(), bench.organisation_id, kind, file).await;
            let updated = started.elapsed();
            assert_eq!((new.inserted, again.updated), (ROWS, ROWS));
            let rate = |elapsed: Duration| ROWS as f64 / elapsed.as_secs_f64();
            println!("| {} | {} | {ROWS} | {:.0} | {:.0} |", engine.name(), kind.name(), rate(inserted), rate(updated));
        }
        database.close().await.expect("a close");
    }
    postgres::stop();
}
