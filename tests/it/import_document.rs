//! What `docs/import.md` says is so.

use std::{fs, path::Path};

use crate::support::{Importer, Setup, tests};

tests! {
    NoCalls: every_command_of_the_document_prints_what_it_says;
    Once: the_document_has_every_error_code;
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a text")
}

async fn every_command_of_the_document_prints_what_it_says(setup: Setup) {
    let acme = Importer::new(setup);
    let document = read("docs/import.md");
    let consoles = document.split("```console\n$ ").skip(1).filter_map(|text| text.split("```").next());
    let mut commands = 0;
    for (command, lines) in consoles.flat_map(|console| console.split("\n$ ")).filter_map(|text| text.split_once('\n'))
    {
        let lines = lines.trim_end();
        if let Some(file) = command.strip_prefix("cat ") {
            acme.write(file, format!("{lines}\n"));
            continue;
        }
        let arguments: Vec<&str> = command.strip_prefix("referral-events ").expect("a command").split(' ').collect();
        let ended = acme.workplace.run(&arguments);
        assert_eq!(format!("{}{}", ended.stderr, ended.stdout).trim_end(), lines, "{command}");
        commands += 1;
    }
    assert_eq!(commands, 3);
}

async fn the_document_has_every_error_code(_: Setup) {
    let (document, source) = (read("docs/import.md"), read("src/directory/rejection.rs"));
    let names: Vec<&str> = source
        .split("=> \"")
        .filter_map(|text| text.split_once('"'))
        .map(|(name, _)| name)
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
        .collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(document.contains(&format!("`{name}`")), "{name}");
    }
}
