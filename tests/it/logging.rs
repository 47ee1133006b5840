//! The log is for whoever reads it; that nobody does, or can, is no call's affair.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, PipeReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Stdio,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{Process, Setup, Workplace, event, tests};

tests! {
    Once:
        calls_are_answered_while_nobody_reads_the_log,
        calls_are_answered_when_the_log_is_closed,
        calls_are_answered_when_the_log_has_no_room_on_its_disk,
        a_server_whose_output_is_closed_serves,
        commands_whose_output_is_closed_do_their_work,
        a_command_fails_where_what_it_says_cannot_be_written,
        lines_that_found_no_place_are_counted,
        lines_that_could_not_be_written_are_counted,
        who_leaves_in_the_middle_of_a_body_is_no_failure_of_the_server;
}

/// Asks for `requests` paths that are not there, which is a line of the log each, eight at a time. Each is answered.
async fn ask(server: &Process, requests: usize) {
    const CALLERS: usize = 8;
    let url = format!("http://{}/nowhere", server.address);
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let (client, url) = (reqwest::Client::new(), url.clone());
        callers.spawn(async move {
            for _ in (caller..requests).step_by(CALLERS) {
                let request = client.get(&url).timeout(Duration::from_secs(60));
                assert_eq!(request.send().await.expect("an answer").status(), 404);
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.expect("answers");
    }
}

/// A thousand requests, and a call that stores: more than a pipe holds of the lines about them.
async fn ask_and_stop(mut server: Process) {
    ask(&server, 1000).await;
    let token = server.login("seven green kettles").await;
    let request = json!({"token": token, "referral_customer_events_set": [event("1", "01", "02")]});
    let answer = server.post("customer_events/bulk/referrals/create", &request).await;
    answer.assert_outcome(&[], &[("1", "UnitNotFound")]);
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
}

fn workplace() -> Workplace {
    let workplace = Workplace::new();
    workplace.add_caller("seven green kettles");
    workplace
}

async fn calls_are_answered_while_nobody_reads_the_log(_: Setup) {
    let (_unread, log) = io::pipe().expect("a pipe");
    ask_and_stop(workplace().serve_logging_to(log.into())).await;
}

fn closed() -> Stdio {
    io::pipe().expect("a pipe").1.into()
}

async fn calls_are_answered_when_the_log_is_closed(_: Setup) {
    ask_and_stop(workplace().serve_logging_to(closed())).await;
}

async fn calls_are_answered_when_the_log_has_no_room_on_its_disk(_: Setup) {
    let full = File::options().write(true).open("/dev/full").expect("a device");
    ask_and_stop(workplace().serve_logging_to(full.into())).await;
}

async fn a_server_whose_output_is_closed_serves(_: Setup) {
    let workplace = workplace();
    for arguments in [&[][..], &["--demo"]] {
        // It cannot say where it serves, so it is told.
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let listen = port.to_string();
        let arguments = [&["serve", "--listen", &listen], arguments].concat();
        let mut server = Process::unheard(workplace.spawn(&arguments, closed(), closed()), port);
        let started = Instant::now();
        while std::net::TcpStream::connect(port).is_err() {
            assert!(started.elapsed() < Duration::from_secs(60), "the server does not start");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        ask(&server, 10).await;
        server.terminate();
        assert_eq!(server.ended().await.code(), Some(0), "{arguments:?}");
    }
}

async fn commands_whose_output_is_closed_do_their_work(_: Setup) {
    let workplace = Workplace::new();
    let run = |arguments: &[&str]| workplace.spawn(arguments, closed(), closed()).wait().expect("an end").code();
    assert_eq!(run(&["migrate"]), Some(0));
    assert_eq!(run(&["organisation", "add", "acme"]), Some(0));
    // One that fails says so as it can: by its code.
    assert_eq!(run(&["organisation", "add", "acme"]), Some(1));
    assert_eq!(run(&["serve", "--log", "no=such=level"]), Some(1));
}

/// Reads a log from now on, whole lines at a time.
fn read(log: impl Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            kept.lock().expect("a lock").push(line);
        }
    });
    lines
}

