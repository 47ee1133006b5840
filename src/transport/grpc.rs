//! The gRPC services: unwrap, call, wrap.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request as HttpRequest, State},
    http::Response as HttpResponse,
    middleware::Next,
};
use futures_util::stream::BoxStream;
use http_body::Frame;
use http_body_util::StreamBody;
use tonic::{Code, Request, Response, Status, Streaming, metadata::MetadataValue};

use super::{
    api::{Answer, Api, CreateCall},
    body::{self, Reader},
    budget::Holder,
    fields::ByDefault,
    head::{Head, Method, Stream, too_large},
    import::ImportStream,
    load::{Incoming, LoadStream},
    packed::{self, Message, PREFIX, packed_unannounced},
    protocol::Protocol,
    raw::{BulkCreateReferralEventsRequest, CreateReferralEventRequest, LoadReferralEventsRequest, RawEvent},
    request::{self, IDEMPOTENCY_REPLAYED_HEADER, RequestId},
    status,
};
use crate::{
    contract::{
        BulkCreateReferralEventsResponse, CancelReferralEventRequest, CancelReferralEventResponse,
        CreateReferralEventResponse, CreateTokenRequest, CreateTokenResponse, GetReferralEventRequest,
        GetReferralEventResponse, ListReferralEventsRequest, ListReferralEventsResponse, ListUnprocessedEventsRequest,
        ListUnprocessedEventsResponse, LoadReferralEventsResponse, ReleaseTokenRequest, ReleaseTokenResponse,
        services::{
            authentication_service_server::AuthenticationService, referral_event_service_server::ReferralEventService,
        },
    },
    error::{Error, ErrorKind, Result},
    referral::Options,
    text::quoted,
};

/// What the paths of the contract's RPCs begin with.
const CONTRACT: &str = "/referral.v1.";

/// The services, over the calls.
#[derive(Clone)]
pub struct GrpcService(pub Api);

#[tonic::async_trait]
impl ReferralEventService for GrpcService {
    type LoadReferralEventsStream = BoxStream<'static, Result<LoadReferralEventsResponse, Status>>;

    /// The messages are read by [`LoadStream`], for which the request has come without its body.
    async fn load_referral_events(
        &self,
        request: Request<Streaming<LoadReferralEventsRequest>>,
    ) -> Result<Response<Self::LoadReferralEventsStream>, Status> {
        let stream = request.extensions().get::<Incoming<LoadStream>>().and_then(Incoming::take);
        let stream = stream.ok_or_else(|| Status::internal("the stream was not begun"))?;
        Ok(Response::new(stream.answers()))
    }

    async fn bulk_create_referral_events(
        &self,
        request: Request<BulkCreateReferralEventsRequest>,
    ) -> Result<Response<BulkCreateReferralEventsResponse>, Status> {
        self.serve_once(request, async |head, request| {
            let (request, number_of_events) = request.into_parts()?;
            let call = CreateCall {
                token: request.token,
                events: request.referral_customer_events_set.into_iter().map(RawEvent).collect(),
                number_of_events,
                fields_set: request.fields_set,
                options: Options {
                    validate_only: request.validate_only.unwrap_or_default(),
                    all_or_nothing: request.all_or_nothing.unwrap_or_default(),
                    ..Options::default()
                },
            };
            self.0.bulk_create_referral_events(head, call, ByDefault::Everything).await
        })
        .await
    }

    async fn create_referral_event(
        &self,
        request: Request<CreateReferralEventRequest>,
    ) -> Result<Response<CreateReferralEventResponse>, Status> {
        self.serve_once(request, async |head, request| {
            // Pieces of a message that follow each other are the message.
            let pieces = request.referral_customer_event;
            let event = (!pieces.is_empty()).then(|| RawEvent(pieces.concat().into()));
            let call = CreateCall {
                token: request.token,
                number_of_events: usize::from(event.is_some()),
                events: event.into_iter().collect(),
                fields_set: request.fields_set,
                options: Options { validate_only: request.validate_only.unwrap_or_default(), ..Options::default() },
            };
            self.0.create_referral_event(head, call, ByDefault::Everything).await
        })
        .await
    }

    async fn get_referral_event(
        &self,
        request: Request<GetReferralEventRequest>,
    ) -> Result<Response<GetReferralEventResponse>, Status> {
        self.serve(request, async |head, request| self.0.get_referral_event(head, request).await).await
    }

