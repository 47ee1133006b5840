//! The examples of `docs/api.md` are calls that are answered as it says.

use crate::support::{
    Setup, Workplace,
    examples::{Shell, document, examples},
    methods, tests,
};

tests! {
    Once: every_example_is_answered_as_the_document_says, the_document_has_every_method;
}

async fn every_example_is_answered_as_the_document_says(_: Setup) {
    let demo = Workplace::new().serve(&["--demo"]);
    let examples = examples(&document("docs/api.md"));
    assert!(examples.len() > 10);
    Shell::at(demo.address).run(examples).await;
}

async fn the_document_has_every_method(_: Setup) {
    let document = document("docs/api.md");
    for method in methods() {
        let service = method.grpc_path();
        let service = service.trim_start_matches("/referral.v1.").split('/').next().expect("a service").to_owned();
        let rpc = format!("`{service}.{}`", method.name());
        let row = document.lines().find(|line| line.contains(&rpc)).unwrap_or_else(|| panic!("{rpc} has no row"));
        let path = match method.addresses().into_iter().next() {
            Some((reqwest::Method::GET, path)) => format!("| GET `{path}` |"),
            Some((_, path)) => format!("| `{path}` |"),
            None => "| |".to_owned(),
        };
        assert!(row.contains(&path), "{row} has not {path}");
        // And a section of its own, to which the row leads.
        let anchor = row.split_once("](#").and_then(|(_, rest)| rest.split(')').next()).expect("a link");
        let is_its_heading = |line: &str| {
            line.strip_prefix("## ").is_some_and(|heading| heading.to_lowercase().replace(' ', "-") == anchor)
        };
        assert!(document.lines().any(is_its_heading), "{anchor} leads nowhere");
    }
}
