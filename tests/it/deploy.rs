//! What is in `deploy/` names nothing that the program does not have.

use std::{collections::BTreeSet, fs, path::Path};

use crate::support::{Setup, Workplace, examples::document, tests};

tests! {
    Once:
        every_flag_and_variable_of_the_deployment_is_one_that_there_is,
        every_metric_of_the_alerts_and_the_dashboard_is_one_that_there_is,
        the_file_of_settings_that_is_installed_can_be_used,
        versions_are_the_same_everywhere;
}

/// Each file of the deployment, with its name.
fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push((path.display().to_string(), fs::read_to_string(path).expect("a text"))),
            }
        }
    }
    assert!(files.len() > 10, "{files:?}");
    files
}

/// The words of these characters that begin like this.
fn words<'a>(text: &'a str, begin: &str, is_of_word: fn(char) -> bool) -> BTreeSet<&'a str> {
    text.split(|c| !is_of_word(c)).filter(|word| word.len() > begin.len() && word.starts_with(begin)).collect()
}

async fn every_flag_and_variable_of_the_deployment_is_one_that_there_is(_: Setup) {
    let workplace = Workplace::new();
    let help: String = ["serve", "migrate", "doctor", "health"]
        .map(|command| workplace.run_well(&[command, "--help"], "").stdout)
        .concat();
    let flag = |c: char| c.is_ascii_lowercase() || c == '-';
    let variable = |c: char| c.is_ascii_uppercase() || c == '_';
    let (flags, variables) = (words(&help, "--", flag), words(&help, "REFERRAL_EVENTS_", variable));
    // Those of the programs that commands in comments call.
    let of_others = [
        "--file",
        "--tag",
        "--release",
        "--locked",
        "--from",
        "--chown",
        "--interval",
        "--timeout",
        "--start-period",
        "--mode",
        "--recursive",
        "--build",
        "--username",
        "--namespace",
        "--from-literal",
        "--cert",
        "--key",
        "--ignore-not-found",
        "--kustomize",
        "--help",
    ];
    let mut found = 0;
    for (name, text) in files().iter().filter(|(name, _)| !name.contains("/debian/")) {
        for word in words(text, "--", flag) {
            assert!(flags.contains(word) || of_others.contains(&word), "{name}: {word}");
            found += usize::from(flags.contains(word));
        }
        for word in words(text, "REFERRAL_EVENTS_", variable) {
            assert!(variables.contains(word), "{name}: {word}");
            found += 1;
        }
    }
    assert!(found > 10, "{found}");
}

async fn every_metric_of_the_alerts_and_the_dashboard_is_one_that_there_is(_: Setup) {
    let workplace = Workplace::new();
    let server = workplace.serve(&["--admin-listen", "127.0.0.1:0"]);
    server.wait_for_output("serving /metrics").await;
    let output = server.output();
    let line = output.lines().find(|line| line.starts_with("serving /metrics")).expect("a line");
    let address = line.rsplit(' ').next().expect("an address");
    let answer = reqwest::get(format!("http://{address}/metrics")).await.expect("an answer");
    let metrics = answer.text().await.expect("a text");
    let metric = |c: char| c.is_ascii_lowercase() || c == '_';
    let mut found = BTreeSet::new();
    for name in
        ["deploy/prometheus/alerts.yaml", "deploy/prometheus/alerts.test.yaml", "deploy/grafana/referral-events.json"]
    {
        let text = document(name);
        for begin in ["referral_events_", "grpc_server_", "http_server_"] {
            for word in words(&text, begin, metric) {
                // A cluster of Citus alone has it.
                let is_there = word == "referral_events_shard_lost"
                    || metrics.lines().any(|line| {
                        let rest = line.strip_prefix(word);
                        // A histogram may be named as a whole.
                        rest.is_some_and(|rest| rest.starts_with(['{', ' ']) || rest.starts_with("_bucket{"))
                    });
                assert!(is_there, "{name}: {word}");
                found.insert(word.to_owned());
            }
        }
    }
    assert!(found.len() > 10, "{found:?}");
}

async fn the_file_of_settings_that_is_installed_can_be_used(_: Setup) {
    let workplace = Workplace::new();
    let name = "referral-events.toml";
    fs::write(workplace.path(name), document("deploy/systemd/referral-events.toml")).expect("a file");
    let shown = workplace.run_well(&["config", "show", "--config", name], "").stdout;
    assert_eq!(shown.lines().filter(|line| line.ends_with(&format!("# {name}"))).count(), 2, "{shown}");
    // What it has of its own are the defaults.
    let default = workplace.run_well(&["config", "show"], "").stdout;
    assert_eq!(shown.replace(&format!("# {name}"), "# default"), default);
}

async fn versions_are_the_same_everywhere(_: Setup) {
    let rust = env!("CARGO_PKG_RUST_VERSION");
    assert!(document("deploy/Dockerfile").contains(&format!("FROM rust:{rust}.")));
    let release = document(".github/workflows/release.yml");
    assert!(
        release.contains(&format!("rustup toolchain install {rust}."))
            && release.contains(&format!("rustup default {rust}."))
    );
    let tag = format!("newTag: {}\n", env!("CARGO_PKG_VERSION"));
    assert!(document("deploy/kubernetes/kustomization.yaml").contains(&tag));
}
