//! What `docs/loading.md` says is so.

use std::fs;

use crate::support::{Setup, Workplace, examples::document, tests};

tests! {
    Once:
        every_command_of_the_document_prints_what_it_says,
        the_document_has_every_error_code;
}

async fn every_command_of_the_document_prints_what_it_says(_: Setup) {
    let workplace = Workplace::new();
    let demo = workplace.serve(&["--demo"]);
    let document = document("docs/loading.md");
    let consoles = document.split("```console\n$ ").skip(1).filter_map(|text| text.split("```").next());
    let mut commands = 0;
    for (command, lines) in consoles.flat_map(|console| console.split("\n$ ")).filter_map(|text| text.split_once('\n'))
    {
        if let Some(file) = command.strip_prefix("cat ") {
            fs::write(workplace.path(file), format!("{}\n", lines.trim_end())).expect("a file");
            continue;
        }
        let server =
            if command.contains("--check") { String::new() } else { format!("--server http://{}", demo.address) };
        let script = format!("export REFERRAL_EVENTS_PASSWORD=demo\n{command} {server} 2>&1 || true");
        assert_eq!(workplace.run_script(&script).trim_end(), lines.trim_end(), "{command}");
        commands += 1;
    }
    assert_eq!(commands, 3);
}

async fn the_document_has_every_error_code(_: Setup) {
    let (document, source) = (document("docs/loading.md"), document("src/load/fault.rs"));
    let names = source.split("=> \"").skip(1).filter_map(|text| text.split_once('"')).map(|(name, _)| name);
    let names: Vec<&str> =
        names.filter(|name| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(document.contains(&format!("`{name}`")), "{name}");
    }
}
