//! The client that Rust programs have: it logs in, tries again, and goes on after a break.

use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use referral_events::{
    client::{BulkOptions, Client, LoadOptions, Login, Settings, Tokens},
    config::{Config, ConnectionLimits},
    contract::{ListReferralEventsRequest, ReferralCustomerEvent},
    secret::Secret,
};
use tonic::Code;

use crate::support::{
    Server, Setup, Workplace, event,
    innocent::{limits, start},
    message, tests,
    tls::{Authority, open},
};

tests! {
    Grpc:
        a_bulk_call_is_made_under_a_key_and_tried_again,
        a_login_is_renewed_when_its_token_is_refused,
        a_load_goes_on_by_itself_after_breaks,
        a_load_begins_where_it_is_told_to,
        a_load_that_has_paused_goes_on_without_a_word,
        what_no_attempt_helps_is_told_at_once,
        attempts_come_to_an_end;
    Sqlite:
        a_server_by_tls_is_trusted_by_its_authority;
    Once:
        a_url_that_is_none_and_a_file_that_is_none_are_named,
        secrets_are_in_no_debug_output,
        the_example_does_what_it_says;
}

fn login(name: &str) -> Tokens {
    Tokens::Login(Login {
        username: name.to_owned(),
        password: Secret::new(name),
        organisation: "acme".to_owned(),
        unit: None,
    })
}

/// What a client has told of its attempts.
type Told = Arc<Mutex<Vec<String>>>;

fn client(address: SocketAddr, tokens: Tokens) -> (Client, Told) {
    let told = Told::default();
    let tell = told.clone();
    let settings = Settings {
        attempts: Some(20),
        on_retry: Some(Arc::new(move |retry| {
            let code = retry.error.code().map_or_else(|| format!("{:?}", retry.error.grpc_code()), str::to_owned);
            tell.lock().expect("a lock").push(code);
        })),
        ..Settings::default()
    };
    (Client::new(&format!("http://{address}"), tokens, settings).expect("a client"), told)
}

fn events(places: std::ops::Range<usize>) -> Vec<ReferralCustomerEvent> {
    let event = |n: usize| event(&n.to_string(), &format!("{:02}", n + 1), "60");
    places.map(|n| message("ReferralCustomerEvent", event(n))).collect()
}

async fn a_bulk_call_is_made_under_a_key_and_tried_again(setup: Setup) {
    let mut server = Server::start(setup).await;
    let replica = server.replica().await;
    server.restart_with(Config { time_limit: Duration::from_millis(500), ..Config::default() }).await;
    let (client, told) = client(server.address, Tokens::Fixed(Secret::new(&*server.token)));
    // The first attempt is committed after its time is over.
    let held = server.hold_at("COMMIT");
    let calling = tokio::spawn(async move { client.bulk_create(events(0..2), BulkOptions::default()).await });
    held.meanwhile(crate::support::until("it is tried again", async || !told.lock().expect("a lock").is_empty())).await;
    let answer = calling.await.expect("a task").expect("an answer");
    assert_eq!(answer.response.processed_customer_events_set.len(), 2);
    assert!(answer.response.processed_customer_events_set.iter().all(|event| !event.replayed()));
    assert!(answer.replayed && answer.request_id.is_some());
    assert_eq!(replica.stored_events().await.len(), 2);
}

async fn a_login_is_renewed_when_its_token_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    let (client, told) = client(server.address, login("carla"));
    let mut load = client.load("file", LoadOptions::default()).await.expect("a load");
    load.send(events(0..1)).await.expect("a chunk");
    assert_eq!(load.next().await.expect("an answer").expect("an answer").next_offset(), 1);
    // All tokens end.
    server.advance(Duration::from_secs(3 * 3600));
    load.send(events(1..2)).await.expect("a chunk");
    assert_eq!(load.next().await.expect("an answer").expect("an answer").next_offset(), 2);
    assert_eq!(told.lock().expect("a lock").as_slice(), ["InvalidTokenException"]);
    client.bulk_create(events(2..3), BulkOptions::default()).await.expect("an answer");
    // A fixed token is all that there is.
    let (client, told) = self::client(server.address, Tokens::Fixed(Secret::new(&*server.token)));
    let error = client.load("file", LoadOptions::default()).await.err().expect("a refusal");
    assert_eq!((error.code(), error.grpc_code()), (Some("InvalidTokenException"), Code::Unauthenticated));
    assert!(told.lock().expect("a lock").is_empty());
}

