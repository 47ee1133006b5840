//! `health`: what watches over a container learns by its exit code whether the server serves.

use std::{
    fs,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

use crate::support::{Setup, Workplace, tests, tls::Authority, until};

tests! {
    Once:
        a_server_that_serves_is_said_to_serve,
        without_a_url_the_server_is_where_serve_with_the_same_settings_listens,
        a_server_that_stops_is_not_serving,
        a_server_that_is_not_there_or_does_not_answer_is_not_serving,
        a_certificate_is_checked_against_the_authority_that_is_given,
        a_server_that_takes_certificates_alone_is_shown_one;
}

async fn a_server_that_serves_is_said_to_serve(_: Setup) {
    let workplace = Workplace::new();
    let server = workplace.serve(&[]);
    let url = format!("http://{}", server.address);
    for service in [&[][..], &["--service", "referral.v1.ReferralEventService"]] {
        let ended = workplace.run_well(&[&["health", "--server", &url], service].concat(), "");
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("serving\n", ""));
    }
    let ended = workplace.run(&["health", "--server", &url, "--service", "referral.v1.Other"]);
    let expected = format!("error: {url} has no service referral.v1.Other\n");
    assert_eq!((ended.code, ended.stderr), (Some(1), expected));
    for url in ["127.0.0.1:50051", "ftp://127.0.0.1", "http://127.0.0.1:50051/healthz", ""] {
        let ended = workplace.run(&["health", "--server", url]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("it takes http://HOST:PORT or https://HOST:PORT") || url.is_empty(), "{ended:?}");
    }
}

async fn without_a_url_the_server_is_where_serve_with_the_same_settings_listens(_: Setup) {
    let mut workplace = Workplace::new();
    for (name, key) in [("REFERRAL_EVENTS_TOKEN_KEY", "70"), ("REFERRAL_EVENTS_HASH_KEY", "4a")] {
        workplace.set(name, &key.repeat(32));
    }
    let server = workplace.serve_on("0.0.0.0:0", &["--plaintext"]);
    let listen = format!("0.0.0.0:{}", server.address.port());
    fs::write(workplace.path("settings.toml"), format!("listen = \"{listen}\"\n")).expect("a file");
    assert_eq!(workplace.run_well(&["health", "--config", "settings.toml"], "").stdout, "serving\n");
    workplace.set("REFERRAL_EVENTS_LISTEN", &listen);
    assert_eq!(workplace.run_well(&["health"], "").stdout, "serving\n");
    drop(server);
    let ended = workplace.run(&["health"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
}

async fn a_server_that_stops_is_not_serving(_: Setup) {
    let workplace = Workplace::new();
    let server = workplace.serve(&["--drain-pause", "600", "--drain-limit", "1200"]);
    let url = format!("http://{}", server.address);
    server.terminate();
    until("the health says no", async || workplace.run(&["health", "--server", &url]).code == Some(1)).await;
    let ended = workplace.run(&["health", "--server", &url]);
    let expected = format!("error: {url} is not serving\n");
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr), (Some(1), "", expected));
}

async fn a_server_that_is_not_there_or_does_not_answer_is_not_serving(_: Setup) {
    let workplace = Workplace::new();
    let ended = workplace.run(&["health", "--server", "http://127.0.0.1:1"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.starts_with("error: http://127.0.0.1:1 cannot be connected to: Connection refused"),
        "{ended:?}"
    );
    let silent = StdListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let ended = workplace.run(&["health", "--server", &url, "--patience", "1"]);
    let expected = format!("error: {url} does not answer within 1 seconds\n");
    assert_eq!((ended.code, ended.stderr), (Some(1), expected));
}

/// Has connections by TLS handed on to a server, and answers their address and the authority of the certificate.
async fn in_front_of(server: SocketAddr, name: &str) -> (SocketAddr, String) {
    let key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(authority, key).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth();
    let mut config = config.with_single_cert(vec![certificate.der().clone()], key).expect("a certificate");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut behind = TcpStream::connect(server).await.expect("a server");
            _ = tokio::io::copy_bidirectional(&mut stream, &mut behind).await;
        }
    });
    (address, issuer.pem())
}

async fn a_certificate_is_checked_against_the_authority_that_is_given(_: Setup) {
    let workplace = Workplace::new();
    let server = workplace.serve(&[]);
    let (address, authority) = in_front_of(server.address, "events.example").await;
    let (_, other) = in_front_of(server.address, "events.example").await;
    fs::write(workplace.path("authority.pem"), authority).expect("a file");
    fs::write(workplace.path("other.pem"), other).expect("a file");
    let url = format!("https://{address}");
    let health = |more: &[&str]| workplace.run(&[&["health", "--server", &url], more].concat());
    let named = ["--certificate-name", "events.example"];
    let ended = health(&[&["--authority", "authority.pem"], &named[..]].concat());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "serving\n"), "{ended:?}");
    for (more, reason) in [
        (
            vec!["--authority", "authority.pem"],
            "cannot be connected to: invalid peer certificate: certificate not valid",
        ),
        ([&["--authority", "other.pem"], &named[..]].concat(), "cannot be connected to: invalid peer certificate: "),
        (vec!["--authority", "nowhere.pem"], "nowhere.pem: No such file"),
        (vec![], "error: an https server takes --authority FILE, to know its certificate by"),
    ] {
        let ended = health(&more);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(reason), "{ended:?}");
    }
}

async fn a_server_that_takes_certificates_alone_is_shown_one(_: Setup) {
    let workplace = Workplace::new();
    let authority = Authority::new("ours");
    authority.issue("the server").write_to(&workplace.path(""));
    fs::create_dir(workplace.path("watch")).expect("a folder");
    authority.issue("who watches").write_to(&workplace.path("watch"));
    fs::write(workplace.path("ca.crt"), authority.pem()).expect("a file");
    let tls = ["--tls-certificate", "tls.crt", "--tls-key", "tls.key", "--tls-client-authority", "ca.crt"];
    let server = workplace.serve(&tls);
    let url = format!("https://{}", server.address);
    let ask = ["health", "--server", &url, "--authority", "ca.crt"];
    let shown = ["--client-certificate", "watch/tls.crt", "--client-key", "watch/tls.key"];
    assert_eq!(workplace.run_well(&[&ask[..], &shown[..]].concat(), "").stdout, "serving\n");
    assert_eq!(workplace.run(&ask).code, Some(1));
    let in_plain_text = workplace.run(&["health", "--server", &url.replace("https:", "http:")]);
    let hint = "; where it serves TLS, ask https:// with --authority FILE\n";
    assert_eq!((in_plain_text.code, in_plain_text.stderr.ends_with(hint)), (Some(1), true), "{in_plain_text:?}");
    let missing =
        workplace.run(&[&ask[..], &["--client-certificate", "watch/tls.crt", "--client-key", "no.key"]].concat());
    assert_eq!((missing.code, missing.stderr.contains("no.key: No such file")), (Some(1), true), "{missing:?}");
    assert_eq!(workplace.run(&[&ask[..], &shown[..2]].concat()).code, Some(2));
}
