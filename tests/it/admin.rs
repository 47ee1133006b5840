//! The admin port: it tells of the server whatever the server does, and harms nothing.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{Process, Scrape, Server, Setup, Workplace, ask_admin, tests, until};

tests! {
    Rest: a_server_that_is_well_is_ready_and_has_no_reasons;
    Once:
        a_server_that_stops_is_live_and_says_why_it_is_not_ready,
        a_database_that_is_gone_is_the_reason,
        an_address_that_is_named_and_taken_is_an_error,
        the_default_address_may_be_taken,
        it_can_be_switched_off,
        an_address_without_a_meaning_is_refused,
        connections_that_say_nothing_keep_nobody_out;
}

const ADMIN: [&str; 2] = ["--admin-listen", "127.0.0.1:0"];

fn parsed((status, text): (u16, String)) -> (u16, Value) {
    (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

async fn a_server_that_is_well_is_ready_and_has_no_reasons(setup: Setup) {
    let server = Server::start(setup).await;
    assert_eq!(parsed(server.ask_admin("livez").await), (200, json!({"live": true})));
    let ready = (200, json!({"ready": true, "reasons": []}));
    until("it is ready", async || parsed(server.ask_admin("readyz").await) == ready).await;
    assert_eq!(server.ask_admin("nowhere").await.0, 404);
    // Calls are not served there, nor metrics where calls are.
    assert_eq!(server.ask_admin("customer_events/referrals/show?number=1").await.0, 404);
    let public = server.http().get(server.url("metrics")).send().await.expect("a response");
    assert_eq!(public.status(), 404);
}

async fn a_server_that_stops_is_live_and_says_why_it_is_not_ready(_: Setup) {
    let workplace = Workplace::new();
    let server = workplace.serve(&[&ADMIN[..], &["--drain-pause", "600", "--drain-limit", "1200"]].concat());
    let admin = server.admin().await;
    until("it is ready", async || ask_admin(admin, "readyz").await.0 == 200).await;
    server.terminate();
    let not_ready = (503, json!({"ready": false, "reasons": ["The service is stopping."]}));
    until("it is not ready", async || parsed(ask_admin(admin, "readyz").await) == not_ready).await;
    assert_eq!(parsed(ask_admin(admin, "livez").await), (200, json!({"live": true})));
    assert_eq!(ask_admin(admin, "metrics").await.0, 200);
}

async fn a_database_that_is_gone_is_the_reason(_: Setup) {
    let workplace = Workplace::new();
    let server = workplace.serve(&ADMIN);
    let admin = server.admin().await;
    fs::remove_file(workplace.path("referral-events.db")).expect("a file");
    let reason = "The database's file is gone or is another one; the operator has to restart the service.";
    let not_ready = (503, json!({"ready": false, "reasons": [reason]}));
    until("it is not ready", async || parsed(ask_admin(admin, "readyz").await) == not_ready).await;
    assert_eq!(ask_admin(admin, "livez").await.0, 200);
    let scrape = Scrape::read(&ask_admin(admin, "metrics").await.1);
    assert!(scrape.value("referral_events_database_errors_total", &[("kind", "file_gone")]) > 0.0);
    assert_eq!(scrape.value("referral_events_database_errors_total", &[("kind", "other")]), 0.0);
}

async fn an_address_that_is_named_and_taken_is_an_error(_: Setup) {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string();
    let workplace = Workplace::new();
    let _server = workplace.serve(&["--admin-listen", &taken]);
    let ended = workplace.run(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", &taken]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    let last = ended.stderr.lines().last().expect("a line");
    assert!(last.starts_with(&format!("error: --admin-listen: {taken} cannot be listened on: ")), "{ended:?}");
}

async fn the_default_address_may_be_taken(_: Setup) {
    // By this test, unless another program has it.
    let _taken = TcpListener::bind("127.0.0.1:50052");
    let mut workplace = Workplace::new();
    workplace.unset("REFERRAL_EVENTS_ADMIN_LISTEN");
    let server = workplace.serve(&[]);
    server.wait_for_output("no metrics are served").await;
    let line = server.log_lines().into_iter().find(|line| line["level"] == "WARN").expect("a warning");
    let message = line["message"].as_str().expect("a message");
    assert!(message.contains("127.0.0.1:50052") && message.contains("--admin-listen"), "{message}");
    let ready = reqwest::get(format!("http://{}/readyz", server.address)).await.expect("a response");
    assert_eq!(ready.status(), 200);
}

/// The ports that a process listens on, as Linux tells.
fn listening(server: &Process) -> usize {
    let folder = fs::read_dir(format!("/proc/{}/fd", server.id())).expect("a process");
    let sockets: Vec<String> = folder
        .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let table = fs::read_to_string(format!("/proc/{}/net/tcp", server.id())).expect("a table");
    let listens = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields[3] == "0A" && sockets.iter().any(|socket| socket == fields[9])
    };
    table.lines().skip(1).filter(listens).count()
}

async fn it_can_be_switched_off(_: Setup) {
    let workplace = Workplace::new();
    let server = workplace.serve(&["--admin-listen", "off"]);
    assert_eq!(listening(&server), 1);
    let server = workplace.serve(&ADMIN);
    server.admin().await;
    assert_eq!(listening(&server), 2);
}

async fn an_address_without_a_meaning_is_refused(_: Setup) {
    let workplace = Workplace::new();
    for address in ["50052", "localhost", "of", "OFF", "http://127.0.0.1:50052", ""] {
        let ended = workplace.run(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", address]);
        assert_eq!(ended.code, Some(2), "{address}: {ended:?}");
        assert!(
            ended.stderr.contains("it takes HOST:PORT") && ended.stderr.contains("or off for none")
                || address.is_empty()
        );
    }
    let ended = workplace.run(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "nowhere.invalid:50052"]);
    let sentence = "error: --admin-listen names the host nowhere.invalid, which cannot be found: ";
    assert!(ended.stderr.starts_with(sentence), "{ended:?}");
}

async fn connections_that_say_nothing_keep_nobody_out(_: Setup) {
    let workplace = Workplace::new();
    let server = workplace.serve(&ADMIN);
    let admin: SocketAddr = server.admin().await;
    let started = Instant::now();
    let silent: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(admin).expect("a connection")).collect();
    for path in ["metrics", "livez", "metrics"] {
        assert_eq!(ask_admin(admin, path).await.0, 200);
    }
    // Long before the silent ones have to go for their silence, had they the places.
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    drop(silent);
}
