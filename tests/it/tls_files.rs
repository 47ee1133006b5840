//! The files of TLS: what is refused at the start, what is served when they change, and what the operator is told.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{TimeDelta, Utc};
use referral_events::{
    config::{Config, ConnectionLimits},
    tls::Watch,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    Process, Server, Setup, Workplace,
    examples::{blocks, document},
    tests,
    tls::{Authority, Caller, Issued, open, set_mode},
    until,
};

tests! {
    Sqlite:
        a_new_certificate_is_served_once_its_link_is_swapped_and_calls_under_way_go_on,
        a_new_authority_of_callers_counts_from_then_on;
    Openssl:
        whoever_does_as_the_document_says_has_a_service_by_tls;
    Once:
        plain_text_on_a_public_address_must_be_asked_for,
        settings_of_tls_without_those_they_need_are_refused,
        files_that_cannot_be_served_end_the_start_with_what_mends_them,
        a_group_may_read_the_key,
        the_demo_is_served_by_tls_where_it_is_told_to,
        where_the_new_files_cannot_be_served_the_last_good_ones_are_and_that_is_told_once,
        the_end_of_the_certificate_is_told_two_weeks_before_and_each_day;
}

const BY_TLS: [&str; 4] = ["--tls-certificate", "tls.crt", "--tls-key", "tls.key"];
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const OTHER_KEY: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

fn refusal(workplace: &Workplace, listen: &str, arguments: &[&str]) -> String {
    let ended = workplace.run(&[&["serve", "--listen", listen], arguments].concat());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    ended.stderr
}

async fn plain_text_on_a_public_address_must_be_asked_for(_: Setup) {
    let mut workplace = Workplace::new();
    workplace.add_caller("seven green kettles");
    workplace.set("REFERRAL_EVENTS_TOKEN_KEY", KEY);
    workplace.set("REFERRAL_EVENTS_HASH_KEY", OTHER_KEY);
    workplace.set("DATABASE_URL", "sqlite:public.db");
    workplace.add_caller("seven green kettles");
    for (listen, address) in [("0.0.0.0:0", "0.0.0.0:0"), (":0", "[::]:0"), ("192.0.2.1:0", "192.0.2.1:0")] {
        let sentence = format!(
            "error: {address} is no loopback address, and in plain text everybody on the way reads passwords and tokens: \
             give --tls-certificate and --tls-key, or --plaintext where a proxy or a mesh encrypts\n"
        );
        assert_eq!(refusal(&workplace, listen, &[]), sentence);
    }
    let mut server = workplace.serve_on("0.0.0.0:0", &["--plaintext"]);
    server.address.set_ip([127, 0, 0, 1].into());
    server.login("seven green kettles").await;
    // By TLS nothing else is needed; on loopback it may be either.
    let authority = Authority::new("an authority");
    authority.issue("a server").write_to(&workplace.path("."));
    for (listen, arguments) in [("0.0.0.0:0", &BY_TLS[..]), ("127.0.0.1:0", &BY_TLS)] {
        let mut server = workplace.serve_on(listen, arguments);
        server.address.set_ip([127, 0, 0, 1].into());
        let (status, _) = Caller::trusting(&authority).post(server.address, "nowhere", &json!({})).await;
        assert_eq!(status, 404);
    }
    workplace.set("REFERRAL_EVENTS_PLAINTEXT", "true");
    drop(workplace.serve_on("0.0.0.0:0", &[]));
}

async fn settings_of_tls_without_those_they_need_are_refused(_: Setup) {
    let workplace = Workplace::new();
    let refused = |arguments: &[&str]| refusal(&workplace, "127.0.0.1:0", arguments);
    assert_eq!(refused(&["--tls-key", "k"]), "error: --tls-key needs --tls-certificate beside it\n");
    assert_eq!(refused(&["--tls-certificate", "c"]), "error: --tls-certificate needs --tls-key beside it\n");
    assert_eq!(
        refused(&["--tls-client-authority", "a"]),
        "error: --tls-client-authority needs --tls-certificate and --tls-key beside it\n"
    );
    let optional = [&BY_TLS[..], &["--tls-client-optional"]].concat();
    assert_eq!(refused(&optional), "error: --tls-client-optional needs --tls-client-authority beside it\n");
    assert_eq!(
        refused(&[&BY_TLS[..], &["--plaintext"]].concat()),
        "error: --plaintext and --tls-certificate exclude each other: leave one of them out\n"
    );
}

