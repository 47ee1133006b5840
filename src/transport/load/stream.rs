//! The stream of a load: its messages are answered one after another.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header::AUTHORIZATION, request::Parts},
};
use futures_util::{StreamExt, stream, stream::BoxStream};
use prost::Message;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::{Instrument, Span};

use super::{
    super::{
        admission::Load,
        api::{Api, in_queue, mandatory, missing},
        budget::Holder,
        fields::{ByDefault, Fields},
        head::{Access, Head, Method, SMALL},
        packed::Encoding,
        raw::{LoadChunkRequest, LoadMessage, LoadReferralEventsRequest, RawEvent},
        request::{self, GoesAway},
        status,
    },
    chunk::{Chunk, LoadId, OpenLoad},
    messages::Messages,
};
use crate::{
    contract::{
        LoadReferralEventsResponse, OpenLoadRequest, OpenLoadResponse, load_referral_events_response::Message as Answer,
    },
    error::{Error, ErrorKind, Result},
    metrics::CallRecord,
    referral::Options,
};

/// One chunk is carried out while the next is on its way: what comes meanwhile waits in the window of HTTP/2.
const MAXIMUM_IN_FLIGHT: u32 = 2;

/// A stream, each message of which is answered within the limits of a call.
pub struct LoadStream {
    api: Api,
    head: Arc<Head>,
    /// Those of each message: the stream's, with a token.
    headers: HeaderMap,
    messages: Messages,
    /// Told when the stream is to end, so that the load goes on elsewhere.
    goes_away: CancellationToken,
    /// That of the caller.
    deadline: Option<Instant>,
    load: Option<OpenLoad>,
}

/// A stream on its way to its service, which is made for what a clone of can be had.
pub struct Incoming<S>(Arc<Mutex<Option<S>>>);

impl<S> Clone for Incoming<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> Incoming<S> {
    pub fn new(stream: S) -> Self {
        Self(Arc::new(Mutex::new(Some(stream))))
    }

    pub fn take(&self) -> Option<S> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl LoadStream {
    pub fn begin(api: Api, head: Arc<Head>, body: Body, parts: &Parts) -> Result<Self> {
        let timeout = request::timeout(&head.headers)?;
        let goes_away = parts.extensions.get().map(|GoesAway(told)| told.clone());
        Ok(Self {
            api,
            headers: head.headers.clone(),
            messages: Messages::new(body, Encoding::of_message(&head.headers)),
            head,
            goes_away: goes_away.unwrap_or_default(),
            deadline: timeout.map(|timeout| Instant::now() + timeout),
            load: None,
        })
    }

    /// What is answered; each message is read once the answer to the one before is taken.
    pub fn answers(self) -> BoxStream<'static, Result<LoadReferralEventsResponse, Status>> {
        let (record, span) = (CallRecord::current(), Span::current());
        let answers = stream::unfold(Some(self), move |stream| {
            let answering = async {
                let mut stream = stream?;
                match stream.next().await {
                    Ok(answer) => answer.map(|answer| (Ok(answer), Some(stream))),
                    Err(error) => {
                        status::log(&error);
                        Some((Err(status::grpc_status(&error, Some(&stream.head.request_id))), None))
                    }
                }
            };
            record.part().of(answering).instrument(span.clone())
        });
        answers.boxed()
    }

    async fn next(&mut self) -> Result<Option<LoadReferralEventsResponse>> {
        let Some(deadline) = self.deadline else { return self.answer_next().await };
        timeout_at(deadline, self.answer_next()).await.unwrap_or_else(|_| {
            let message = "The deadline of the stream is over; open the load again to go on.";
            Err(Error::new(ErrorKind::DeadlineExceeded, message))
        })
    }

