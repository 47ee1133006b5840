//! A request that is observed, to the end of its answer.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{HeaderMap, Response, StatusCode},
};
use http_body::{Frame, SizeHint};
use opentelemetry::{KeyValue, TraceId, trace::SpanContext};
use tonic::Code;
use tracing::{Level, Span};

use super::{
    connections::CallUnderWay,
    metrics::{CALLER_LEFT, GrpcMethod, HttpRoute, HttpRoutes, Metrics, code_name},
    spans::{CallSpan, Spans},
    trace,
};
use crate::{
    metrics::{CallRecord, EventOutcome, Facts, Step},
    server::health,
    transport::{
        protocol::Protocol,
        request::{Client, RequestId},
    },
};

/// As much of a method or a path as is logged.
const MAXIMUM_LENGTH: usize = 128;
/// What the methods of gRPC's health begin with.
const GRPC_HEALTH: &str = "/grpc.health.v1.Health/";

/// A request under way. It is logged and counted when its answer ends, or when it is dropped before.
pub struct Observed {
    metrics: Arc<Metrics>,
    record: CallRecord,
    started: Instant,
    request_id: RequestId,
    transport: &'static str,
    kind: Kind,
    /// The method of gRPC, or that of HTTP and the path.
    method: String,
    is_probe: bool,
    /// That of the caller, or, where a collector is told, a new one.
    trace_id: Option<TraceId>,
    span: Option<CallSpan>,
    /// Whose certificate the connection came with.
    client: Option<Client>,
    connection: Option<CallUnderWay>,
    answer: Option<Answer>,
    has_ended: bool,
}

/// As what it is counted.
enum Kind {
    Grpc(Arc<GrpcMethod>),
    Http(HttpRoute),
}

impl Kind {
    /// The name of its span, and what is known of it from the beginning, in OpenTelemetry's words.
    fn span(&self) -> (String, Vec<KeyValue>) {
        match self {
            Self::Grpc(method) => {
                let GrpcMethod { service, name, .. } = &**method;
                let attributes = [("rpc.system", "grpc"), ("rpc.service", service), ("rpc.method", name)];
                (
                    format!("{service}/{name}"),
                    attributes.map(|(key, value)| KeyValue::new(key, value.to_owned())).into(),
                )
            }
            Self::Http(HttpRoute { route, method }) => {
                let attributes = [("http.request.method", *method), ("http.route", *route)];
                (format!("{method} {route}"), attributes.map(|(key, value)| KeyValue::new(key, value)).into())
            }
        }
    }
}

/// What is known of the answer so far.
struct Answer {
    http: StatusCode,
    /// That of gRPC, once it is known: of one that succeeds it comes last.
    grpc: Option<Code>,
    bytes: usize,
}

/// Who ended a request before its answer had ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HungUp {
    Caller,
    Server,
}

impl Observed {
    /// `spans`: `None` where no collector wants any.
    pub fn begin(request: &Request, request_id: &RequestId, metrics: Arc<Metrics>, spans: Option<&Spans>) -> Self {
        let (path, headers) = (request.uri().path(), request.headers());
        let (transport, is_grpc) = match Protocol::of(headers, request.version()) {
            Ok(Protocol::Grpc) => ("grpc", true),
            Ok(Protocol::GrpcWeb) => ("grpc-web", true),
            Ok(Protocol::Rest) | Err(_) => ("rest", false),
        };
        let kind = if is_grpc {
            let method = metrics.grpc.of(path);
            method.start();
            Kind::Grpc(method)
        } else {
            Kind::Http(HttpRoutes::of(request.uri(), request.method()))
        };
        // The query is not logged: it may hold a token.
        let method = if is_grpc { cut(path) } else { format!("{} {}", cut(request.method().as_str()), cut(path)) };
        let is_probe = if is_grpc { path.starts_with(GRPC_HEALTH) } else { health::PROBES.contains(&path) };
        let parent = trace::parent(headers);
        let of_caller = parent.as_ref().map(SpanContext::trace_id);
        let span = spans.filter(|_| !is_probe).map(|spans| {
            let (name, attributes) = kind.span();
            spans.begin(name, attributes, parent, request_id)
        });
        Self {
            record: CallRecord::new(metrics.calls.clone(), span.as_ref().is_some_and(CallSpan::is_recording)),
            metrics,
            started: Instant::now(),
            request_id: request_id.clone(),
            transport,
            kind,
            method,
            is_probe,
            trace_id: span.as_ref().map(CallSpan::trace_id).or(of_caller),
            span,
            client: request.extensions().get().cloned(),
            connection: request.extensions().get().cloned(),
            answer: None,
            has_ended: false,
        }
    }

    pub fn is_grpc(&self) -> bool {
        self.transport == "grpc"
    }

    pub fn record(&self) -> CallRecord {
        self.record.clone()
    }

    /// What the lines stand in that are written while the request is answered.
    pub fn span(&self) -> Span {
        let trace_id = self.trace_id.map(tracing::field::display);
        tracing::info_span!(
            "request",
            id = self.request_id.as_str(),
            method = self.method,
            trace_id,
            client = self.client()
        )
    }

    fn client(&self) -> Option<&str> {
        self.client.as_ref().map(|Client(name)| &**name)
    }

    /// The answer has begun.
    pub fn answered(&mut self, response: &Response<Body>) {
        self.answer = Some(Answer { http: response.status(), grpc: grpc_code(response.headers()), bytes: 0 });
    }

    /// The answer has come to its end.
    pub fn end(&mut self) {
        self.end_as(None);
    }

