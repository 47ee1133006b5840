//! New passwords: which are taken, and how they are asked for on a terminal.

use std::{fs::File, io::Write};

use crate::support::{OnTerminal, Setup, Workplace, signal, tests};

tests! {
    Once:
        a_new_password_is_not_one_that_is_guessed,
        on_a_terminal_a_password_is_asked_for_twice_and_not_shown;
}

const PASSWORD: &str = "seven green kettles";

async fn a_new_password_is_not_one_that_is_guessed(_: Setup) {
    let workplace = Workplace::new();
    workplace.add_caller(PASSWORD);
    workplace.run_well(&["organisation", "add", "umbrella-corporation"], "");
    let length = "error: the password must have 12 to 1000 characters\n";
    let repetition = "error: the password repeats a few characters: at least 5 different ones are needed\n";
    let guessable = "error: the password is one of those that are tried first, the name of the user or of the \
                     organisation, or little more than that: choose another\n";
    let long = "x1y2z".repeat(201);
    let cases = [
        ("short", length),
        ("elevenchars", length),
        ("pässwörtär1", length),
        (&long, length),
        ("aaaaaaaaaaaa", repetition),
        ("121212121212", repetition),
        ("abcabcabcabc", repetition),
        ("password1234", guessable),
        ("Password1234", guessable),
        ("P@ssw0rd!234", guessable),
        ("passwordpassword", guessable),
        ("123456789012", guessable),
        ("qwertyuiop12", guessable),
        ("1q2w3e4r5t6y", guessable),
        ("iloveyou2024", guessable),
        ("administrator", guessable),
        ("Christopher1", guessable),
        ("christopher christopher", guessable),
        ("Umbrella-Corporation", guessable),
        ("umbrella-corporation-1", guessable),
    ];
    let add = ["user", "add", "christopher", "--organisation", "umbrella-corporation", "--role", "caller"];
    for (password, message) in cases {
        let ended = workplace.run_with_input(&add, &format!("{password}\n"));
        assert_eq!((ended.code, ended.stderr.as_str(), ended.stdout.as_str()), (Some(1), message, ""), "{password}");
    }
    workplace.run_well(&add, &format!("{PASSWORD}\n"));
    let change = ["user", "password", "christopher", "--organisation", "umbrella-corporation"];
    for (password, message) in cases {
        let ended = workplace.run_with_input(&change, &format!("{password}\n"));
        assert_eq!((ended.code, ended.stderr.as_str(), ended.stdout.as_str()), (Some(1), message, ""), "{password}");
    }
    let server = workplace.serve(&[]);
    let name = "christopher";
    server.login_as("umbrella-corporation", name, PASSWORD).await;
    for password in ["twelve chars", "correct-horse-battery-staple", "tr0ub4dor&3-sunshine", "påsken är här!"] {
        workplace.run_well(&change, &format!("{password}\n"));
        server.login_as("umbrella-corporation", name, password).await;
    }
}

const INTERRUPT: &str = "\u{3}";

/// Runs a command on a terminal where somebody types; answers how it ended, and what the terminal showed.
fn run_on_terminal(workplace: &Workplace, arguments: &[&str], typed: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = OnTerminal::start(workplace, arguments);
    for (question, answer) in typed {
        while !command.shown().contains(question) && command.look() {}
        assert!(command.shown().contains(question), "{}", command.shown());
        // It is asked before the echo is turned off, which drops what was typed until then.
        while echoes(&command.terminal) {
            std::thread::yield_now();
        }
        match *answer {
            INTERRUPT => signal("INT", &[command.child.id()]),
            answer => command.terminal.write_all(answer.as_bytes()).expect("a terminal"),
        }
    }
    while command.look() {}
    assert!(echoes(&command.terminal), "the terminal is left as it was: {}", command.shown());
    command.end()
}

fn echoes(terminal: &File) -> bool {
    let settings = nix::sys::termios::tcgetattr(terminal).expect("a terminal");
    settings.local_flags.contains(nix::sys::termios::LocalFlags::ECHO)
}

async fn on_a_terminal_a_password_is_asked_for_twice_and_not_shown(_: Setup) {
    let workplace = Workplace::new();
    workplace.run_well(&["organisation", "add", "acme"], "");
    let add = ["user", "add", "carla", "--organisation", "acme", "--role", "caller"];
    let (first, again) = ("new password of carla: ", "the same again: ");
    let typed = |password: &'static str| [(first, password), (again, "seven green kettles\n")];

    let (code, shown) = run_on_terminal(&workplace, &add, &typed("seven green kettle\n"));
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.ends_with("error: the second one differs; nothing was changed\r\n"), "{shown}");
    // What is refused is asked for but once.
    let (code, shown) = run_on_terminal(&workplace, &add, &[(first, "short\n")]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("12 to 1000 characters") && !shown.contains(again), "{shown}");
    assert_eq!(workplace.run_well(&["user", "list", "--json"], "").stdout, "[]\n");

    let (code, shown) = run_on_terminal(&workplace, &add, &typed("seven green kettles\n"));
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.ends_with("added the user carla of acme\r\n"), "{shown}");
    assert!(!shown.contains("kettle"), "{shown}");
    let server = workplace.serve(&[]);
    server.login(PASSWORD).await;

    // Whoever changes their mind leaves the terminal as it was, and everything else.
    let change = ["user", "password", "carla", "--organisation", "acme"];
    let (code, shown) = run_on_terminal(&workplace, &change, &[(first, INTERRUPT)]);
    assert_eq!(code, Some(1), "{shown}");
    server.login(PASSWORD).await;
}
