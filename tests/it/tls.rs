//! TLS: who is taken and by what, and what a handshake may cost.

use std::{fs, time::Duration};

use referral_events::{
    config::{Config, ConnectionLimits},
    contract::{BulkCreateReferralEventsRequest, referral_event_service_client::ReferralEventServiceClient},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::support::{
    Server, Setup, Workplace, envelope,
    innocent::{limits, repeatable},
    message,
    raw::{self, connect, connect_narrow, greeting, read_to_end, read_until, write_until_ended},
    tests,
    tls::{Authority, BOTH_VERSIONS, Caller, Issued, open},
};

tests! {
    Grpc:
        grpc_is_answered_by_tls;
    Rest:
        rest_is_answered_by_both_versions_of_tls_and_of_http;
    Sqlite:
        a_protocol_that_is_not_served_ends_the_handshake,
        only_callers_with_a_certificate_of_the_authority_are_taken,
        where_certificates_are_optional_a_wrong_one_is_still_refused,
        handshakes_that_stall_hold_nothing,
        handshakes_that_do_not_end_are_ended,
        answers_that_nobody_takes_end_a_connection_by_tls_too,
        who_speaks_plainly_to_a_port_of_tls_is_told;
    Once:
        a_handshake_with_a_port_of_plain_text_is_told_and_logged,
        the_log_names_the_caller_by_its_certificate;
}

const BULK: &str = "customer_events/bulk/referrals/create";

/// A server by TLS, with an authority that callers trust.
struct Secured {
    server: Server,
    authority: Authority,
    folder: TempDir,
}

impl Secured {
    async fn start(setup: Setup, connections: ConnectionLimits) -> Self {
        Self::start_asking(setup, connections, None, false).await
    }

    /// One that asks callers for certificates of an authority.
    async fn start_asking(
        setup: Setup,
        connections: ConnectionLimits,
        clients: Option<&Authority>,
        are_optional: bool,
    ) -> Self {
        let authority = Authority::new("the server's authority");
        let folder = tempfile::tempdir().expect("a folder");
        authority.issue("a server").write_to(folder.path());
        if let Some(clients) = clients {
            fs::write(folder.path().join("ca.crt"), clients.pem()).expect("a file");
        }
        let mut server = Server::start(setup).await;
        let tls = Some(open(folder.path(), are_optional));
        server.restart_with(Config { tls, connections, ..Config::default() }).await;
        Self { server, authority, folder }
    }

    fn caller(&self) -> Caller {
        Caller::trusting(&self.authority)
    }

    fn request(&self) -> Value {
        json!({"token": self.server.token, "referral_customer_events_set": repeatable()})
    }

    async fn assert_takes(&self, caller: &Caller) {
        let (status, answer) = caller.post(self.server.address, BULK, &self.request()).await;
        assert_eq!(status, 200, "{answer:?}");
        answer.assert_outcome(&["1"], &[]);
    }
}

async fn grpc_is_answered_by_tls(setup: Setup) {
    let clients = Authority::new("the callers' authority");
    let secured = Secured::start_asking(setup, ConnectionLimits::default(), Some(&clients), false).await;
    let Issued { certificate, key } = clients.issue("a caller");
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(secured.authority.pem()))
        .identity(Identity::from_pem(certificate, key))
        .domain_name("localhost");
    let endpoint = Endpoint::from_shared(format!("https://{}", secured.server.address)).expect("a URI");
    let channel = endpoint.tls_config(tls).expect("TLS").connect().await.expect("a connection");
    let request: BulkCreateReferralEventsRequest = message("BulkCreateReferralEventsRequest", secured.request());
    let mut client = ReferralEventServiceClient::new(channel);
    let answer = client.bulk_create_referral_events(request).await.expect("an answer").into_inner();
    assert_eq!(answer.processed_customer_events_set.len(), 1, "{answer:?}");
}

async fn rest_is_answered_by_both_versions_of_tls_and_of_http(setup: Setup) {
    let secured = Secured::start(setup, ConnectionLimits::default()).await;
    for version in BOTH_VERSIONS {
        for (offered, agreed) in [
            (vec!["h2", "http/1.1"], Some("h2")),
            (vec!["http/1.1"], Some("http/1.1")),
            (vec!["http/1.1", "h2"], Some("h2")),
            (vec![], None),
        ] {
            let caller = secured.caller().by(version).speaking(&offered);
            let stream = caller.connect(secured.server.address).await.expect("a handshake");
            let (_, session) = stream.get_ref();
            assert_eq!(session.protocol_version(), Some(version.version));
            assert_eq!(session.alpn_protocol(), agreed.map(str::as_bytes), "{offered:?}");
            secured.assert_takes(&caller).await;
        }
    }
}

