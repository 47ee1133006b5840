//! What is known of one connection, and what is to become of it.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    call::{Call, Lasting},
    frames::Protocol,
};
use crate::config::ConnectionLimits;

/// How long what was answered last may take to leave before a connection without calls is cut.
const SETTLING: Duration = Duration::from_millis(500);

/// How long a request that nothing comes of any more keeps a server from its end.
const HALF_REQUEST: Duration = Duration::from_secs(2);

/// What the task of a connection is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    Serve,
    /// Take no new calls, let those under way end, and tell the peer so.
    GoAway,
    /// End at once.
    Cut,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// There was no call on it yet.
    New,
    Active,
    Idle,
    /// It takes no new calls.
    Closing,
}

impl Condition {
    pub const ALL: [Self; 4] = [Self::New, Self::Active, Self::Idle, Self::Closing];

    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Active => "active",
            Self::Idle => "idle",
            Self::Closing => "closing",
        }
    }
}

pub struct Connection {
    address: SocketAddr,
    peer: IpAddr,
    limits: ConnectionLimits,
    /// When it has to go for its age.
    retires: Instant,
    state: Mutex<State>,
    orders: watch::Sender<Order>,
    goes_away: CancellationToken,
}

struct State {
    protocol: Protocol,
    /// Since when a head or a preface is awaited that has begun; at first, since the connection is open: the time for
    /// the handshake of TLS is a part of it.
    head_since: Option<Instant>,
    /// Since when the peer takes none of the bytes that are to be written.
    blocked_since: Option<Instant>,
    calls: HashMap<u64, Call>,
    /// How many calls there were.
    begun: u64,
    /// When the last call ended; at first, when the connection was opened.
    last_end: Instant,
    /// When the calls under way must have ended, once the peer was told to go.
    ends: Option<Instant>,
}

impl Connection {
    pub fn new(address: SocketAddr, limits: ConnectionLimits, now: Instant) -> Self {
        let state = State {
            protocol: Protocol::Unknown,
            head_since: Some(now),
            blocked_since: None,
            calls: HashMap::new(),
            begun: 0,
            last_end: now,
            ends: None,
        };
        // Connections that were opened together must not all be opened anew together.
        let part = getrandom::u32().unwrap_or_default() % 100;
        let retires = now + limits.maximum_age - limits.maximum_age * part / 1000;
        Self {
            address,
            peer: network(address.ip()),
            limits,
            retires,
            state: Mutex::new(state),
            orders: watch::Sender::new(Order::Serve),
            goes_away: CancellationToken::new(),
        }
    }

    /// Whom it counts for: the peer's address, or over IPv6 its network, in which one subscriber has countless addresses.
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// What it is doing, for those who count connections.
    pub fn condition(&self) -> Condition {
        let state = self.state();
        match *self.orders.borrow() {
            Order::GoAway | Order::Cut => Condition::Closing,
            Order::Serve if !state.calls.is_empty() => Condition::Active,
            Order::Serve if state.begun == 0 => Condition::New,
            Order::Serve => Condition::Idle,
        }
    }

    pub fn orders(&self) -> watch::Receiver<Order> {
        self.orders.subscribe()
    }

    /// Told once it takes no new calls.
    pub fn goes_away(&self) -> CancellationToken {
        self.goes_away.clone()
    }

    /// Whether it served any call, or serves one.
    pub fn has_served(&self) -> bool {
        self.state().begun > 0
    }

    /// Since when the server has waited for the peer alone; none while a call is at work, or once it was cut.
    pub fn quiet_since(&self) -> Option<Instant> {
        let state = self.state();
        if *self.orders.borrow() == Order::Cut { None } else { state.quiet_since() }
    }

    pub fn cut(&self, why: &'static str) {
        if self.order(Order::Cut) {
            tracing::info!(peer = %self.peer, why, "a connection is ended");
        }
    }

    /// Ends what has broken a limit.
    pub fn review(&self, now: Instant) {
        let state = &mut *self.state();
        let passed = |since: Option<Instant>, limit| since.is_some_and(|since| now.duration_since(since) >= limit);
        let stall = self.limits.stall_timeout;
        if passed(state.head_since, self.limits.head_timeout) {
            self.cut("the handshake or the head of a request did not come");
        } else if passed(state.blocked_since, stall) {
            self.cut("answers are not taken");
        } else if state.ends.is_some_and(|ends| now >= ends) {
            self.cut("its calls did not end in time");
        } else if let Some(others) = state.stalled_answers(stall, now) {
            // HTTP/2 carries calls of others, who go elsewhere once they are told.
            if others {
                self.go_away(state, now + self.limits.retirement);
            } else {
                self.cut("answers are not taken");
            }
        } else if state.calls.is_empty() && now.duration_since(state.last_end) >= self.limits.idle_timeout {
            self.go_away(state, now + self.limits.head_timeout);
        } else if now >= self.retires && state.protocol == Protocol::Http2 {
            self.go_away(state, now + self.limits.retirement);
        }
    }

    /// Whether it is too old for new calls. One of HTTP/1.1 then says so with the next answer: to close it between two
    /// calls would break the one that is just being sent.
    pub fn is_retired(&self) -> bool {
        Instant::now() >= self.retires
    }