async fn a_load_goes_on_by_itself_after_breaks(setup: Setup) {
    // Connections retire again and again.
    let connections = ConnectionLimits { maximum_age: Duration::from_millis(200), ..ConnectionLimits::default() };
    let server = Server::start_with(setup, Config { connections, ..Config::default() }).await;
    let (client, told) = client(server.address, login("carla"));
    let mut load = client.load("file", LoadOptions::default()).await.expect("a load");
    assert_eq!((load.next_offset(), load.max_in_flight()), (0, 2));
    let mut answers = Vec::new();
    for n in 0..20 {
        answers.extend(load.send(events(n * 2..n * 2 + 2)).await.expect("a chunk"));
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    while let Some(answer) = load.next().await.expect("an answer") {
        answers.push(answer);
    }
    assert_eq!(load.next_offset(), 40);
    assert!(answers.iter().map(|answer| answer.offset()).eq((0..20).map(|n| n * 2)));
    assert!(answers.iter().all(|answer| answer.processed_customer_events_set.len() == 2));
    assert_eq!(server.stored_events().await.len(), 40);
    let told = told.lock().expect("a lock");
    assert!(told.iter().any(|code| code == "ServiceUnavailableException"), "{told:?}");
}

async fn a_load_begins_where_it_is_told_to(setup: Setup) {
    let server = Server::start(setup).await;
    let (client, _) = client(server.address, login("carla"));
    let mut load = client.load("file", LoadOptions::default()).await.expect("a load");
    load.send(events(0..2)).await.expect("a chunk");
    let first = load.next().await.expect("an answer").expect("an answer");
    // The answer was lost; the file is read from its beginning again.
    let mut load = client.load("file", LoadOptions::default()).await.expect("a load");
    assert_eq!(load.next_offset(), 2);
    load.begin_at(0);
    load.send(events(0..2)).await.expect("a chunk");
    load.send(events(2..3)).await.expect("a chunk");
    let again = load.next().await.expect("an answer").expect("an answer");
    assert!(again.replayed());
    assert_eq!(again.processed_customer_events_set, first.processed_customer_events_set);
    assert!(!load.next().await.expect("an answer").expect("an answer").replayed());
    assert!(load.next().await.expect("no answer").is_none());
    // Elsewhere it does not go on.
    load.begin_at(7);
    load.send(events(7..8)).await.expect("a chunk");
    let error = load.next().await.expect_err("a refusal");
    assert_eq!((error.code(), error.next_offset()), (Some("OffsetOutOfRangeException"), Some(3)));
    assert!(error.request_id().is_some() && error.to_string().contains("; request "), "{error}");
    // What has ended stays so.
    assert_eq!(load.next().await.expect_err("the same").code(), error.code());
    let options = LoadOptions { validate_only: true, ..LoadOptions::default() };
    let mut rehearsal = client.load("file", options).await.expect("a load");
    rehearsal.begin_at(20);
    rehearsal.send(events(20..21)).await.expect("a chunk");
    assert_eq!(rehearsal.next().await.expect("an answer").expect("an answer").next_offset(), 21);
}

async fn a_load_that_has_paused_goes_on_without_a_word(setup: Setup) {
    let server = start(setup, limits()).await;
    let (client, told) = client(server.address, login("carla"));
    let mut load = client.load("file", LoadOptions::default()).await.expect("a load");
    for n in 0..2 {
        load.send(events(n..n + 1)).await.expect("a chunk");
        assert_eq!(load.next().await.expect("an answer").expect("an answer").next_offset(), n as u64 + 1);
        // For longer than the server waits.
        tokio::time::sleep(2 * limits().stall_timeout).await;
    }
    load.send(events(2..3)).await.expect("a chunk");
    load.next().await.expect("an answer").expect("an answer");
    assert!(told.lock().expect("a lock").is_empty());
}

async fn what_no_attempt_helps_is_told_at_once(setup: Setup) {
    let server = Server::start(setup).await;
    let (client, told) = client(server.address, login("rita"));
    let refused = [
        client.bulk_create(events(0..1), BulkOptions::default()).await.err(),
        client.load("file", LoadOptions::default()).await.err(),
    ];
    for error in refused {
        let error = error.expect("a refusal");
        assert_eq!(error.code(), Some("AccessDeniedException"), "{error}");
        assert!(!error.is_retryable() && error.request_id().is_some(), "{error:?}");
    }
    let listed = client.list_referral_events(ListReferralEventsRequest::default()).await.expect("a page");
    assert!(listed.customer_events_set.is_empty());
    let wrong = Tokens::Login(Login {
        username: "carla".to_owned(),
        password: Secret::new("wrong"),
        organisation: "acme".to_owned(),
        unit: None,
    });
    let (client, _) = self::client(server.address, wrong);
    let error = client.load("file", LoadOptions::default()).await.err().expect("a refusal");
    assert_eq!(error.code(), Some("InvalidCredentialsException"));
    assert!(told.lock().expect("a lock").is_empty());
}

async fn attempts_come_to_an_end(setup: Setup) {
    let mut server = Server::start(setup).await;
    let address = server.address;
    server.stop().await;
    let settings = Settings { attempts: Some(3), ..Settings::default() };
    let told = Told::default();
    let tell = told.clone();
    let on_retry = Arc::new(move |retry: &referral_events::client::Retry<'_>| {
        tell.lock().expect("a lock").push(retry.attempt.to_string());
    });
    let settings = Settings { on_retry: Some(on_retry), ..settings };
    let tokens = Tokens::Fixed(Secret::new("token"));
    let client = Client::new(&format!("http://{address}"), tokens, settings).expect("a client");
    let error = client.load("file", LoadOptions::default()).await.err().expect("a failure");
    assert_eq!((error.code(), error.grpc_code(), error.is_retryable()), (None, Code::Unavailable, true));
    assert!(error.message().contains("Connection refused"), "{error}");
    assert_eq!(told.lock().expect("a lock").as_slice(), ["1", "2"]);
}