    fn end_as(&mut self, hung_up: Option<HungUp>) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let time = self.started.elapsed();
        let (code, of_span) = match &self.kind {
            Kind::Grpc(method) => {
                let code = self.grpc_code(hung_up);
                method.handle(code, time);
                (code_name(code).to_owned(), KeyValue::new("rpc.grpc.status_code", code as i64))
            }
            Kind::Http(route) => {
                let status = self.answer.as_ref().map_or(CALLER_LEFT, |answer| answer.http.as_u16());
                self.metrics.http.handle(*route, status, time);
                (status.to_string(), KeyValue::new("http.response.status_code", i64::from(status)))
            }
        };
        self.log(&code, time, hung_up);
        if let Some(span) = self.span.take() {
            span.end(of_span, &self.record);
        }
    }

    fn grpc_code(&self, hung_up: Option<HungUp>) -> Code {
        match &self.answer {
            Some(answer) => answer.grpc.unwrap_or(if hung_up.is_some() { Code::Cancelled } else { Code::Ok }),
            None => Code::Cancelled,
        }
    }

    fn level(&self, facts: &Facts) -> Level {
        match facts.error {
            // Why a service is not ready is told when it comes to be so.
            _ if self.is_probe => Level::DEBUG,
            Some("InternalException") => Level::ERROR,
            Some(
                "InvalidCredentialsException"
                | "TooManyRequestsException"
                | "DeadlineExceededException"
                | "ServiceUnavailableException",
            ) => Level::WARN,
            _ => Level::INFO,
        }
    }

    /// Writes the line of the call. It stands in no span, for it has all that the span has.
    fn log(&self, code: &str, time: Duration, hung_up: Option<HungUp>) {
        let facts = self.record.facts();
        let address = self.connection.as_ref().map(CallUnderWay::address);
        let peer = address.as_ref().map(tracing::field::display::<&SocketAddr>);
        let count = |outcome: EventOutcome| facts.events.get(&outcome).copied();
        let unprocessed = unprocessed(&facts);
        let message = match (hung_up, self.answer.is_some()) {
            (None, _) => "answered",
            (Some(HungUp::Caller), false) => "the caller left before the answer",
            (Some(HungUp::Caller), true) => "the caller left before the end of the answer",
            (Some(HungUp::Server), false) => "the connection was ended before the answer",
            (Some(HungUp::Server), true) => "the connection was ended before the end of the answer",
        };
        let hung_up = hung_up.map(|hung_up| if hung_up == HungUp::Caller { "caller" } else { "server" });
        let bytes_in = self.connection.as_ref().map(CallUnderWay::received);
        let step = |step| self.record.time_of(step).map(milliseconds);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    parent: None,
                    request_id = self.request_id.as_str(),
                    trace_id = self.trace_id.map(tracing::field::display),
                    peer,
                    client = self.client(),
                    transport = self.transport,
                    method = self.method,
                    code,
                    error = facts.error,
                    cause = facts.cause,
                    organisation = facts.organisation,
                    user = facts.user,
                    created = count(EventOutcome::Created),
                    replayed = count(EventOutcome::Replayed),
                    rehearsed = count(EventOutcome::Rehearsed),
                    unprocessed,
                    committed = facts.committed,
                    idempotency_replayed = facts.is_repeated.then_some(true),
                    bytes_in,
                    bytes_out = self.answer.as_ref().map(|answer| answer.bytes),
                    milliseconds = milliseconds(time),
                    read_milliseconds = step(Step::Read),
                    queue_milliseconds = step(Step::Queue),
                    resolve_milliseconds = step(Step::Resolve),
                    turn_milliseconds = step(Step::Turn),
                    decide_milliseconds = step(Step::Decide),
                    load_milliseconds = step(Step::Load),
                    commit_milliseconds = step(Step::Commit),
                    hung_up,
                    "{message}"
                )
            };
        }
        match self.level(&facts) {
            Level::ERROR => line!(error),
            Level::WARN => line!(warn),
            Level::INFO => line!(info),
            _ => line!(debug),
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        let is_cut = self.connection.as_ref().is_some_and(CallUnderWay::is_cut);
        self.end_as(Some(if is_cut { HungUp::Server } else { HungUp::Caller }));
    }
}

fn grpc_code(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}

/// How many events are not processed, by code.
fn unprocessed(facts: &Facts) -> Option<String> {
    let counts = facts.events.iter().filter_map(|(outcome, count)| match outcome {
        EventOutcome::Unprocessed(code) => Some(format!("{code}={count}")),
        _ => None,
    });
    let counts: Vec<String> = counts.collect();
    (!counts.is_empty()).then(|| counts.join(" "))
}

/// With microseconds.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

fn cut(text: &str) -> String {
    text.chars().take(MAXIMUM_LENGTH).collect()
}

/// The body of an answer, whose end is the end of the request.
pub struct ObservedBody {
    body: Body,
    observed: Observed,
}

impl ObservedBody {
    pub fn wrap(body: Body, mut observed: Observed) -> Body {
        if body.is_end_stream() {
            observed.end();
            return body;
        }
        Body::new(Self { body, observed })
    }
}

impl HttpBody for ObservedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let Self { body, observed } = &mut *self;
        match (&frame, &mut observed.answer) {
            (Some(Ok(frame)), Some(answer)) => {
                answer.bytes += frame.data_ref().map_or(0, Bytes::len);
                if let Some(trailers) = frame.trailers_ref() {
                    answer.grpc = grpc_code(trailers).or(answer.grpc);
                    observed.end();
                } else if body.is_end_stream() {
                    observed.end();
                }
            }
            // It had to make room for others, or cannot be made.
            (Some(Err(_)), _) => observed.end_as(Some(HungUp::Server)),
            _ => observed.end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
