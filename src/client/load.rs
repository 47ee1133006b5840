//! A load of events of any number, over as many streams as it takes.

use std::collections::VecDeque;

use axum::http::uri::PathAndQuery;
use futures_util::{FutureExt, stream};
use prost::{Message, bytes::Bytes};
use tokio::sync::mpsc;
use tonic::{Code, Request, Status, Streaming, client::Grpc};
use tonic_prost::ProstCodec;

use super::{
    attempts::Attempts,
    connection::{Client, request_id},
    error::Error,
    tokens::{bearer, late},
};
use crate::{
    contract::{
        LoadChunkResponse, LoadReferralEventsResponse, OpenLoadRequest, OpenLoadResponse, ReferralCustomerEvent,
        load_referral_events_response::Message as Answered, services::RawLoadChunkRequest,
    },
    secret::Secret,
};

const PATH: &str = "/referral.v1.ReferralEventService/LoadReferralEvents";

/// A `LoadReferralEventsRequest`, of which one field is set. Its events are written when they are given to it, so that a
/// chunk is kept for a further attempt without a copy of each text in it.
#[derive(Clone, PartialEq, Message)]
struct LoadRequest {
    #[prost(message, optional, tag = "1")]
    open: Option<OpenLoadRequest>,
    #[prost(message, optional, tag = "2")]
    chunk: Option<RawLoadChunkRequest>,
}

/// Messages that wait to be sent: the one that opens the load, and the chunks under way.
const QUEUE: usize = 16;

/// What holds for all chunks of a load.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Says what the load would do, and does nothing.
    pub validate_only: bool,
    /// Of each chunk either all events are created or none.
    pub all_or_nothing: bool,
    pub fields_set: Vec<String>,
}

/// A load under way. After a break it opens its stream again by itself, and sends what has no answer yet once more; what
/// no attempt helps ends it, and each further call answers the same error.
pub struct Load {
    client: Client,
    load_id: String,
    options: LoadOptions,
    stream: Option<Stream>,
    /// The chunks that have no answer, the oldest first.
    under_way: VecDeque<RawLoadChunkRequest>,
    /// How many of them are sent by the stream that is open.
    sent: usize,
    next_offset: u64,
    max_in_flight: usize,
    attempts: Attempts,
    /// The token of the last stream.
    token: Option<Secret>,
    failed: Option<Error>,
}

/// A stream that is open.
struct Stream {
    messages: mpsc::Sender<LoadRequest>,
    answers: Streaming<LoadReferralEventsResponse>,
    request_id: Option<String>,
}

impl Load {
    pub(super) async fn open(client: Client, load_id: &str, options: LoadOptions) -> Result<Self, Error> {
        let mut load = Self {
            attempts: Attempts::new(&client.settings),
            client,
            load_id: load_id.to_owned(),
            options,
            stream: None,
            under_way: VecDeque::new(),
            sent: 0,
            next_offset: 0,
            max_in_flight: 1,
            token: None,
            failed: None,
        };
        loop {
            match load.open_stream().await {
                Ok(opened) => {
                    load.next_offset = opened.next_offset();
                    load.attempts.succeeded();
                    return Ok(load);
                }
                Err(error) => load.try_again(error).await?,
            }
        }
    }

    /// The offset of the next chunk that is sent: at first where the server goes on.
    pub fn next_offset(&self) -> u64 {
        self.next_offset
    }

    /// Has the next chunk begin elsewhere, before one is sent: lower, to be answered again what was answered before, if
    /// the chunks are cut as they were; in a rehearsal anywhere.
    pub fn begin_at(&mut self, offset: u64) {
        self.next_offset = offset;
    }

    /// How many chunks may be under way.
    pub fn max_in_flight(&self) -> usize {
        self.max_in_flight
    }

    /// The id of the request that the open stream is: the events that it creates tell it.
    pub fn request_id(&self) -> Option<&str> {
        self.stream.as_ref()?.request_id.as_deref()
    }

    /// Sends 1 to 1000 events as the next chunk. Where as many are under way as may be, it waits for the answer to the
    /// oldest first, and gives it.
    pub async fn send(&mut self, events: Vec<ReferralCustomerEvent>) -> Result<Option<LoadChunkResponse>, Error> {
        self.send_encoded(events.iter().map(|event| event.encode_to_vec().into()).collect()).await
    }

    /// The same of events as their messages are written.
    pub(crate) async fn send_encoded(&mut self, events: Vec<Bytes>) -> Result<Option<LoadChunkResponse>, Error> {
        let answer = if self.under_way.len() < self.max_in_flight { None } else { self.next().await? };
        if self.under_way.is_empty() {
            self.leave_ended_stream();
        }
        let offset = self.next_offset;
        self.next_offset += events.len() as u64;
        self.under_way.push_back(RawLoadChunkRequest { offset: Some(offset), referral_customer_events_set: events });
        self.send_waiting();
        Ok(answer)
    }