async fn a_url_that_is_none_and_a_file_that_is_none_are_named(_: Setup) {
    let with_file = |file: &str| Settings { ca_file: Some(file.into()), ..Settings::default() };
    for (url, settings, expected) in [
        ("", Settings::default(), "no URL"),
        ("localhost:50051", Settings::default(), "http://"),
        ("ftp://localhost", Settings::default(), "http://"),
        ("https://localhost", with_file("/nowhere.pem"), "/nowhere.pem"),
        ("http://localhost", with_file("/nowhere.pem"), "https"),
    ] {
        let error = Client::new(url, login("carla"), settings).err().expect("a refusal");
        assert!(error.message().contains(expected), "{error}");
        assert!(!error.is_retryable());
    }
}

async fn secrets_are_in_no_debug_output(_: Setup) {
    for tokens in [Tokens::Fixed(Secret::new("s3cret")), login("s3cret")] {
        let Tokens::Login(Login { username, .. }) = &tokens else {
            assert!(!format!("{tokens:?}").contains("s3cret"));
            continue;
        };
        let text = format!("{tokens:?}").replace(&format!("username: {username:?}"), "");
        assert!(!text.contains("s3cret"), "{text}");
    }
}

async fn a_server_by_tls_is_trusted_by_its_authority(setup: Setup) {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("the server's authority");
    authority.issue("a server").write_to(folder.path());
    let mut server = Server::start(setup).await;
    server.restart_with(Config { tls: Some(open(folder.path(), false)), ..Config::default() }).await;
    let url = format!("https://localhost:{}", server.address.port());
    let load = async |ca_file: Option<&str>| {
        let ca_file = ca_file.map(|name| folder.path().join(name));
        let settings = Settings { ca_file, attempts: Some(1), ..Settings::default() };
        let client = Client::new(&url, Tokens::Fixed(Secret::new(&*server.token)), settings)?;
        client.load("file", LoadOptions::default()).await.map(|load| load.next_offset())
    };
    std::fs::write(folder.path().join("authority.pem"), authority.pem()).expect("a file");
    std::fs::write(folder.path().join("other.pem"), Authority::new("another").pem()).expect("a file");
    assert_eq!(load(Some("authority.pem")).await.expect("a load"), 0);
    for distrusted in [Some("other.pem"), None] {
        let error = load(distrusted).await.expect_err("a refusal");
        assert!(error.message().contains("certificate"), "{error}");
    }
}

async fn the_example_does_what_it_says(_: Setup) {
    let demo = Workplace::new().serve(&["--demo"]);
    let program = Path::new(env!("CARGO_BIN_EXE_referral-events")).with_file_name("examples").join("rust");
    let run = || {
        let output = Command::new(&program).arg(format!("http://{}", demo.address)).output().expect("an output");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let said = run();
    for expected in [
        "1: created as number 8\n2: ReferredByAnotherParticipantException Error:",
        "sent again: the answer is that of the first time",
        "loaded 1 events\nloaded 2 events",
        "a page: 10 9 8 7\na page: 6 5 4 3\na page: 2 1",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    // The call and the load are known.
    let again = run();
    assert!(again.contains("a page: 10 9 8 7") && !again.contains("loaded"), "{again}");
}
