//! Certificates, and callers by TLS.

use std::{fs, io, net::SocketAddr, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use bytes::Bytes;
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, date_time_ymd,
};
use referral_events::tls::{ClientSettings, Tls, TlsSettings};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
        version::{TLS12, TLS13},
    },
};

use super::{Answer, envelope};

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::new([]).expect("parameters");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(parameters, key).expect("a certificate"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate of this machine, or of who bears the name, good for a year.
    pub fn issue(&self, name: &str) -> Issued {
        self.issue_until(name, 365)
    }

    /// One that ends in so many days; it began a week before.
    pub fn issue_until(&self, name: &str, days: i64) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut parameters = CertificateParams::new(names).expect("parameters");
        parameters.distinguished_name = DistinguishedName::new();
        if !name.is_empty() {
            parameters.distinguished_name.push(DnType::CommonName, name);
        }
        let day = |days: i64| {
            let day: DateTime<Utc> = Utc::now() + TimeDelta::days(days);
            date_time_ymd(day.year(), day.month() as u8, day.day() as u8)
        };
        (parameters.not_before, parameters.not_after) = (day(days.min(0) - 7), day(days));
        let certificate = parameters.signed_by(&key, &self.0).expect("a certificate");
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Issued {
    /// Writes the two as `tls.crt` and `tls.key`; the key for its owner's eyes alone.
    pub fn write_to(&self, folder: &Path) {
        fs::write(folder.join("tls.crt"), &self.certificate).expect("a file");
        fs::write(folder.join("tls.key"), &self.key).expect("a file");
        set_mode(&folder.join("tls.key"), 0o600);
    }

    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("a certificate")
    }
}

pub fn set_mode(file: &Path, mode: u32) {
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("a file");
}

/// What is served with the files of a folder; callers are asked for a certificate where it has their authority, `ca.crt`.
pub fn open(folder: &Path, are_optional: bool) -> Tls {
    let authority = folder.join("ca.crt");
    let clients = authority.exists().then_some(ClientSettings { authority, are_optional });
    let settings = TlsSettings { certificate: folder.join("tls.crt"), key: folder.join("tls.key"), clients };
    Tls::open(settings, Utc::now()).expect("files that can be served")
}

pub static BOTH_VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A caller that trusts an authority, and speaks these versions and protocols.
#[derive(Clone)]
pub struct Caller {
    roots: Arc<RootCertStore>,
    certificate: Option<Issued>,
    versions: Vec<&'static SupportedProtocolVersion>,
    protocols: Vec<&'static str>,
}

impl Caller {
    pub fn trusting(authority: &Authority) -> Self {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("a certificate");
        roots.add(root).expect("an authority");
        Self {
            roots: Arc::new(roots),
            certificate: None,
            versions: BOTH_VERSIONS.to_vec(),
            protocols: vec!["h2", "http/1.1"],
        }
    }

    pub fn with(&self, certificate: &Issued) -> Self {
        Self { certificate: Some(certificate.clone()), ..self.clone() }
    }

    pub fn by(&self, version: &'static SupportedProtocolVersion) -> Self {
        Self { versions: vec![version], ..self.clone() }
    }

    pub fn speaking(&self, protocols: &[&'static str]) -> Self {
        Self { protocols: protocols.to_vec(), ..self.clone() }
    }

    pub async fn connect(&self, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        self.connect_over(TcpStream::connect(address).await?).await
    }

    pub async fn connect_over(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&self.versions)
            .expect("versions")
            .with_root_certificates(self.roots.clone());
        let mut config = match &self.certificate {
            Some(Issued { key, .. }) => {
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                let chain = vec![self.certificate.as_ref().expect("a certificate").der()];
                builder.with_client_auth_cert(chain, key).expect("a certificate")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// Posts JSON by the protocol that was agreed upon, on a connection of its own.
    pub async fn post(&self, address: SocketAddr, path: &str, body: &Value) -> (u16, Answer) {
        let stream = self.connect(address).await.expect("a handshake");
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let request = hyper::Request::post(format!("https://localhost/{path}"))
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .expect("a request");
        let answer = if is_http2 {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                    .await
                    .expect("HTTP/2");
            tokio::spawn(connection);
            sender.send_request(request).await
        } else {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
            tokio::spawn(connection);
            sender.send_request(request).await
        };
        let (head, body) = answer.expect("an answer").into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        envelope(hyper::Response::from_parts(head, body).into()).await
    }

    /// Why the server does not take this caller. By TLS 1.3 that is told after the caller's side of the handshake.
    pub async fn refusal(&self, address: SocketAddr) -> String {
        let refused = async {
            let mut stream = self.connect(address).await?;
            stream.write_all(b"GET /nothing HTTP/1.1\r\nhost: here\r\n\r\n").await?;
            stream.read_u8().await
        };
        refused.await.expect_err("a refusal").to_string()
    }

    /// The certificate that a new connection gets.
    pub async fn certificate_shown(&self, address: SocketAddr) -> CertificateDer<'static> {
        let stream = self.connect(address).await.expect("a handshake");
        let shown = stream.get_ref().1.peer_certificates().expect("a certificate");
        shown[0].clone().into_owned()
    }
}
