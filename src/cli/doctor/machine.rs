//! The machine that the service runs on: room on the disk, descriptors, the port.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use rustix::fs::statvfs;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tonic::transport::Endpoint;

use super::{
    super::{admin::AdminArguments, health, serve::ServeArguments},
    finding::Finding,
};
use crate::{config::ConnectionLimits, storage::sqlite_file};

const DISK: &str = "disk";
const DESCRIPTORS: &str = "descriptors";
const PORT: &str = "port";
const ADMIN_PORT: &str = "admin port";

const MIB: u64 = 1024 * 1024;
/// What the log of a SQLite file may take beside it.
const NEEDED: u64 = 128 * MIB;
/// Room in which it can be seen coming that there is none left: for some million events.
const ADVISABLE: u64 = 1024 * MIB;

/// The room beside a SQLite file. What PostgreSQL has, its machine knows.
pub fn disk(database_url: &str) -> Option<Finding> {
    let file = sqlite_file(database_url).ok().flatten()?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let free = match statvfs(folder) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => return Some(Finding::failed(DISK, format!("{} cannot be looked at: {error}", folder.display()))),
    };
    let found = format!("{} MiB are free in {}", free / MIB, folder.display());
    Some(match free {
        ..NEEDED => Finding::failed(
            DISK,
            format!("{found}, and SQLite's log alone may take {}: make room, or move the database", NEEDED / MIB),
        ),
        NEEDED..ADVISABLE => Finding::warning(DISK, format!("{found}: make room, before it is used up")),
        ADVISABLE.. => Finding::ok(DISK, found),
    })
}

pub fn descriptors(serve: &ServeArguments, database_connections: u32) -> Finding {
    match serve.connections(database_connections) {
        Err(reason) => Finding::failed(DESCRIPTORS, reason.to_string()),
        Ok(ConnectionLimits { maximum, .. })
            if serve.maximum_connections.is_none() && maximum < ConnectionLimits::default().maximum =>
        {
            Finding::warning(
                DESCRIPTORS,
                format!(
                    "they do for {maximum} connections of callers: raise the system's limit (ulimit -n, LimitNOFILE= of \
                     systemd), or say with --maximum-connections that so many are enough"
                ),
            )
        }
        Ok(ConnectionLimits { maximum, .. }) => {
            Finding::ok(DESCRIPTORS, format!("they do for {maximum} connections of callers"))
        }
    }
}

/// How long a server that has the port may take to tell its health.
const PATIENCE: Duration = Duration::from_secs(3);

pub async fn port(addresses: &[SocketAddr]) -> Finding {
    let Some(first) = addresses.first() else { return Finding::failed(PORT, "--listen leads to no address") };
    match TcpListener::bind(addresses).await {
        Ok(_) => Finding::ok(PORT, format!("{first} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => taken(*first).await,
        Err(error) => {
            Finding::failed(PORT, format!("{first} cannot be listened on ({error}): set another address by --listen"))
        }
    }
}

async fn taken(address: SocketAddr) -> Finding {
    let asked = match Endpoint::from_shared(health::of_address(address)) {
        Ok(server) => health::ask(server, String::new(), PATIENCE).await,
        Err(error) => Err(error.to_string()),
    };
    match asked {
        Ok(true) => Finding::ok(PORT, format!("{address} is taken by this service, which serves")),
        Ok(false) => Finding::warning(PORT, format!("{address} is taken by this service, which is not serving")),
        Err(reason) => Finding::failed(
            PORT,
            format!(
                "{address} is taken by another program, which {reason}: end it, or set another address by --listen"
            ),
        ),
    }
}

/// `None` where there is to be none.
pub async fn admin_port(arguments: &AdminArguments) -> Option<Finding> {
    let (addresses, is_named) = match arguments.addresses().await {
        Ok(addresses) => addresses?,
        Err(reason) => return Some(Finding::failed(ADMIN_PORT, reason.to_string())),
    };
    let first = addresses.first()?;
    let Err(error) = TcpListener::bind(&addresses[..]).await else {
        return Some(Finding::ok(ADMIN_PORT, format!("{first} is free")));
    };
    if let Ok(Ok(true)) = timeout(PATIENCE, is_ours(*first)).await {
        return Some(Finding::ok(ADMIN_PORT, format!("{first} is taken by this service")));
    }
    let message = format!("{first} cannot be listened on ({error}): set another address by --admin-listen, or off");
    Some(if is_named { Finding::failed(ADMIN_PORT, message) } else { Finding::warning(ADMIN_PORT, message) })
}

/// Whether what listens there says what our own admin port does.
async fn is_ours(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer).await?;
    Ok(answer.ends_with(br#"{"live":true}"#))
}