    async fn list_referral_events(
        &self,
        request: Request<ListReferralEventsRequest>,
    ) -> Result<Response<ListReferralEventsResponse>, Status> {
        self.serve(request, async |head, request| self.0.list_referral_events(head, request).await).await
    }

    async fn list_unprocessed_events(
        &self,
        request: Request<ListUnprocessedEventsRequest>,
    ) -> Result<Response<ListUnprocessedEventsResponse>, Status> {
        self.serve(request, async |head, request| self.0.list_unprocessed_events(head, request).await).await
    }

    async fn cancel_referral_event(
        &self,
        request: Request<CancelReferralEventRequest>,
    ) -> Result<Response<CancelReferralEventResponse>, Status> {
        self.serve(request, async |head, request| self.0.cancel_referral_event(head, request).await).await
    }
}

#[tonic::async_trait]
impl AuthenticationService for GrpcService {
    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        let peer = request::peer(request.extensions());
        self.serve(request, async |head, request| self.0.create_token(head, peer, request).await).await
    }

    async fn release_token(
        &self,
        request: Request<ReleaseTokenRequest>,
    ) -> Result<Response<ReleaseTokenResponse>, Status> {
        self.serve(request, async |head, request| self.0.release_token(head, request).await).await
    }
}

impl GrpcService {
    /// Unwraps the message, calls, and wraps what came of it.
    pub(super) async fn serve<M, T>(
        &self,
        request: Request<M>,
        call: impl AsyncFnOnce(&Head, M) -> Result<T>,
    ) -> Result<Response<T>, Status> {
        self.serve_once(request, async |head, message| call(head, message).await.map(Answer::new)).await
    }

    /// The same for a call that can have an idempotency key.
    async fn serve_once<M, T>(
        &self,
        request: Request<M>,
        call: impl AsyncFnOnce(&Head, M) -> Result<Answer<T>>,
    ) -> Result<Response<T>, Status> {
        let (_, extensions, message) = request.into_parts();
        let head = extensions.get::<Arc<Head>>().ok_or_else(|| Error::internal("the request was not begun"));
        let answered = match head {
            Ok(head) => {
                head.is_read();
                call(head, message).await
            }
            Err(error) => Err(error),
        };
        match answered {
            Ok(Answer { message, is_repeated }) => {
                let mut response = Response::new(message);
                if is_repeated {
                    response.metadata_mut().insert(IDEMPOTENCY_REPLAYED_HEADER, MetadataValue::from_static("true"));
                }
                Ok(response)
            }
            Err(error) => {
                status::log(&error);
                Err(status::grpc_status(&error, extensions.get::<RequestId>()))
            }
        }
    }
}

/// Runs a call of the contract within the limits. This stands before the services, for they are called only once the
/// message has been read, and the reading has its limits too.
pub async fn within_limits(State(api): State<Api>, request: HttpRequest, next: Next) -> HttpResponse<Body> {
    let path = request.uri().path();
    let Some(rpc) = path.strip_prefix(CONTRACT) else {
        let answer = next.run(request).await;
        return match Status::from_header_map(answer.headers()) {
            Some(status) if status.code() == Code::OutOfRange => in_usual_terms(status).into_http(),
            _ => answer,
        };
    };
    let request_id = RequestId::of_request(&request);
    let Some(method) = rpc.split_once('/').and_then(|(_, name)| Method::of_rpc(name)) else {
        return no_such_method(request).await;
    };
    if let Some(stream) = method.stream {
        let answered = stream_within_limits(api, (method, stream), request, next, &request_id).await;
        return answered.unwrap_or_else(|error| refused(&error, &request_id));
    }
    let headers = request.headers().clone();
    let mut holder = Holder::Anonymous;
    let answered = api.within_time_limit(&headers, async {
        let (mut parts, body) = request.into_parts();
        let announced = body.size_hint().lower().saturating_sub(PREFIX as u64);
        let head = Arc::new(api.begin(parts.headers.clone(), request_id.clone(), method, announced).await?);
        parts.extensions.insert(head.clone());
        let message = match packed::message(body, &mut parts.headers, method.limit, &head).await? {
            Message::AsSent(body) => {
                message(Reader::new(body, method.limit + PREFIX, &head), method.limit, request_id.clone())
            }
            Message::Unpacked(body) => body,
        };
        let answered = next.run(HttpRequest::from_parts(parts, message)).await;
        holder = head.charge.holder();
        Ok(answered)
    });
    let answer = answered.await.unwrap_or_else(|error| refused(&error, &request_id));
    body::charged(answer, &api.budget, holder).await
}

