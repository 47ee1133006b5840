//! A stream of a load, message by message.

use futures_util::stream;
use referral_events::contract::{
    LoadReferralEventsRequest, LoadReferralEventsResponse, load_referral_events_response::Message as Answered,
    referral_event_service_client::ReferralEventServiceClient,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tonic::{
    Request, Status, Streaming,
    metadata::{AsciiMetadataKey, AsciiMetadataValue},
    transport::Channel,
};
use tonic_types::StatusExt;

use super::{Answer, Server, answer, message};

/// A stream that is open.
pub struct Loading {
    messages: mpsc::UnboundedSender<LoadReferralEventsRequest>,
    answers: Streaming<LoadReferralEventsResponse>,
    pub request_id: String,
}

impl Loading {
    /// Begins a stream, on which nothing is sent yet.
    pub async fn begin(channel: Channel, headers: &[(&str, &str)]) -> Result<Self, Status> {
        let (messages, waiting) = mpsc::unbounded_channel();
        let mut request =
            Request::new(stream::unfold(waiting, |mut waiting| async { Some((waiting.recv().await?, waiting)) }));
        for (name, value) in headers {
            let name: AsciiMetadataKey = name.parse().expect("a name");
            request.metadata_mut().insert(name, value.parse::<AsciiMetadataValue>().expect("a value"));
        }
        let response = ReferralEventServiceClient::new(channel).load_referral_events(request).await?;
        let request_id = response.metadata().get("x-request-id").expect("an id").to_str().expect("a text").to_owned();
        Ok(Self { messages, answers: response.into_inner(), request_id })
    }

    /// Sends a message of the contract.
    pub fn send(&self, json: Value) {
        // Where the stream has ended, its answers say so.
        _ = self.messages.send(message("LoadReferralEventsRequest", json));
    }

    pub fn send_chunk(&self, offset: u64, events: &[Value]) {
        self.send(json!({"chunk": {"offset": offset, "referral_customer_events_set": events}}));
    }

    /// The next answer; `None` where the stream has ended well.
    pub async fn next(&mut self) -> Option<Result<Value, Status>> {
        let message = match self.answers.message().await {
            Ok(message) => message?.message.expect("a message"),
            Err(status) => return Some(Err(status)),
        };
        Some(Ok(match message {
            Answered::Opened(opened) => json!(opened),
            Answered::Answer(answer) => json!(answer),
        }))
    }

    /// The next answer, which there has to be.
    pub async fn answer(&mut self) -> Answer {
        answer(self.next().await.expect("no end of the stream"))
    }

    /// The answer to a chunk.
    pub async fn load(&mut self, offset: u64, events: &[Value]) -> Answer {
        self.send_chunk(offset, events);
        self.answer().await
    }

    /// Sends a chunk that is refused for its offset; answers where the load goes on.
    pub async fn next_offset_told(&mut self, offset: u64, events: &[Value]) -> String {
        self.send_chunk(offset, events);
        let status = self.next().await.expect("no end of the stream").expect_err("a refusal");
        assert_eq!(status.code(), tonic::Code::OutOfRange, "{status:?}");
        let details = status.get_error_details();
        let info = details.error_info().expect("an ErrorInfo").clone();
        assert_eq!(info.reason, "OffsetOutOfRangeException");
        info.metadata["next_offset"].clone()
    }

    /// Says that no more comes, and waits for the end of the stream.
    pub async fn end(self) {
        let Self { messages, mut answers, .. } = self;
        drop(messages);
        assert_eq!(answers.message().await.expect("a good end"), None);
    }
}

impl Server {
    /// Opens a load as carla of acme; answers where it goes on, too.
    pub async fn load(&self, id: &str) -> (Loading, u64) {
        self.load_with(json!({"load_id": id, "token": self.token})).await
    }

    pub async fn load_with(&self, open: Value) -> (Loading, u64) {
        let mut loading = Loading::begin(self.channel(), &[]).await.expect("a stream");
        loading.send(json!({"open": open}));
        let opened = loading.answer().await;
        let next_offset = opened.data["next_offset"].as_u64().unwrap_or_else(|| panic!("it is not open: {opened:?}"));
        assert_eq!(opened.data["max_in_flight"], 2);
        (loading, next_offset)
    }
}