async fn files_that_cannot_be_served_end_the_start_with_what_mends_them(_: Setup) {
    let authority = Authority::new("an authority");
    let good = authority.issue("a server");
    let der = good.der().to_vec();
    let write = |folder: &Path, file: &str, content: &[u8]| fs::write(folder.join(file), content).expect("a file");
    type Spoil<'a> = &'a dyn Fn(&Path);
    let cases: [(Spoil, &str); 16] = [
        (&|f| fs::remove_file(f.join("tls.crt")).expect("a file"), "certificate tls.crt cannot be read: No such file"),
        (&|f| fs::remove_file(f.join("tls.key")).expect("a file"), "key tls.key cannot be read: No such file"),
        (&|f| fs::remove_file(f.join("ca.crt")).expect("a file"), "client authority ca.crt cannot be read: No such"),
        (
            &|f| {
                fs::remove_file(f.join("tls.crt")).expect("a file");
                fs::create_dir(f.join("tls.crt")).expect("a folder");
            },
            "certificate tls.crt cannot be read: it is no file",
        ),
        (&|f| write(f, "tls.crt", &[b' '; 5_000_000]), "certificate tls.crt cannot be read: it is larger than"),
        (&|f| write(f, "tls.crt", b""), "certificate tls.crt has no certificate in PEM: openssl x509"),
        (&|f| write(f, "tls.crt", &der), "certificate tls.crt has no certificate in PEM: openssl x509"),
        (&|f| write(f, "tls.crt", good.key.as_bytes()), "certificate tls.crt has no certificate in PEM"),
        (&|f| write(f, "tls.crt", &good.certificate.as_bytes()[..200]), "certificate tls.crt"),
        (&|f| write(f, "tls.key", b"opensesame"), "key tls.key has no private key in PEM: openssl pkey"),
        (&|f| write(f, "tls.key", good.certificate.as_bytes()), "key tls.key has no private key in PEM"),
        (&|f| write(f, "ca.crt", b""), "client authority ca.crt has no certificate in PEM"),
        (
            &|f| write(f, "tls.key", authority.issue("another").key.as_bytes()),
            "key tls.key does not fit the first certificate of the TLS certificate tls.crt",
        ),
        (&|f| authority.issue_until("a server", -1).write_to(f), "certificate tls.crt has ended on "),
        (&|f| set_mode(&f.join("tls.key"), 0o644), "key tls.key is open to everybody on this machine: chmod o= it"),
        (
            &|f| write(f, "tls.crt", format!("{}{}", authority.pem(), good.certificate).as_bytes()),
            "key tls.key does not fit the first certificate",
        ),
    ];
    for (spoil, expected) in cases {
        let workplace = Workplace::new();
        good.write_to(&workplace.path("."));
        fs::write(workplace.path("ca.crt"), authority.pem()).expect("a file");
        spoil(&workplace.path("."));
        let arguments = [&BY_TLS[..], &["--tls-client-authority", "ca.crt"]].concat();
        let said = refusal(&workplace, "127.0.0.1:0", &arguments);
        assert!(said.starts_with(&format!("error: the TLS {expected}")), "{expected}: {said}");
        assert!(!said.contains("opensesame") && said.lines().count() == 1, "{said}");
        assert!(!workplace.path("referral-events.db").exists());
    }
}

async fn a_group_may_read_the_key(_: Setup) {
    let workplace = Workplace::new();
    Authority::new("an authority").issue("a server").write_to(&workplace.path("."));
    for mode in [0o400, 0o440, 0o600, 0o640] {
        set_mode(&workplace.path("tls.key"), mode);
        drop(workplace.serve(&BY_TLS));
    }
}

async fn the_demo_is_served_by_tls_where_it_is_told_to(_: Setup) {
    let workplace = Workplace::new();
    let authority = Authority::new("an authority");
    authority.issue("a server").write_to(&workplace.path("."));
    let demo = workplace.serve(&[&["--demo"], &BY_TLS[..]].concat());
    let output = demo.output();
    let line = output.lines().find_map(|line| line.strip_prefix("try: ")).expect("a line to try");
    let way = format!("curl -s --cacert tls.crt https://{}/authentication/token ", demo.address);
    assert!(line.starts_with(&way), "{line}");
    let login = json!({"organisation": "demo", "username": "demo", "password": "demo"});
    let (status, _) = Caller::trusting(&authority).post(demo.address, "authentication/token", &login).await;
    assert_eq!(status, 200);
}