async fn a_protocol_that_is_not_served_ends_the_handshake(setup: Setup) {
    let secured = Secured::start(setup, ConnectionLimits::default()).await;
    let refusal = secured.caller().speaking(&["h3"]).refusal(secured.server.address).await;
    assert!(refusal.contains("NoApplicationProtocol"), "{refusal}");
    secured.assert_takes(&secured.caller()).await;
}

async fn only_callers_with_a_certificate_of_the_authority_are_taken(setup: Setup) {
    let clients = Authority::new("the callers' authority");
    let secured = Secured::start_asking(setup, ConnectionLimits::default(), Some(&clients), false).await;
    let address = secured.server.address;
    for version in BOTH_VERSIONS {
        let caller = secured.caller().by(version);
        let refusal = caller.refusal(address).await;
        // TLS 1.2 has no word for it.
        assert!(refusal.contains("CertificateRequired") || refusal.contains("HandshakeFailure"), "{refusal}");
        let refusal = caller.with(&Authority::new("another").issue("a caller")).refusal(address).await;
        assert!(refusal.contains("UnknownCA") || refusal.contains("DecryptError"), "{refusal}");
        let refusal = caller.with(&clients.issue_until("a caller", -1)).refusal(address).await;
        assert!(refusal.contains("CertificateExpired"), "{refusal}");
        secured.assert_takes(&caller.with(&clients.issue("a caller"))).await;
    }
}

async fn where_certificates_are_optional_a_wrong_one_is_still_refused(setup: Setup) {
    let clients = Authority::new("the callers' authority");
    let secured = Secured::start_asking(setup, ConnectionLimits::default(), Some(&clients), true).await;
    for version in BOTH_VERSIONS {
        let caller = secured.caller().by(version);
        secured.assert_takes(&caller).await;
        secured.assert_takes(&caller.with(&clients.issue("a caller"))).await;
        let wrong = caller.with(&Authority::new("another").issue("a caller"));
        let refusal = wrong.refusal(secured.server.address).await;
        assert!(refusal.contains("UnknownCA") || refusal.contains("DecryptError"), "{refusal}");
    }
}

/// The head of a handshake of which no more comes.
const HALF_HANDSHAKE: [u8; 9] = [22, 3, 1, 2, 0, 1, 0, 1, 252];

