//! A certificate and its key, as they are served.

use std::{path::Path, sync::Arc};

use chrono::{DateTime, Utc};
use tokio_rustls::rustls::{
    Error as TlsError, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use x509_parser::{parse_x509_certificate, time::ASN1Time};

use super::{
    ClientSettings, TlsSettings, Unusable,
    files::{Contents, Fingerprint},
    subject,
};

pub struct Pair {
    pub config: Arc<ServerConfig>,
    /// What the files held.
    pub fingerprint: Fingerprint,
    pub subject: String,
    pub ends: DateTime<Utc>,
}

impl Pair {
    /// Refuses what callers would refuse, too: a certificate that has ended, or has not begun.
    pub fn of(contents: Contents, settings: &TlsSettings, now: DateTime<Utc>) -> Result<Self, Unusable> {
        let fingerprint = contents.fingerprint();
        let file = settings.certificate.display();
        let chain = certificates("certificate", &settings.certificate, &contents.certificate)?;
        let Some(first) = chain.first() else { return Err(Unusable(format!("the TLS certificate {file} is empty"))) };
        let subject = subject(first);
        let (begins, ends) = period(first)
            .ok_or_else(|| Unusable(format!("the first certificate of the TLS certificate {file} cannot be read")))?;
        if ends <= now {
            return Err(Unusable(format!("the TLS certificate {file} has ended on {ends}: renew it")));
        }
        if begins > now {
            return Err(Unusable(format!("the TLS certificate {file} begins only on {begins}; here it is {now}")));
        }
        let key = private_key(&settings.key, &contents.key)?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| Unusable(format!("TLS cannot be had: {error}")))?;
        let builder = match &settings.clients {
            Some(clients) => builder.with_client_cert_verifier(verifier(clients, &contents.authority, provider)?),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            let key = settings.key.display();
            Unusable(match error {
                TlsError::InconsistentKeys(_) => {
                    format!("the TLS key {key} does not fit the first certificate of the TLS certificate {file}")
                }
                error => format!("the TLS certificate {file} and key {key} cannot be served: {error}"),
            })
        })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), fingerprint, subject, ends })
    }
}

fn certificates(what: &str, path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let file = path.display();
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| Unusable(format!("the TLS {what} {file} is no good PEM: {error}")))?;
    if found.is_empty() {
        let remedy = "openssl x509 -inform der -in FILE prints one that is in DER";
        return Err(Unusable(format!("the TLS {what} {file} has no certificate in PEM: {remedy}")));
    }
    Ok(found)
}

fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, Unusable> {
    // What is wrong with it is not told: it might tell of the key.
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let remedy = "openssl pkey -in FILE prints one that has a password or is in DER";
        Unusable(format!("the TLS key {} has no private key in PEM: {remedy}", path.display()))
    })
}

fn verifier(
    clients: &ClientSettings,
    pem: &[u8],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Unusable> {
    let file = clients.authority.display();
    let mut roots = RootCertStore::empty();
    for certificate in certificates("client authority", &clients.authority, pem)? {
        let added = roots.add(certificate);
        added.map_err(|error| Unusable(format!("the TLS client authority {file} cannot be used: {error}")))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if clients.are_optional { builder.allow_unauthenticated() } else { builder };
    builder.build().map_err(|error| Unusable(format!("the TLS client authority {file} cannot be used: {error}")))
}

/// From when to when a certificate may be used.
fn period(certificate: &CertificateDer<'_>) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let time = |time: ASN1Time| DateTime::from_timestamp(time.timestamp(), 0);
    time(parsed.validity().not_before).zip(time(parsed.validity().not_after))
}