    /// Brings it to its end because the server stops; `since` is when it began to.
    pub fn drain(&self, since: Instant, now: Instant) {
        let state = &mut *self.state();
        // Before its protocol is known a connection has no way to go but to be cut.
        let is_known = state.protocol != Protocol::Unknown;
        if is_known {
            self.order(Order::GoAway);
        }
        let passed = |since: Instant| now.duration_since(since);
        let half_request = HALF_REQUEST.min(self.limits.stall_timeout);
        let is_over = if state.calls.values().all(Call::is_open_ended) {
            // What has begun of a head, or waits to be written, is given the time of half a request.
            let has_begun = state.blocked_since.is_some() || (state.head_since.is_some() && is_known);
            passed(state.last_end.max(since)) >= if has_begun { half_request } else { SETTLING }
        } else {
            state.quiet_since().is_some_and(|quiet| passed(quiet.max(since)) >= half_request)
        };
        if is_over {
            self.order(Order::Cut);
        }
    }

    /// Lets the calls under way end, until `ends`.
    fn go_away(&self, state: &mut State, ends: Instant) {
        if self.order(Order::GoAway) {
            state.ends = Some(ends);
        }
    }

    /// Gives an order unless a stronger one was given; answers whether it did.
    fn order(&self, order: Order) -> bool {
        self.goes_away.cancel();
        self.orders.send_if_modified(|given| {
            let is_new = *given < order;
            *given = order.max(*given);
            is_new
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics with the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of bytes that came; `is_head_awaited` says whether HTTP/2 awaits the end of a head.
    pub fn received(&self, protocol: Protocol, is_head_awaited: bool, now: Instant) {
        let mut state = self.state();
        state.protocol = protocol;
        match protocol {
            Protocol::Unknown => {}
            // While there are calls, these may be the body of one.
            Protocol::Http1 if state.calls.is_empty() => _ = state.head_since.get_or_insert(now),
            Protocol::Http2 if is_head_awaited => _ = state.head_since.get_or_insert(now),
            Protocol::Http2 => state.head_since = None,
            Protocol::Http1 => {}
        }
    }

    /// Takes note of whether the peer takes what is to be written.
    pub fn blocked(&self, is_blocked: bool, now: Instant) {
        self.state().blocked_since = is_blocked.then_some(now);
    }
}

impl State {
    fn quiet_since(&self) -> Option<Instant> {
        let mut latest = self.last_end;
        for call in self.calls.values() {
            latest = latest.max(call.quiet_since()?);
        }
        Some(latest)
    }

    /// Where answers stall: whether other calls are to end before the connection does.
    fn stalled_answers(&mut self, stall: Duration, now: Instant) -> Option<bool> {
        let mut is_stalled = false;
        // What was answered last may be on its way.
        let mut others = now.duration_since(self.last_end) < SETTLING;
        for call in self.calls.values_mut() {
            if call.answer.is_stalled(stall, now) {
                is_stalled = true;
            } else {
                others |= !call.is_open_ended();
            }
        }
        is_stalled.then_some(others && self.protocol == Protocol::Http2)
    }
}

/// A call under way on a connection; it ends with the last clone.
#[derive(Clone)]
pub struct CallUnderWay(Arc<Registered>);

struct Registered {
    connection: Arc<Connection>,
    number: u64,
}

impl CallUnderWay {
    pub fn begin(connection: &Arc<Connection>, lasting: Lasting) -> Self {
        let call = Call::new(lasting, Instant::now());
        let mut state = connection.state();
        if state.protocol == Protocol::Http1 {
            state.head_since = None;
        }
        let number = state.begun;
        state.begun += 1;
        state.calls.insert(number, call);
        Self(Arc::new(Registered { connection: connection.clone(), number }))
    }

    /// Where the peer is.
    pub fn address(&self) -> SocketAddr {
        self.0.connection.address
    }

    /// How many bytes of the body came so far.
    pub fn received(&self) -> usize {
        self.with(|call, _| call.received).unwrap_or_default()
    }

    /// Whether it was the server that ended the connection.
    pub fn is_cut(&self) -> bool {
        *self.0.connection.orders.borrow() == Order::Cut
    }

    pub fn stall_timeout(&self) -> Duration {
        self.0.connection.limits.stall_timeout
    }

    /// The rest of the body is awaited.
    pub fn awaits_body(&self) {
        self.with(|call, now| call.body.wait(now));
    }

    /// A part of the body came; answers whether the parts come too slowly.
    pub fn body_came(&self, bytes: usize) -> bool {
        let stall = self.stall_timeout();
        self.with(|call, now| {
            call.received += bytes;
            call.body.moved(bytes, now);
            call.lasting != Lasting::Messages && call.body.is_stalled(stall, now)
        })
        .unwrap_or_default()
    }

    /// A part of the answer is there for the peer to take.
    pub fn answered(&self, bytes: usize) {
        self.with(|call, now| {
            call.untaken += bytes;
            if call.untaken > 0 {
                call.answer.wait(now);
            }
        });
    }

    /// The peer took a part of the answer, or needs it no longer.
    pub fn taken(&self, bytes: usize) {
        self.with(|call, now| {
            call.untaken = call.untaken.saturating_sub(bytes);
            call.answer.moved(bytes, now);
            if call.untaken > 0 {
                call.answer.wait(now);
            }
        });
    }

    fn with<T>(&self, note: impl FnOnce(&mut Call, Instant) -> T) -> Option<T> {
        let mut state = self.0.connection.state();
        state.calls.get_mut(&self.0.number).map(|call| note(call, Instant::now()))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut state = self.connection.state();
        state.calls.remove(&self.number);
        state.last_end = Instant::now();
    }
}

/// One subscriber has a whole /64 of IPv6 addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}
