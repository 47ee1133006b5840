//! What is made of the definition of the command line: completions of shells, and pages of the manual.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::support::{Setup, Workplace, tests};

tests! {
    Once:
        completions_are_read_by_their_shells_and_know_every_setting,
        bash_completes_commands_and_settings,
        each_command_has_a_page_of_the_manual_with_all_its_settings,
        a_page_of_no_command_is_refused_with_the_commands_that_there_are;
}

/// Runs a program on a text; `None` where there is no such program.
fn pipe(program: &str, arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    // It writes while it reads.
    let mut writer = child.stdin.take().expect("an input");
    let input = input.to_owned();
    let writing = std::thread::spawn(move || _ = writer.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("an output");
    writing.join().expect("an end");
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8(said).expect("UTF-8")))
}

/// The flags of a command, as its help has them.
fn flags(workplace: &Workplace, command: &[&str]) -> Vec<String> {
    let help = workplace.run_well(&[command, &["--help"]].concat(), "").stdout;
    let begins = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let flags = begins.filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")));
    flags.map(str::to_owned).collect()
}

async fn completions_are_read_by_their_shells_and_know_every_setting(_: Setup) {
    let workplace = Workplace::new();
    let settings = flags(&workplace, &["serve"]);
    assert!(settings.len() > 20, "{settings:?}");
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = workplace.run_well(&["completions", shell], "").stdout;
        for setting in &settings {
            let name = if shell == "fish" { format!("-l {}", &setting[2..]) } else { setting.clone() };
            assert!(script.contains(&name), "{shell}: {setting}");
        }
        if let Some((is_read, said)) = pipe(shell, &["-n"], &script) {
            assert!(is_read && said.is_empty(), "{shell}: {said}");
        }
    }
    let ended = workplace.run(&["completions", "tcl"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("bash, elvish, fish, powershell, zsh"), "{ended:?}");
}

async fn bash_completes_commands_and_settings(_: Setup) {
    let workplace = Workplace::new();
    let script = workplace.run_well(&["completions", "bash"], "").stdout;
    for (words, completed) in [
        ("referral-events ser", "serve"),
        ("referral-events serve --idempotency-r", "--idempotency-retention"),
        ("referral-events config sh", "show"),
    ] {
        let last = words.split(' ').count() - 1;
        let (word, before) =
            (words.split(' ').next_back().expect("a word"), words.split(' ').nth_back(1).expect("a word"));
        let ask = format!(
            "{script}\nCOMP_WORDS=({words})\nCOMP_CWORD={last}\n\
             $(complete -p referral-events | sed 's/.*-F \\([^ ]*\\).*/\\1/') referral-events '{word}' '{before}'\n\
             echo \"<${{COMPREPLY[*]}}>\"\n"
        );
        let Some((_, said)) = pipe("bash", &["--norc", "-s"], &ask) else { return };
        assert!(said.contains(&format!("<{completed}>")), "{words}: {said}");
    }
}

async fn each_command_has_a_page_of_the_manual_with_all_its_settings(_: Setup) {
    let workplace = Workplace::new();
    let commands = [
        "",
        "serve",
        "migrate",
        "import",
        "organisation",
        "organisation add",
        "user",
        "user add",
        "doctor",
        "health",
        "config",
        "config show",
        "completions",
        "man",
    ];
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        let page = workplace.run_well(&[&["man"], &words[..]].concat(), "").stdout;
        let name = [&["referral-events"], &words[..]].concat().join("-");
        assert!(page.contains(&format!(".TH {name} 1")), "{page}");
        let plain = page.replace('\\', "");
        for flag in flags(&workplace, &words) {
            assert!(plain.contains(&flag), "{name}: {flag}");
        }
        if let Some((is_read, said)) = pipe("groff", &["-man", "-Tascii", "-ww", "-z"], &page) {
            assert!(is_read && !said.contains("error"), "{name}: {said}");
        }
    }
    let page = workplace.run_well(&["man", "serve"], "").stdout.replace('\\', "");
    // What the short help leaves out has its text here, and its variable.
    assert!(page.contains("How long a call may take, in seconds (1 to 86400)"), "{page}");
    assert!(page.contains("REFERRAL_EVENTS_TIME_LIMIT"), "{page}");
}

async fn a_page_of_no_command_is_refused_with_the_commands_that_there_are(_: Setup) {
    let ended = Workplace::new().run(&["man", "user", "remove"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        ended.stderr,
        "error: there is no command remove; there are list, add, password, role, disable, enable\n"
    );
}