async fn handshakes_that_stall_hold_nothing(setup: Setup) {
    let connections =
        ConnectionLimits { maximum: 8, head_timeout: Duration::from_secs(600), ..ConnectionLimits::default() };
    let secured = Secured::start(setup, connections).await;
    // They come again as soon as they lose their place.
    let address = secured.server.address;
    let stalling = (0..20).map(|_| async move {
        loop {
            if let Ok(mut stream) = TcpStream::connect(address).await {
                _ = stream.write_all(&HALF_HANDSHAKE).await;
                _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
        }
    });
    let attack: Vec<JoinHandle<()>> = stalling.map(tokio::spawn).collect();
    for _ in 0..3 {
        let taken = tokio::time::timeout(Duration::from_secs(60), secured.assert_takes(&secured.caller())).await;
        taken.expect("a place in time");
    }
    attack.iter().for_each(JoinHandle::abort);
}

async fn handshakes_that_do_not_end_are_ended(setup: Setup) {
    let secured = Secured::start(setup, limits()).await;
    let address = secured.server.address;
    for beginning in [&[][..], &HALF_HANDSHAKE[..1], &HALF_HANDSHAKE] {
        let mut stream = connect(address).await;
        stream.write_all(beginning).await.expect("a beginning");
        read_to_end(&mut stream).await;
    }
    // By the byte.
    let mut stream = connect(address).await;
    stream.write_all(&HALF_HANDSHAKE).await.expect("a beginning");
    write_until_ended(&mut stream, &[0], Duration::from_millis(20)).await;
    // A handshake that nobody calls with after it.
    let mut stream = secured.caller().connect(address).await.expect("a handshake");
    _ = stream.read_to_end(&mut Vec::new()).await;
    // A message of 16 MiB, in records of 16 KiB.
    let mut stream = connect(address).await;
    let record = [&[22, 3, 1, 64, 0, 1, 255, 255, 255][..], &[0; 16 * 1024 - 4]].concat();
    let records = write_until_ended(&mut stream, &record, Duration::ZERO).await;
    assert!(records < 1000, "{records} records are taken");
    secured.assert_takes(&secured.caller()).await;
}

async fn answers_that_nobody_takes_end_a_connection_by_tls_too(setup: Setup) {
    let secured = Secured::start(setup, limits()).await;
    let caller = secured.caller().speaking(&["http/1.1"]);
    let stream = connect_narrow(secured.server.address).await;
    let mut stream = caller.connect_over(stream).await.expect("a handshake");
    let requests = "GET /nothing HTTP/1.1\r\nhost: here\r\n\r\n".repeat(1000);
    let writing = async { while stream.write_all(requests.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(60), writing).await.expect("the connection does not end");
    secured.assert_takes(&secured.caller()).await;
}

async fn who_speaks_plainly_to_a_port_of_tls_is_told(setup: Setup) {
    let secured = Secured::start(setup, ConnectionLimits::default()).await;
    let address = secured.server.address;
    // The body is more than fits on the way, and the answer is seen all the same.
    let request = reqwest::Client::new().post(format!("http://{address}/{BULK}")).body(vec![b' '; 200_000]);
    let (status, answer) = envelope(request.send().await.expect("an answer")).await;
    assert_eq!(status, 400);
    answer.assert_refused("MalformedRequest");
    assert!(answer.message.contains("TLS") && answer.message.contains("https"), "{answer:?}");
    let mut stream = connect(address).await;
    stream.write_all(&greeting(&[])).await.expect("a greeting");
    let (_, told) = read_until(&mut stream, raw::GO_AWAY).await.expect("a word before the end");
    assert_eq!(told[4..8], [0, 0, 0, 12], "INADEQUATE_SECURITY");
    assert!(String::from_utf8_lossy(&told[8..]).contains("https"));
    stream.shutdown().await.expect("an end");
    assert!(read_to_end(&mut stream).await.is_empty());
    drop(secured.folder);
}

async fn a_handshake_with_a_port_of_plain_text_is_told_and_logged(_: Setup) {
    let workplace = Workplace::new();
    workplace.add_caller("seven green kettles");
    let server = workplace.serve(&[]);
    let caller = Caller::trusting(&Authority::new("an authority"));
    let refusal = caller.connect(server.address).await.expect_err("no TLS").to_string();
    assert!(refusal.contains("corrupt"), "{refusal}");
    server.wait_for_output("a caller speaks TLS, which this port does not").await;
    server.login("seven green kettles").await;
    assert!(!server.output().contains("ERROR"), "{}", server.output());
}

async fn the_log_names_the_caller_by_its_certificate(_: Setup) {
    let mut workplace = Workplace::new();
    workplace.set("REFERRAL_EVENTS_LOG_FORMAT", "text");
    let (authority, clients) = (Authority::new("the server's authority"), Authority::new("the callers' authority"));
    authority.issue("a server").write_to(&workplace.path("."));
    fs::write(workplace.path("ca.crt"), clients.pem()).expect("a file");
    let server = workplace.serve(&[
        "--tls-certificate",
        "tls.crt",
        "--tls-key",
        "tls.key",
        "--tls-client-authority",
        "ca.crt",
        "--tls-client-optional",
    ]);
    let caller = Caller::trusting(&authority);
    let long = "x".repeat(400);
    for (name, logged) in [
        ("shop 7", "client=\"CN=shop 7\"".to_owned()),
        ("a\"\n\u{1b}[31mb", "client=\"CN=a\\\"\\n\\u{1b}[31mb\"".to_owned()),
        (&long, format!("client=\"CN={}\"", &long[3..255])),
        ("", "client=\"DNSName(localhost)\"".to_owned()),
    ] {
        let (status, _) = caller.with(&clients.issue(name)).post(server.address, "nowhere", &json!({})).await;
        assert_eq!(status, 404);
        server.wait_for_output(&logged).await;
    }
    // Who has none has no name.
    let before = server.output().matches("client=").count();
    caller.post(server.address, "without", &json!({})).await;
    server.wait_for_output("POST /without").await;
    assert_eq!(server.output().matches("client=").count(), before);
}
