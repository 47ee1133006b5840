//! A cluster of Citus: whether its workers are there and well set, and each organisation lies on one of them.

use super::finding::Finding;
use crate::storage::{Cluster, Database, Said, Worker};

const WORKERS: &str = "workers";
const DISTRIBUTION: &str = "distribution";
const SETTINGS: &str = "cluster settings";
const COMMITS: &str = "commits in doubt";

/// How often commits in doubt should be looked for, in milliseconds.
const RECOVERY_INTERVAL: i64 = 2000;

pub async fn look(database: &Database) -> Vec<Finding> {
    match database.cluster().await {
        Ok(cluster) => vec![workers(&cluster), distribution(&cluster), settings(&cluster), commits(&cluster)],
        Err(error) => vec![Finding::failed(WORKERS, format!("Citus does not tell of its workers: {error}"))],
    }
}

fn said(cluster: &Cluster) -> impl Iterator<Item = (&str, &Said)> {
    cluster.workers.iter().filter_map(|Worker { address, said }| Some((address.as_str(), said.as_ref().ok()?)))
}

fn workers(Cluster { version, workers, .. }: &Cluster) -> Finding {
    let silent = workers.iter().filter_map(|Worker { address, said }| {
        said.as_ref().err().map(|reason| format!("{address} ({})", reason.lines().next().unwrap_or_default()))
    });
    let silent: Vec<String> = silent.collect();
    match (workers.len(), silent.is_empty()) {
        (0, _) => Finding::warning(
            WORKERS,
            format!(
                "Citus {version} has none, so the coordinator has all organisations: run: SELECT citus_add_node(…)"
            ),
        ),
        (number, true) => Finding::ok(WORKERS, format!("Citus {version} reaches all {number} of them")),
        (_, false) => Finding::failed(
            WORKERS,
            format!(
                "the coordinator does not reach {}; their organisations cannot be served until it does: look into the \
                 logs of these servers",
                silent.join(", ")
            ),
        ),
    }
}

fn distribution(Cluster { undistributed, torn, .. }: &Cluster) -> Finding {
    if let Some(tables) = undistributed {
        return Finding::failed(
            DISTRIBUTION,
            format!(
                "the coordinator alone has {tables}, which were made before Citus was installed: make a database with the \
                 extension, run migrate in it, and load the rows of this one into it"
            ),
        );
    }
    match torn {
        0 => Finding::ok(DISTRIBUTION, "each organisation lies on one worker"),
        torn => Finding::failed(
            DISTRIBUTION,
            format!(
                "of {torn} groups of shards, not all shards are on the same worker, and calls of their organisations are \
                 refused: move them together by citus_move_shard_placement"
            ),
        ),
    }
}

fn settings(cluster: &Cluster) -> Finding {
    let mut wrong = Vec::new();
    if cluster.recovery_interval < 0 || cluster.recovery_interval > RECOVERY_INTERVAL {
        wrong.push(
            "a commit in doubt holds the turn of its organisation for longer than need be: as a superuser of the \
             coordinator, run: ALTER SYSTEM SET citus.recover_2pc_interval = '2s'; SELECT pg_reload_conf()"
                .to_owned(),
        );
    }
    if cluster.propagated != "none" {
        wrong.push(
            "each transaction sends its settings to the worker again: as a superuser of the coordinator, run: ALTER SYSTEM \
             SET citus.propagate_set_commands = 'none'; SELECT pg_reload_conf()"
                .to_owned(),
        );
    }
    let of = |is_wrong: fn(&Said) -> bool| {
        said(cluster).filter(|(_, said)| is_wrong(said)).map(|(address, _)| address).collect::<Vec<_>>().join(", ")
    };
    let prepared = of(|said| said.prepared_transactions == 0);
    if !prepared.is_empty() {
        wrong.push(format!(
            "{prepared} can prepare no commit, so that no event is loaded there: set max_prepared_transactions above 0 and \
             start these servers again"
        ));
    }
    let whole = of(|said| said.reads_whole_tables);
    if !whole.is_empty() {
        wrong.push(format!(
            "{whole} may read whole tables where an index would do: as the owner of the database, run migrate, or what it \
             says where it may not"
        ));
    }
    match wrong.is_empty() {
        true => Finding::ok(SETTINGS, "they are as they should be"),
        false => Finding::warning(SETTINGS, wrong.join("; ")),
    }
}

fn commits(cluster: &Cluster) -> Finding {
    match said(cluster).map(|(_, said)| said.in_doubt).sum::<u64>() {
        0 => Finding::ok(COMMITS, "there are none that wait"),
        number => Finding::warning(
            COMMITS,
            format!(
                "{number} have waited for more than 10 s, and hold the turns of their organisations: on the coordinator, \
                 run: SELECT recover_prepared_transactions()"
            ),
        ),
    }
}
