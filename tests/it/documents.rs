//! Whoever follows the documents to the letter gets where they lead.

use std::fs;

use referral_events::directory::{Content, DirectoryKind, Need};

use crate::support::{
    Setup, Workplace,
    examples::{Shell, blocks, document, examples},
    tests,
};

tests! {
    Once:
        the_readme_and_then_the_api_can_be_tried_on_one_demo,
        whoever_runs_it_as_the_readme_says_has_a_service_that_creates_events,
        every_command_of_the_documents_is_one_that_there_is,
        people_and_keys_are_managed_as_the_document_says,
        the_first_hour_of_an_operator_goes_as_the_document_says,
        every_alert_has_its_remedy,
        the_directory_has_the_columns_that_its_document_says;
}

/// A section of a document, with its heading and those of its parts.
fn section(document: &str, heading: &str) -> String {
    let heading = format!("## {heading}\n");
    let (_, rest) = document.split_once(&heading).unwrap_or_else(|| panic!("no {heading}"));
    format!("{heading}{}", rest.split("\n## ").next().expect("a section"))
}

async fn the_readme_and_then_the_api_can_be_tried_on_one_demo(_: Setup) {
    let readme = document("README.md");
    let first = &blocks(&readme)[0].text;
    let arguments = first.strip_prefix("cargo run --release -- serve ").expect("the first command");
    let demo = Workplace::new().serve(&arguments.split(' ').collect::<Vec<_>>());
    let mut shell = Shell::at(demo.address);
    for (document, is_first) in [(section(&readme, "Try it"), true), (document("docs/api.md"), false)] {
        shell.has_its_numbers = is_first;
        let examples = examples(&document);
        assert!(examples.len() >= 3);
        shell.run(examples).await;
    }
}

async fn whoever_runs_it_as_the_readme_says_has_a_service_that_creates_events(_: Setup) {
    let section = section(&document("README.md"), "Run it");
    let script = &blocks(&section)[0].text;
    let lines: Vec<&str> = script.lines().collect();
    let [build, path, commands @ .., serve] = &lines[..] else { panic!("{script}") };
    assert_eq!((*build, *path), ("cargo build --release", "PATH=\"$PWD/target/release:$PATH\""));
    let workplace = Workplace::new();
    workplace.run_script(&commands.join("\n"));
    let server = workplace.start_with(serve.strip_prefix("referral-events serve").expect("the last command"));
    let examples = examples(&section);
    assert_eq!(examples.len(), 2);
    let mut shell = Shell::at(server.address);
    shell.has_its_numbers = true;
    shell.run(examples).await;
}

async fn every_command_of_the_documents_is_one_that_there_is(_: Setup) {
    let workplace = Workplace::new();
    let benches = document("Cargo.toml");
    let folder = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).expect("a folder");
    let files = folder.map(|file| file.expect("a file")).filter(|file| file.path().is_file());
    let names = files.map(|file| format!("docs/{}", file.file_name().to_string_lossy()));
    let mut commands = 0;
    for name in names.chain(["README.md".to_owned()]) {
        let text = document(&name);
        let spans = text.split('`').skip(1).step_by(2).filter(|span| !span.contains('\n'));
        for line in text.lines().map(str::trim).chain(spans) {
            if let Some(arguments) = line.strip_prefix("referral-events ") {
                commands += 1;
                // What is there for `--help` to tell of is read before it; the rest of a line may be a place for a value.
                let words = arguments.split(' ').take_while(|word| !word.contains(['[', '|']));
                let script = format!("referral-events {} --help", words.collect::<Vec<_>>().join(" "));
                workplace.run_script(&script);
            }
            if let Some((_, bench)) = line.split_once("cargo bench --bench ") {
                commands += 1;
                let bench = bench.split([' ', '`']).next().expect("a name");
                assert!(benches.contains(&format!("[[bench]]\nname = \"{bench}\"")), "{name}: {line}");
            }
        }
    }
    assert!(commands > 10, "{commands}");
}

async fn people_and_keys_are_managed_as_the_document_says(_: Setup) {
    let workplace = Workplace::new();
    workplace.run_well(&["organisation", "add", "acme"], "");
    workplace.run_well(&["import", "--organisation", "acme", "units", "-"], "alternative_code,name\nU1,Shop\n");
    let document = document("docs/security.md");
    let mut commands = 0;
    for heading in ["People", "Keys"] {
        for line in section(&document, heading).lines().filter(|line| line.starts_with("    referral-events ")) {
            commands += 1;
            workplace.run_script(&format!("echo 'seven green kettles' | {line}"));
        }
    }
    assert_eq!(commands, 15);
}

async fn the_first_hour_of_an_operator_goes_as_the_document_says(_: Setup) {
    let workplace = Workplace::new();
    let server = workplace.serve(&["--admin-listen", "127.0.0.1:0"]);
    let (address, admin) = (server.address.to_string(), server.admin().await.to_string());
    let section = section(&document("docs/operations.md"), "The first hour");
    let commands = &blocks(&section)[0].text;
    assert_eq!(commands.lines().count(), 7);
    let commands = commands.replace("127.0.0.1:50051", &address).replace("127.0.0.1:50052", &admin);
    let told = workplace.run_script(&format!("export REFERRAL_EVENTS_LISTEN={address}\n{commands}"));
    assert!(told.contains(&format!("{address} is taken by this service, which serves")), "{told}");
    assert!(told.contains("added the user shop of acme") && told.contains(r#""ready":true"#), "{told}");
    assert!(told.contains("grpc_server_started_total{"), "{told}");
}

/// Each alert has its line in the document for operators.
async fn every_alert_has_its_remedy(_: Setup) {
    let alerts = document("deploy/prometheus/alerts.yaml");
    let alerts: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let section = section(&document("docs/operations.md"), "Alerts");
    let told: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| Referral"))
        .filter_map(|line| line.split(" |").next())
        .collect();
    assert!(!alerts.is_empty());
    assert_eq!(told, alerts.iter().filter_map(|name| name.strip_prefix("Referral")).collect::<Vec<_>>());
}

async fn the_directory_has_the_columns_that_its_document_says(_: Setup) {
    let document = document("docs/directory.md");
    let code = |text: &str| -> Vec<String> { text.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let rows: Vec<Vec<&str>> = document
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').collect())
        .collect();
    let (kinds, states): (Vec<&Vec<&str>>, Vec<&Vec<&str>>) = rows.iter().partition(|row| row.len() == 3);
    let documented: Vec<String> = kinds.iter().flat_map(|row| code(row[0])).collect();
    assert_eq!(documented, DirectoryKind::ALL.map(|kind| kind.name().to_owned()), "in the order of importing");
    for (kind, row) in DirectoryKind::ALL.into_iter().zip(kinds) {
        assert!(row[1].contains(&format!("**`{}`**", kind.natural_key())), "{row:?}");
        let columns = |is_mandatory: bool| -> Vec<String> {
            let columns = kind.columns().iter().filter(|column| (column.need == Need::Mandatory) == is_mandatory);
            columns.map(|column| column.name.to_owned()).collect()
        };
        assert_eq!(code(row[1]), columns(true), "{kind}");
        assert_eq!(code(row[2]), columns(false), "{kind}");
        for column in kind.columns() {
            let Content::State(names) = column.content else { continue };
            let row = states.iter().find(|row| code(row[0]) == [kind.name()]).expect("a row of states");
            assert_eq!(code(row[1]), names);
            assert_eq!(column.need, Need::Default(names[0]));
        }
    }
}
