//! What the server shows of itself by TLS, and whom it takes: read from files, and again when what they hold changes.
//!
//! Connections keep what they began with. Where the files hold what cannot be served, the last that could is kept.

mod files;
mod pair;
mod watch;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use tokio_rustls::{TlsAcceptor, rustls::pki_types::CertificateDer};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use self::pair::Pair;
pub use self::watch::Watch;

/// The files, each of them PEM.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// The certificate of the server, and after it those that lead to its authority.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Whose certificates callers may have; where there is none, callers are not asked for any.
    pub clients: Option<ClientSettings>,
}

#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The certificates of the authorities that callers' certificates are from.
    pub authority: PathBuf,
    /// Takes callers without a certificate too.
    pub are_optional: bool,
}

/// Why the files cannot be served, for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(String);

/// What is served by TLS at present. Clones are the same.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    settings: TlsSettings,
    served: Mutex<Arc<Pair>>,
}

impl Tls {
    pub fn open(settings: TlsSettings, now: DateTime<Utc>) -> Result<Self, Unusable> {
        let pair = Pair::of(files::read(&settings)?, &settings, now)?;
        tracing::info!(subject = pair.subject, ends = %pair.ends, "connections get this TLS certificate");
        Ok(Self(Arc::new(Shared { settings, served: Mutex::new(Arc::new(pair)) })))
    }

    /// Takes a new connection by what is served now.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.served().config.clone().into()
    }

    fn served(&self) -> Arc<Pair> {
        self.0.served.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn serve(&self, pair: Pair) {
        *self.0.served.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
    }
}

/// Shows no key.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tls").field(&self.0.settings).finish()
    }
}

/// Whose certificate it is, for the log: its subject or, where that is empty, its first other name.
pub fn subject(certificate: &CertificateDer<'_>) -> String {
    /// In characters.
    const LONGEST: usize = 255;
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else { return "of no readable name".to_owned() };
    let other_names = parsed.subject_alternative_name().ok().flatten();
    let other_name = other_names.and_then(|names| names.value.general_names.first().map(GeneralName::to_string));
    let subject = parsed.subject().to_string();
    let name = Some(subject).filter(|subject| !subject.is_empty()).or(other_name).unwrap_or_default();
    name.chars().take(LONGEST).collect()
}