    /// The answer to the oldest chunk under way; `None` where there is none. It may be dropped half-way: the answer is
    /// given by the next call.
    pub async fn next(&mut self) -> Result<Option<LoadChunkResponse>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        while !self.under_way.is_empty() {
            match self.answer().await {
                Ok(answer) => {
                    self.under_way.pop_front();
                    self.sent -= 1;
                    self.attempts.succeeded();
                    return Ok(Some(answer));
                }
                Err(error) => self.try_again(error).await?,
            }
        }
        Ok(None)
    }

    async fn try_again(&mut self, error: Error) -> Result<(), Error> {
        let error = error.of_request(self.request_id());
        (self.stream, self.sent) = (None, 0);
        let is_renewed = self.client.renews(&error, self.token.as_ref()).await;
        let ended = self.attempts.next(error, is_renewed).await;
        self.failed = ended.as_ref().err().cloned();
        ended
    }

    /// A stream that has ended while nothing was under way is no break: a server waits for so long and no longer.
    fn leave_ended_stream(&mut self) {
        let ended = |stream: &mut Stream| stream.answers.message().now_or_never().is_some();
        self.stream.take_if(ended);
    }

    /// Sends the chunks that are not yet sent, if a stream is open.
    fn send_waiting(&mut self) {
        let Some(stream) = &self.stream else { return };
        for chunk in self.under_way.iter().skip(self.sent) {
            // Where the stream has ended, its answers say why.
            _ = stream.messages.try_send(LoadRequest { open: None, chunk: Some(chunk.clone()) });
        }
        self.sent = self.under_way.len();
    }

    /// The answer to the first chunk under way.
    async fn answer(&mut self) -> Result<LoadChunkResponse, Error> {
        if self.stream.is_none() {
            let opened = self.open_stream().await?;
            self.check_known(&opened)?;
        }
        self.send_waiting();
        match self.message().await? {
            Answered::Answer(answer) if Some(answer.offset()) == self.first_offset() => Ok(answer),
            _ => Err(Error::new(Code::Internal, "The server has answered something else than the chunk.")),
        }
    }

    /// A load that the server does not know any more cannot go on: it would begin anew.
    fn check_known(&self, opened: &OpenLoadResponse) -> Result<(), Error> {
        let answered = self.first_offset().unwrap_or_default();
        if self.options.validate_only || opened.next_offset() >= answered {
            return Ok(());
        }
        let message = format!(
            "The server has forgotten the load {} after {answered} events: it keeps answers for too short a time. Load \
             the rest under another id.",
            self.load_id
        );
        Err(Error::new(Code::FailedPrecondition, message))
    }

    fn first_offset(&self) -> Option<u64> {
        self.under_way.front().map(RawLoadChunkRequest::offset)
    }

    async fn open_stream(&mut self) -> Result<OpenLoadResponse, Error> {
        let deadline = self.client.settings.deadline;
        let beginning = self.begin_stream();
        let stream = tokio::time::timeout(deadline, beginning).await.map_err(|_| late(deadline))??;
        self.stream = Some(stream);
        match self.message().await? {
            Answered::Opened(opened) => {
                self.max_in_flight = (opened.max_in_flight() as usize).clamp(1, QUEUE - 1);
                Ok(opened)
            }
            Answered::Answer(_) => Err(Error::new(Code::Internal, "The server has answered before the load was open.")),
        }
    }

    async fn begin_stream(&mut self) -> Result<Stream, Error> {
        let token = self.token.insert(self.client.tokens.token().await?);
        let (messages, waiting) = mpsc::channel(QUEUE);
        let LoadOptions { validate_only, all_or_nothing, fields_set } = self.options.clone();
        let open = OpenLoadRequest {
            token: None,
            load_id: Some(self.load_id.clone()),
            validate_only: Some(validate_only),
            all_or_nothing: Some(all_or_nothing),
            fields_set,
        };
        _ = messages.try_send(LoadRequest { open: Some(open), chunk: None });
        let waiting = stream::unfold(waiting, |mut waiting| async { Some((waiting.recv().await?, waiting)) });
        let mut request = Request::new(waiting);
        request.metadata_mut().insert("authorization", bearer(token)?);
        let mut grpc = Grpc::new(self.client.channel.clone());
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let answer = grpc.streaming(request, PathAndQuery::from_static(PATH), ProstCodec::default()).await?;
        Ok(Stream { messages, request_id: request_id(&answer), answers: answer.into_inner() })
    }

    /// The next message of the stream that is open.
    async fn message(&mut self) -> Result<Answered, Error> {
        let deadline = self.client.settings.deadline;
        let ended = || Error::new(Code::Unavailable, "The server has ended the stream.");
        let stream = self.stream.as_mut().ok_or_else(ended)?;
        let answered = tokio::time::timeout(deadline, stream.answers.message()).await;
        let message = answered.map_err(|_| late(deadline))??;
        message.and_then(|answer| answer.message).ok_or_else(ended)
    }
}