/// A folder as Kubernetes mounts a secret: the files are links through one that is swapped for a new one.
fn mount(folder: &Path, version: &str, issued: &Issued) {
    let data = folder.join(version);
    fs::create_dir(&data).expect("a folder");
    issued.write_to(&data);
    symlink(version, folder.join("..new")).expect("a link");
    fs::rename(folder.join("..new"), folder.join("..data")).expect("a link");
    for file in ["tls.crt", "tls.key"] {
        if fs::symlink_metadata(folder.join(file)).is_err() {
            symlink(format!("..data/{file}"), folder.join(file)).expect("a link");
        }
    }
}

async fn a_new_certificate_is_served_once_its_link_is_swapped_and_calls_under_way_go_on(setup: Setup) {
    let authority = Authority::new("an authority");
    let folder = tempfile::tempdir().expect("a folder");
    let (old, new) = (authority.issue("old"), authority.issue("new"));
    mount(folder.path(), "..1", &old);
    let mut server = Server::start(setup).await;
    let connections = ConnectionLimits { stall_timeout: Duration::from_secs(60), ..ConnectionLimits::default() };
    let tls = Some(open(folder.path(), false));
    server.restart_with(Config { tls, connections, ..Config::default() }).await;
    let caller = Caller::trusting(&authority);
    assert_eq!(caller.certificate_shown(server.address).await, old.der());

    // A call of which the body is still to come.
    let mut stream = caller.speaking(&["http/1.1"]).connect(server.address).await.expect("a handshake");
    let head = "POST /authentication/token/release HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 2\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("a server that reads");
    let mut word = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut word).await.expect("a word");

    mount(folder.path(), "..2", &new);
    fs::remove_dir_all(folder.path().join("..1")).expect("a folder");
    until("the new one is served", async || caller.certificate_shown(server.address).await == new.der()).await;
    stream.write_all(b"{}").await.expect("a server that reads");
    let mut answer = vec![0; 1000];
    let length = stream.read(&mut answer).await.expect("an answer");
    assert!(answer[..length].starts_with(b"HTTP/1.1 401 "), "{}", String::from_utf8_lossy(&answer[..length]));
}

async fn a_new_authority_of_callers_counts_from_then_on(setup: Setup) {
    let authority = Authority::new("the server's authority");
    let (first, second) = (Authority::new("the first"), Authority::new("the second"));
    let folder = tempfile::tempdir().expect("a folder");
    authority.issue("a server").write_to(folder.path());
    fs::write(folder.path().join("ca.crt"), first.pem()).expect("a file");
    let mut server = Server::start(setup).await;
    let tls = Some(open(folder.path(), false));
    server.restart_with(Config { tls, ..Config::default() }).await;
    let caller = Caller::trusting(&authority);
    let (of_first, of_second) = (caller.with(&first.issue("a")), caller.with(&second.issue("b")));
    assert_eq!(of_first.post(server.address, "nowhere", &json!({})).await.0, 404);
    // It is replaced as editors do it, not as Kubernetes does.
    fs::write(folder.path().join("ca.crt"), second.pem()).expect("a file");
    until("the second counts", async || {
        let mut stream = of_second.connect(server.address).await.expect("the caller's side of a handshake");
        _ = stream.write_all(b"GET /nowhere HTTP/1.1\r\nhost: here\r\n\r\n").await;
        stream.read_u8().await.is_ok()
    })
    .await;
    let refusal = of_first.refusal(server.address).await;
    assert!(refusal.contains("UnknownCA") || refusal.contains("DecryptError"), "{refusal}");
}

/// How often a line of the log has these words.
fn said(server: &Process, words: &str) -> usize {
    server.output().lines().filter(|line| line.contains(words)).count()
}