/// Reads the log of a server that was asked `asked` times, and expects it to say how many of the lines are missing.
async fn expect_the_missing_to_be_counted(server: &Process, log: impl Read + Send + 'static, asked: usize) {
    let lines = read(log);
    let started = Instant::now();
    let mut asked = asked;
    let dropped: usize = loop {
        let told = lines.lock().expect("a lock").iter().find_map(|line| {
            let line: Value = serde_json::from_str(line).expect("an object");
            let message = line["message"].as_str().expect("a message");
            let dropped = message.strip_suffix(" lines of the log were dropped")?;
            assert_eq!((&line["level"], &line["target"]), (&json!("WARN"), &json!("referral_events::logging")));
            dropped.parse().ok()
        });
        if let Some(dropped) = told {
            break dropped;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "nothing is said of lines that are missing");
        ask(server, 1).await;
        asked += 1;
    };
    assert!(dropped > 0);
    // What comes from now on gets through; then every request has a line, or is one of those that were counted.
    ask(server, 1).await;
    asked += 1;
    loop {
        let answered =
            lines.lock().expect("a lock").iter().filter(|line| line.contains("\"message\":\"answered\"")).count();
        if answered + dropped == asked {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{answered} lines and {dropped} dropped of {asked}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn lines_that_found_no_place_are_counted(_: Setup) {
    let (unread, log): (PipeReader, _) = io::pipe().expect("a pipe");
    let workplace = Workplace::new();
    let server = workplace.serve_logging_to(log.into());
    // More than wait at most, and than a pipe holds.
    const REQUESTS: usize = 10_000;
    ask(&server, REQUESTS).await;
    expect_the_missing_to_be_counted(&server, unread, REQUESTS).await;
}

async fn lines_that_could_not_be_written_are_counted(_: Setup) {
    // One that refuses what it has no room for, as a disk does, and takes more when there is room again.
    let (unread, log) = UnixStream::pair().expect("a pair");
    log.set_nonblocking(true).expect("a mode");
    let workplace = Workplace::new();
    let server = workplace.serve_logging_to(OwnedFd::from(log).into());
    const REQUESTS: usize = 4000;
    ask(&server, REQUESTS).await;
    expect_the_missing_to_be_counted(&server, unread, REQUESTS).await;
}

async fn who_leaves_in_the_middle_of_a_body_is_no_failure_of_the_server(_: Setup) {
    let workplace = workplace();
    let server = workplace.serve(&[]);
    let mut caller = TcpStream::connect(&server.address).expect("a connection");
    let head = "POST /authentication/token HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n{";
    caller.write_all(head.as_bytes()).expect("a part");
    drop(caller);
    server.wait_for_output("\"code\":\"400\"").await;
    assert!(!server.output().contains("ERROR"), "{}", server.output());
}

async fn a_command_fails_where_what_it_says_cannot_be_written(_: Setup) {
    let workplace = Workplace::new();
    workplace.add_caller("seven green kettles");
    // It makes the keys.
    drop(workplace.serve(&[]));
    let error =
        "error: it was done, but what there is to say cannot be written: No space left on device (os error 28)\n";
    for line in [
        "key new",
        "key check",
        "config show",
        "organisation list",
        "user list --organisation acme --json",
        "audit list",
        "describe openapi",
        "man",
        "completions bash",
    ] {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let run = |stdout: Stdio| {
            workplace.spawn(&arguments, stdout, Stdio::piped()).wait_with_output().expect("an end of the command")
        };
        let full = File::options().write(true).open("/dev/full").expect("a device");
        let ended = run(full.into());
        assert_eq!(ended.status.code(), Some(1), "{line}: {ended:?}");
        assert!(String::from_utf8_lossy(&ended.stderr).ends_with(error), "{line}: {ended:?}");
        // Who reads no further has what was wanted.
        assert!(run(closed()).status.success(), "{line}");
    }
}
