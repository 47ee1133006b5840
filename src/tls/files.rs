//! Reads the files, and tells by what they hold whether that is new: in Kubernetes a link changes, and no file does.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{TlsSettings, Unusable};

/// No file is larger that is meant, in bytes.
const MAXIMUM_SIZE: u64 = 4 * 1024 * 1024;

/// What a mode grants to users who are neither the owner nor of the group.
const OF_OTHERS: u32 = 0o007;

/// What the files hold at one time.
pub struct Contents {
    pub certificate: Vec<u8>,
    pub key: Zeroizing<Vec<u8>>,
    pub authority: Vec<u8>,
}

/// What the same contents have in common, and no others.
pub type Fingerprint = [u8; 32];

impl Contents {
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        for content in [&self.certificate, &*self.key, &self.authority] {
            hash.update((content.len() as u64).to_be_bytes());
            hash.update(content);
        }
        hash.finalize().into()
    }
}

pub fn read(settings: &TlsSettings) -> Result<Contents, Unusable> {
    let authority = settings.clients.as_ref().map(|clients| read_file("client authority", &clients.authority));
    Ok(Contents {
        certificate: read_file("certificate", &settings.certificate)?.0,
        key: read_key(&settings.key)?,
        authority: authority.transpose()?.map(|(content, _)| content).unwrap_or_default(),
    })
}

/// A key that everybody on the machine can read is no secret. Its group may: in Kubernetes and on Debian that is how a
/// service which is not root gets at it.
fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, Unusable> {
    let (content, mode) = read_file("key", path)?;
    let content = Zeroizing::new(content);
    if mode & OF_OTHERS != 0 {
        return Err(Unusable(format!(
            "the TLS key {} is open to everybody on this machine: chmod o= it (in Kubernetes: defaultMode: 0440)",
            path.display()
        )));
    }
    Ok(content)
}

/// What the file holds, and its mode.
fn read_file(what: &str, path: &Path) -> Result<(Vec<u8>, u32), Unusable> {
    let read = || {
        // To open a pipe would wait for its writer.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.len() > MAXIMUM_SIZE {
            return Err(io::Error::other(format!("it is larger than {MAXIMUM_SIZE} bytes")));
        }
        let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
        file.take(MAXIMUM_SIZE).read_to_end(&mut content)?;
        Ok((content, metadata.permissions().mode()))
    };
    read().map_err(|error| Unusable(format!("the TLS {what} {} cannot be read: {error}", path.display())))
}
