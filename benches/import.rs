//! How fast the directory is imported: `cargo bench --bench import`.

#[path = "support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use referral_events::directory::DirectoryKind;
use support::{Bench, Engine, postgres, world};

const ROWS: u64 = 100_000;

#[tokio::main]
async fn main() {
    println!("| engine | kind | rows | new rows/s | rows/s, imported again | rows/s, changed |");
    println!("|---|---|---|---|---|---|");
    for engine in Engine::chosen() {
        let bench = Bench::new(engine).await;
        let database = bench.connect().await;
        for kind in [DirectoryKind::AccountsReceivable, DirectoryKind::RewardsParticipants, DirectoryKind::AccessTokens]
        {
            let file = world::file(kind, ROWS);
            let run = async |file: String| {
                let started = Instant::now();
                let summary = world::import(&database, &bench.hasher(), bench.organisation_id, kind, file).await;
                (summary, started.elapsed())
            };
            let (new, inserted) = run(file.clone()).await;
            let changed =
                file.replace(",ACTIVE", ",SUSPENDED").replace(",EFFECTIVE", ",NOT_EFFECTIVE").replace("AUTH", "CODE");
            let (again, unchanged) = run(file).await;
            let (other, updated) = run(changed).await;
            assert_eq!((new.inserted, again.unchanged, other.updated), (ROWS, ROWS, ROWS));
            let rate = |elapsed: Duration| ROWS as f64 / elapsed.as_secs_f64();
            let [inserted, unchanged, updated] = [inserted, unchanged, updated].map(rate);
            let (engine, kind) = (engine.name(), kind.name());
            println!("| {engine} | {kind} | {ROWS} | {inserted:.0} | {unchanged:.0} | {updated:.0} |");
        }
        database.close().await.expect("a close");
    }
    postgres::stop();
}
