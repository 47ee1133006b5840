//! The connections of callers: how many there are, what each may cost, and how they end.
//!
//! One task accepts and looks after all of them; each is driven by a task of its own. Whoever is waited for has a limit:
//! the handshake and the head of a request, its body, and the taking of the answer. [`stream`] sees the bytes pass,
//! [`body`] the bodies; what they see is kept in a [`Connection`], by which [`Connections`] decides.

mod beginning;
mod body;
mod call;
mod connection;
mod frames;
mod pace;
mod stream;

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, Response, Version, header},
};
use futures_util::future::BoxFuture;
use hyper::{body::Incoming, service::Service};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustix::io::Errno;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{Id, JoinSet},
    time::MissedTickBehavior,
};
use tower::ServiceExt;

use self::{
    body::{AnswerBody, RequestBody},
    call::Lasting,
    connection::{Condition, Connection, Order},
    stream::Watched,
};

use crate::{
    config::ConnectionLimits,
    tls::Tls,
    transport::request::{Client, GoesAway, Peer},
};

pub use self::connection::CallUnderWay;

/// How many calls may be under way on one connection of HTTP/2; a caller with more waits for one to end.
const MAXIMUM_STREAMS: u32 = 100;

/// The largest head of a request over HTTP/2, in bytes, and over HTTP/1.1, where it is what is read ahead as well.
const MAXIMUM_HEADERS: u32 = 16 * 1024;
const MAXIMUM_READ_AHEAD: usize = 64 * 1024;

/// What is kept of one answer, beside the part that is being sent, until an HTTP/2 peer makes room for it, in bytes.
const MAXIMUM_SEND_BUFFER: usize = 400 * 1024;

/// Streams that a peer may take back before they are looked at, and errors it may make us reset streams for. Past
/// them the connection ends.
const MAXIMUM_TAKEN_BACK: usize = 20;
const MAXIMUM_RESETS: usize = 1024;

/// After how long an HTTP/2 peer is asked whether it is still there, and how long it has to say so.
const PING_INTERVAL: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a connection is left alone before another may take its place.
const YOUNG: Duration = Duration::from_secs(1);

/// Of how many connections one makes room at once where a new one finds no place.
const ROOM: usize = 16;

/// How soon a new connection without a place, or an accept that failed, is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// How often it is said that no connection can be accepted.
const COMPLAINT: Duration = Duration::from_secs(10);

/// Those that are open.
#[derive(Clone, Default)]
pub struct Open(Arc<Mutex<HashMap<Id, Arc<Connection>>>>);

impl Open {
    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Arc<Connection>>> {
        // Nothing panics with the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are in each condition.
    pub fn by_condition(&self) -> [(&'static str, usize); Condition::ALL.len()] {
        let conditions: Vec<Condition> = self.lock().values().map(|connection| connection.condition()).collect();
        let count = |condition| conditions.iter().filter(|other| **other == condition).count();
        Condition::ALL.map(|condition| (condition.name(), count(condition)))
    }
}

/// All connections.
pub struct Connections {
    app: Router,
    limits: ConnectionLimits,
    tls: Option<Tls>,
    http: auto::Builder<TokioExecutor>,
    open: Open,
    tasks: JoinSet<()>,
    complained: Option<Instant>,
    is_stopping: Arc<AtomicBool>,
}

impl Connections {
    /// `open` is told which are open.
    pub fn new(app: Router, limits: ConnectionLimits, tls: Option<Tls>, open: Open) -> Self {
        let http = protocols();
        let is_stopping = Arc::default();
        Self { app, limits, tls, http, open, tasks: JoinSet::new(), complained: None, is_stopping }
    }

    /// What says, once it is set, that the server is about to stop: each answer over HTTP/1.1 is then the last on its
    /// connection.
    pub fn stopping(&self) -> Arc<AtomicBool> {
        self.is_stopping.clone()
    }

    /// Serves what connects until `stop`, and answers its outcome.
    pub async fn accept<T>(&mut self, listener: TcpListener, stop: impl Future<Output = T>) -> T {
        let mut stop = pin!(stop);
        let mut review = tokio::time::interval(self.limits.review_interval());
        review.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // One that has no place yet; no other is accepted meanwhile.
        let mut newcomer = None;
        let mut has_failed = false;
        loop {
            if self.open.lock().len() >= self.limits.maximum && newcomer.is_some() {
                self.make_room();
            } else if let Some((stream, peer)) = newcomer.take() {
                self.begin(stream, peer);
            }
            tokio::select! {
                accepted = listener.accept(), if newcomer.is_none() && !has_failed => match accepted {
                    Ok(accepted) => newcomer = Some(accepted),
                    Err(error) => has_failed = self.is_exhausted(&error),
                },
                Some(ended) = self.tasks.join_next_with_id() => self.forget(ended),
                _ = review.tick() => {
                    let now = Instant::now();
                    self.open.lock().values().for_each(|connection| connection.review(now));
                }
                () = tokio::time::sleep(RETRY), if newcomer.is_some() || has_failed => has_failed = false,
                outcome = &mut stop => {
                    // While it still listens: who finds nobody listening can rely on nothing being begun any more.
                    let now = Instant::now();
                    self.open.lock().values().for_each(|connection| connection.drain(now, now));
                    return outcome;
                }
            }
        }
    }

    /// Lets the calls under way end. Peers that only watch, or have stopped sending, are not waited for.
    pub async fn drain(&mut self) {
        let since = Instant::now();
        let mut review = tokio::time::interval(RETRY);
        while !self.open.lock().is_empty() {
            tokio::select! {
                Some(ended) = self.tasks.join_next_with_id() => self.forget(ended),
                _ = review.tick() => {
                    let now = Instant::now();
                    for connection in self.open.lock().values() {
                        connection.review(now);
                        connection.drain(since, now);
                    }
                }
            }
        }
    }

    /// Ends those that are left.
    pub fn cut(&self) {
        self.open.lock().values().for_each(|connection| connection.cut("the time for calls to end is over"));
    }

    fn begin(&mut self, stream: TcpStream, peer: SocketAddr) {
        // Without TCP_NODELAY an answer of many packets waits for the acknowledgement of the first, some 40 ms.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY is not to be had");
        }
        let connection = Arc::new(Connection::new(peer, self.limits.clone(), Instant::now()));
        let is_stopping = self.is_stopping.clone();
        let calls = Calls { app: self.app.clone(), connection: connection.clone(), client: None, is_stopping };
        let task = self.tasks.spawn(drive(self.http.clone(), self.tls.clone(), stream, calls));
        self.open.lock().insert(task.id(), connection);
    }

    fn forget(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "the task of a connection failed");
                error.id()
            }
        };
        self.open.lock().remove(&id);
    }

    /// Ends some of the connections on which nothing is at work: first those of whoever has most connections, of these
    /// first those that never asked for anything, of these first those that have been quiet for longest.
    fn make_room(&self) {
        let now = Instant::now();
        let mut shares: HashMap<IpAddr, usize> = HashMap::new();
        let open = self.open.lock();
        for connection in open.values() {
            *shares.entry(connection.peer()).or_default() += 1;
        }
        let mut quiet: Vec<_> = open
            .values()
            .filter_map(|connection| Some((connection.quiet_since()?, connection)))
            .filter(|(since, _)| now.duration_since(*since) >= YOUNG)
            .map(|(since, connection)| {
                let share = shares.get(&connection.peer()).copied().unwrap_or_default();
                ((std::cmp::Reverse(share), connection.has_served(), since), connection)
            })
            .collect();
        quiet.sort_by_key(|(order, _)| *order);
        let room = (self.limits.maximum / ROOM).max(1);
        quiet.iter().take(room).for_each(|(_, connection)| connection.cut("another one needs its place"));
    }

    /// Whether an accept failed for want of something that has to become free; what failed with one caller is over.
    fn is_exhausted(&mut self, error: &io::Error) -> bool {
        let wants = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].map(|errno| Some(errno.raw_os_error()));
        if !wants.contains(&error.raw_os_error()) {
            return false;
        }
        if self.complained.is_none_or(|last| last.elapsed() >= COMPLAINT) {
            self.complained = Some(Instant::now());
            tracing::warn!(%error, open = self.open.lock().len(), "no connection can be accepted; quiet ones are ended");
        }
        self.make_room();
        true
    }
}