async fn where_the_new_files_cannot_be_served_the_last_good_ones_are_and_that_is_told_once(_: Setup) {
    const NOT_SERVED: &str = "the new TLS certificate is not served; the last good one is kept";
    let mut workplace = Workplace::new();
    workplace.set("REFERRAL_EVENTS_LOG_FORMAT", "text");
    let authority = Authority::new("an authority");
    let good = authority.issue("good");
    let folder = workplace.path(".");
    good.write_to(&folder);
    let server = workplace.serve(&BY_TLS);
    let caller = Caller::trusting(&authority);
    let other = authority.issue("other");
    let spoilt: [(&dyn Fn(), &str); 4] = [
        (&|| fs::write(folder.join("tls.key"), &other.key).expect("a file"), "does not fit"),
        (&|| fs::write(folder.join("tls.crt"), "rubbish").expect("a file"), "has no certificate in PEM"),
        (&|| fs::remove_file(folder.join("tls.key")).expect("a file"), "cannot be read: No such file"),
        (&|| authority.issue_until("late", -1).write_to(&folder), "has ended on"),
    ];
    for (n, (spoil, why)) in (1..).zip(spoilt) {
        spoil();
        server.wait_for_output(why).await;
        assert_eq!(said(&server, NOT_SERVED), n);
        assert_eq!(caller.certificate_shown(server.address).await, good.der());
    }
    // In the time of several looks it is not said again.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(said(&server, NOT_SERVED), 4);
    good.write_to(&folder);
    server.wait_for_output("the files have the TLS certificate again that is served").await;
    let new = authority.issue("new");
    new.write_to(&folder);
    server.wait_for_output("new connections get a new TLS certificate subject=\"CN=new\" ends=").await;
    assert_eq!(caller.certificate_shown(server.address).await, new.der());
    assert_eq!(said(&server, " ERROR "), 4, "{}", server.output());
}

/// Writes the log of this thread to a text.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("a lock").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn the_end_of_the_certificate_is_told_two_weeks_before_and_each_day(_: Setup) {
    let authority = Authority::new("an authority");
    let mut workplace = Workplace::new();
    workplace.set("REFERRAL_EVENTS_LOG_FORMAT", "text");
    authority.issue_until("a server", 10).write_to(&workplace.path("."));
    let server = workplace.serve(&BY_TLS);
    server.wait_for_output(" WARN ").await;
    assert_eq!(
        said(&server, "the TLS certificate that is served ends soon; renew it subject=\"CN=a server\" ends="),
        1
    );

    // The same over the weeks, by a clock of the test's.
    let folder = tempfile::tempdir().expect("a folder");
    authority.issue_until("a server", 30).write_to(folder.path());
    let (tls, written) = (open(folder.path(), false), Written::default());
    let log = written.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone()).finish();
    let mut watch = Watch::new(tls);
    let began = Utc::now();
    tracing::subscriber::with_default(subscriber, || {
        for hour in 0..40 * 24 {
            watch.look(began + TimeDelta::hours(hour));
        }
    });
    let log = String::from_utf8(written.0.lock().expect("a lock").clone()).expect("a text");
    let (soon, over) = (log.matches(" WARN ").count(), log.matches(" ERROR ").count());
    // The day on which it ends has its hours before and after.
    assert!((13..=15).contains(&soon) && (10..=11).contains(&over), "{log}");
    assert_eq!(log.lines().count(), soon + over, "{log}");
}

async fn whoever_does_as_the_document_says_has_a_service_by_tls(_: Setup) {
    let text = document("docs/tls.md");
    let scripts: Vec<String> =
        blocks(&text).into_iter().filter(|block| block.language == "sh").map(|b| b.text).collect();
    let workplace = Workplace::new();
    let mut server: Option<Process> = None;
    let (mut served, mut called) = (0, 0);
    for script in scripts {
        if let Some(arguments) = script.strip_prefix("referral-events serve ") {
            server = Some(workplace.start_with(&arguments.replace("\\\n", " ")));
            served += 1;
        } else if script.starts_with("curl ") {
            let server = server.as_ref().expect("a server");
            let port = server.address.port().to_string();
            let said = workplace.run_script(&script.replace("50051", &port));
            assert!(said.contains("\"OK\""), "{script}: {said}");
            called += 1;
        } else {
            workplace.run_script(&script);
        }
    }
    assert_eq!((served, called), (2, 2));
}
