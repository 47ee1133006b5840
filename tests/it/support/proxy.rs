//! A proxy between a server and PostgreSQL that delays what they say, ends their connections, or swallows what is said.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, oneshot},
    task::JoinHandle,
};

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// It arrives once the test says so.
    Hold,
    /// Its connection ends, both ways.
    Cut,
    /// Nothing more comes its way, though the other way stays open.
    HalfClose,
    /// It never arrives, nor does anything after it, though the connection stays open.
    Hang,
}

/// Every read from a connection counts as a packet, whichever way it goes.
pub struct Proxy {
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    delay: AtomicU64,
    packets: AtomicUsize,
    /// The number of a packet, what happens to it, and who is told.
    fault: Mutex<Option<(usize, Fault, oneshot::Sender<()>)>>,
    released: Notify,
}

impl Proxy {
    /// In front of the server of a PostgreSQL URL. Answers the URL that leads through it, too.
    pub async fn start(url: &str) -> (Self, String) {
        let mut url = reqwest::Url::parse(url).expect("a URL");
        let target = (url.host_str().expect("a host").to_owned(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            delay: AtomicU64::new(0),
            packets: AtomicUsize::new(0),
            fault: Mutex::new(None),
            released: Notify::new(),
        });
        let theirs = shared.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (shared, target) = (theirs.clone(), target.clone());
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect((target.0.as_str(), target.1)).await {
                        connect(&shared, client, server).await;
                    }
                });
            }
        });
        url.set_host(Some("127.0.0.1")).expect("a host");
        url.set_port(Some(address.port())).expect("a port");
        (Self { shared, accepting }, url.into())
    }

    /// From now on a packet takes so long, each way.
    pub fn delay(&self, delay: Duration) {
        self.shared.delay.store(delay.as_micros().try_into().expect("a short delay"), Ordering::Relaxed);
    }

    /// How many packets there were since this was asked last.
    pub fn take_packets(&self) -> usize {
        self.shared.packets.swap(0, Ordering::SeqCst)
    }

    /// Has this happen to the packet of this number from now on, counted from one; what it answers ends once it has.
    pub fn at(&self, packet: usize, fault: Fault) -> oneshot::Receiver<()> {
        let (sender, happened) = oneshot::channel();
        self.shared.packets.store(0, Ordering::SeqCst);
        *self.shared.fault.lock().expect("a lock") = Some((packet, fault, sender));
        happened
    }

    /// Lets the packet that is held go on.
    pub fn release(&self) {
        self.shared.released.notify_one();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    /// Counts a packet; answers what is to happen to it.
    fn count(&self) -> Fault {
        let number = self.packets.fetch_add(1, Ordering::SeqCst) + 1;
        let mut fault = self.fault.lock().expect("a lock");
        match fault.take() {
            Some((at, what, told)) if at <= number => {
                // Who asked may be gone.
                _ = told.send(());
                what
            }
            other => {
                *fault = other;
                Fault::None
            }
        }
    }
}

/// Carries packets both ways until a side ends, or is ended.
async fn connect(shared: &Shared, client: TcpStream, server: TcpStream) {
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("an option");
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let there = carry(shared, from_client, to_server);
    let back = carry(shared, from_server, to_client);
    tokio::pin!(there, back);
    let (there_ended, back_ended) = tokio::select! {
        ended = &mut there => (Some(ended), None),
        ended = &mut back => (None, Some(ended)),
    };
    // One way that ended by itself leaves the other one open.
    match (there_ended, back_ended) {
        (Some(End::Half), _) => _ = back.await,
        (_, Some(End::Half)) => _ = there.await,
        _ => {}
    }
}

/// How one way ended.
enum End {
    Half,
    Whole,
}

async fn carry(shared: &Shared, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> End {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else {
            // The other side is told what it would be told without us.
            _ = to.shutdown().await;
            return End::Whole;
        };
        let delay = shared.delay.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_micros(delay)).await;
        }
        match shared.count() {
            Fault::None => {}
            Fault::Cut => return End::Whole,
            Fault::HalfClose => {
                _ = to.shutdown().await;
                return End::Half;
            }
            Fault::Hold => shared.released.notified().await,
            Fault::Hang => return std::future::pending().await,
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return End::Whole;
        }
    }
}