    async fn answer_next(&mut self) -> Result<Option<LoadReferralEventsResponse>> {
        let has_next = tokio::select! {
            biased;
            () = self.goes_away.cancelled() => return Err(goes_away()),
            has_next = self.messages.has_next() => has_next?,
        };
        if !has_next {
            return if self.load.is_some() { Ok(None) } else { Err(not_open()) };
        }
        // The caller's deadline is that of the stream.
        let no_deadline = HeaderMap::new();
        let api = self.api.clone();
        let message = api.within_time_limit(&no_deadline, self.answer()).await?;
        Ok(Some(LoadReferralEventsResponse { message: Some(message) }))
    }

    async fn answer(&mut self) -> Result<Answer> {
        let limit = if self.load.is_some() { Method::LOAD.limit } else { SMALL };
        let request_id = self.head.request_id.clone();
        let mut head = self.api.head(self.headers.clone(), request_id, self.head.charge.holder());
        let message = self.messages.next(limit, &head).await?;
        head.is_read();
        let request = LoadReferralEventsRequest::decode(message)
            .map_err(|cause| malformed(format!("The message cannot be read: {cause}.")))?;
        match (request.message, &mut self.load) {
            (Some(LoadMessage::Open(open)), None) => {
                let opened = self.open(head, open).await.map_err(|error| error.within("open"))?;
                Ok(Answer::Opened(opened))
            }
            (Some(LoadMessage::Chunk(chunk)), Some(load)) => {
                head.known = self.api.recognise(&head.headers, Access::Creators).await?;
                let answered = async { load.answer(&self.api, head, chunk_of(chunk)?).await };
                Ok(Answer::Answer(answered.await.map_err(|error| error.within("chunk"))?))
            }
            (_, None) => {
                // Who has no token is told nothing else.
                self.api.caller(&Head { known: self.head.known.clone(), ..head }, None).await?;
                Err(not_open())
            }
            (_, Some(_)) => Err(malformed("A message after the first one has to be a chunk.")),
        }
    }

    async fn open(&mut self, head: Head, open: OpenLoadRequest) -> Result<OpenLoadResponse> {
        let head = Head { known: self.head.known.clone(), ..head };
        let caller = self.api.caller(&head, open.token.clone()).await?;
        caller.require_creation()?;
        self.head.charge.move_to(Holder::Organisation(caller.organisation_id));
        if self.head.known.is_none() {
            let mut token = HeaderValue::from_str(&format!("Bearer {}", open.token.unwrap_or_default()))
                .map_err(Error::internal)?;
            token.set_sensitive(true);
            self.headers.insert(AUTHORIZATION, token);
        }
        Fields::of_bulk(&open.fields_set, ByDefault::Everything)?;
        let mut load = OpenLoad {
            id: LoadId::new(mandatory("load_id", open.load_id)?)?,
            organisation_id: caller.organisation_id,
            options: Options {
                validate_only: open.validate_only.unwrap_or_default(),
                all_or_nothing: open.all_or_nothing.unwrap_or_default(),
                ..Options::default()
            },
            fields_set: open.fields_set,
            next_offset: None,
        };
        if !load.options.validate_only {
            let _permit = in_queue(&self.api.reads, &caller, Load::Other(1)).await?;
            load.next_offset = Some(load.find_next_offset(&self.api).await?);
        }
        let next_offset = Some(load.next_offset.unwrap_or_default());
        self.load = Some(load);
        Ok(OpenLoadResponse { next_offset, max_in_flight: Some(MAXIMUM_IN_FLIGHT) })
    }
}

fn chunk_of(chunk: LoadChunkRequest) -> Result<Chunk> {
    let (chunk, number_of_events) = chunk.into_parts();
    let offset = chunk.offset.ok_or_else(|| missing("offset"))?;
    let events = chunk.referral_customer_events_set.into_iter().map(RawEvent).collect();
    Ok(Chunk { offset, events, number_of_events })
}

fn malformed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::MalformedRequest, message)
}

fn not_open() -> Error {
    malformed("The first message of the stream has to open the load.")
}

fn goes_away() -> Error {
    Error::new(
        ErrorKind::ServiceUnavailable,
        "The server is about to end the connection; open the load again to go on.",
    )
}