/// The same for a stream, each message of which has the limits of a call.
async fn stream_within_limits(
    api: Api,
    (method, stream): (Method, Stream),
    request: HttpRequest,
    next: Next,
    request_id: &RequestId,
) -> Result<HttpResponse<Body>> {
    let (mut parts, body) = request.into_parts();
    if parts.extensions.get() == Some(&Protocol::GrpcWeb) {
        let message = "The method takes a stream, which gRPC-Web does not have: call it by gRPC.";
        return Err(Error::new(ErrorKind::UnsupportedMediaType, message));
    }
    let begun = api.begin(parts.headers.clone(), request_id.clone(), method, 0);
    let head = Arc::new(api.within_time_limit(&parts.headers, begun).await?);
    let charge = head.charge.clone();
    packed::keep_plain(&mut parts.headers);
    match stream {
        Stream::Load => _ = parts.extensions.insert(Incoming::new(LoadStream::begin(api, head, body, &parts)?)),
        Stream::Import => _ = parts.extensions.insert(Incoming::new(ImportStream::begin(api, head, body, &parts)?)),
    }
    let answer = next.run(HttpRequest::from_parts(parts, Body::empty())).await;
    Ok(body::charged_each(answer, charge))
}

fn refused(error: &Error, request_id: &RequestId) -> HttpResponse<Body> {
    status::log(error);
    status::grpc_status(error, Some(request_id)).into_http()
}

/// The refusal of a message that is too large, by a service that is not ours. Where others say RESOURCE_EXHAUSTED, tonic
/// says OUT_OF_RANGE.
pub fn in_usual_terms(status: Status) -> Status {
    if status.code() != Code::OutOfRange {
        return status;
    }
    status::grpc_status(&Error::new(ErrorKind::RequestTooLarge, "The message is larger than 4 MiB."), None)
}

/// Answers a call of a method that does not exist; tonic would say nothing but the code.
pub async fn no_such_method(request: HttpRequest) -> HttpResponse<Body> {
    let error = Error::new(ErrorKind::NotFound, format!("There is no method {}.", quoted(request.uri().path())));
    status::grpc_status(&error, request.extensions().get::<RequestId>()).into_http()
}

/// The body as it is read. One that announces a message of more than `limit` bytes ends there.
fn message(reader: Reader, limit: usize, request_id: RequestId) -> Body {
    let reading = (reader, Begun::default());
    let pieces = futures_util::stream::try_unfold(reading, move |(mut reader, mut begun)| {
        let request_id = request_id.clone();
        async move {
            let piece = next_piece(&mut reader, &mut begun, limit).await.map_err(|error| {
                status::log(&error);
                status::grpc_status(&error, Some(&request_id))
            })?;
            Ok::<_, Status>(piece.map(|piece| (Frame::data(piece), (reader, begun))))
        }
    });
    Body::new(StreamBody::new(pieces))
}

/// What has come of a message so far.
#[derive(Default)]
struct Begun {
    prefix: Vec<u8>,
    received: usize,
}

impl Begun {
    fn note(&mut self, piece: &[u8]) {
        self.received += piece.len();
        self.prefix.extend(piece.iter().take(PREFIX - self.prefix.len()));
    }

    /// How long the message is going to be, once that is known.
    fn length(&self) -> Option<usize> {
        let [_, length @ ..] = &self.prefix[..] else { return None };
        <[u8; 4]>::try_from(length).ok().map(|length| u32::from_be_bytes(length) as usize)
    }

    fn is_packed(&self) -> bool {
        self.prefix.first().is_some_and(|flag| *flag != 0)
    }

    fn is_whole(&self) -> bool {
        self.length().is_some_and(|length| self.received >= PREFIX + length)
    }
}

async fn next_piece(reader: &mut Reader, begun: &mut Begun, limit: usize) -> Result<Option<Bytes>> {
    let Some(piece) = reader.next().await? else {
        // tonic would call it a failure of ours.
        let message = "The call has no message, or only a part of one.";
        return if begun.is_whole() { Ok(None) } else { Err(Error::new(ErrorKind::MalformedRequest, message)) };
    };
    begun.note(&piece);
    if begun.is_packed() {
        // What is packed as the call says is unpacked before; tonic would call the rest a failure of ours.
        return Err(packed_unannounced());
    }
    match begun.length() {
        Some(length) if length > limit => Err(too_large(limit)),
        _ => Ok(Some(piece)),
    }
}