/// HTTP/1.1 and HTTP/2 as they are served here. The time for heads and idle connections is kept by [`Connection`].
fn protocols() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().header_read_timeout(None).max_buf_size(MAXIMUM_READ_AHEAD);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAXIMUM_STREAMS)
        .max_header_list_size(MAXIMUM_HEADERS)
        .max_send_buf_size(MAXIMUM_SEND_BUFFER)
        .max_pending_accept_reset_streams(MAXIMUM_TAKEN_BACK)
        .max_local_error_reset_streams(MAXIMUM_RESETS)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    http
}

/// Serves a connection until it ends by itself, or is told to.
async fn drive(http: auto::Builder<TokioExecutor>, tls: Option<Tls>, stream: TcpStream, mut calls: Calls) {
    let connection = calls.connection.clone();
    let mut orders = connection.orders();
    let begun = tokio::select! {
        begun = beginning::begin(stream, tls.as_ref(), &connection) => begun,
        // Who has not asked for anything can be left at once.
        () = async { _ = orders.wait_for(|order| *order != Order::Serve).await } => None,
    };
    let Some((stream, client)) = begun else { return };
    calls.client = client;
    let stream = TokioIo::new(Watched::new(stream, connection));
    // One may have been given before this task began.
    orders.mark_changed();
    let mut serving = pin!(http.serve_connection(stream, calls));
    loop {
        tokio::select! {
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error, "a connection broke");
                }
                return;
            }
            changed = orders.changed() => match *orders.borrow_and_update() {
                Order::GoAway if changed.is_ok() => serving.as_mut().graceful_shutdown(),
                Order::Serve if changed.is_ok() => {}
                _ => return,
            }
        }
    }
}

/// The calls of one connection.
struct Calls {
    app: Router,
    connection: Arc<Connection>,
    client: Option<Client>,
    is_stopping: Arc<AtomicBool>,
}

impl Service<axum::http::Request<Incoming>> for Calls {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, request: axum::http::Request<Incoming>) -> Self::Future {
        let call = CallUnderWay::begin(&self.connection, Lasting::of(request.uri().path()));
        let mut request: Request = request.map(|body| Body::new(RequestBody::new(body, call.clone())));
        request.extensions_mut().insert(Peer(self.connection.peer()));
        request.extensions_mut().insert(GoesAway(self.connection.goes_away()));
        if let Some(client) = &self.client {
            request.extensions_mut().insert(client.clone());
        }
        request.extensions_mut().insert(call.clone());
        let is_http1 = request.version() < Version::HTTP_2;
        let (connection, is_stopping) = (self.connection.clone(), self.is_stopping.clone());
        let answer = self.app.clone().oneshot(request);
        Box::pin(async move {
            let mut answer = answer.await?;
            if is_http1 && (is_stopping.load(Ordering::Relaxed) || connection.is_retired()) {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(answer.map(|body| AnswerBody::new(body, call)))
        })
    }
}
