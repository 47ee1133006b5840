//! A server in a process of its own, and its callers.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::uri::PathAndQuery;
use bytes::Bytes;
use prost::Message;
use referral_events::contract::{
    BulkCreateReferralEventsResponse, CreateTokenRequest, authentication_service_client::AuthenticationServiceClient,
};
use serde_json::Value;
use tonic::{client::Grpc, transport::Channel};

use super::{KEYS, bytes_codec::BytesCodec, world};

pub struct Server {
    process: Child,
    pub address: String,
    pub started_in: Duration,
}

impl Server {
    pub fn start(url: &str) -> Self {
        let started = Instant::now();
        let mut process = Command::new(env!("CARGO_BIN_EXE_referral-events"))
            .env("REFERRAL_EVENTS_TOKEN_KEY", KEYS[0])
            .env("REFERRAL_EVENTS_HASH_KEY", KEYS[1])
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "error", "--database-url", url])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a server");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        let address = line.trim().rsplit(' ').next().expect("an address").to_owned();
        Self { process, address, started_in: started.elapsed() }
    }

    /// Its resident memory: now, at its peak, and now without mapped files.
    pub fn memory(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() / 1024
        };
        format!("{} MiB (peak {}, anonymous {})", of("VmRSS:"), of("VmHWM:"), of("RssAnon:"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Grpc,
    Rest,
}

impl Transport {
    pub const ALL: [Self; 2] = [Self::Grpc, Self::Rest];

    pub fn name(self) -> &'static str {
        match self {
            Self::Grpc => "gRPC",
            Self::Rest => "REST",
        }
    }
}

/// A batch, ready to be sent: as bytes, on both transports, for what it takes to make them and to read the answer is the
/// caller's and its language's.
pub enum Request {
    Grpc(Bytes),
    Rest(String),
}

/// A caller, with a connection of its own.
pub struct Client {
    transport: Transport,
    token: String,
    address: String,
    grpc: Grpc<Channel>,
    http: reqwest::Client,
}

impl Client {
    pub async fn login(address: &str, transport: Transport, organisation: &str) -> Arc<Self> {
        let credentials = CreateTokenRequest {
            username: Some("u".to_owned()),
            password: Some("p".to_owned()),
            organisation: Some(organisation.to_owned()),
            unit: None,
        };
        let token = AuthenticationServiceClient::new(channel(address)).create_token(credentials).await;
        Self::with_token(token.expect("a token").into_inner().token, address, transport)
    }

    /// Another caller with the same token.
    pub fn another(&self) -> Arc<Self> {
        Self::with_token(self.token.clone(), &self.address, self.transport)
    }

    fn with_token(token: String, address: &str, transport: Transport) -> Arc<Self> {
        let grpc = Grpc::new(channel(address));
        Arc::new(Self { transport, token, address: address.to_owned(), grpc, http: reqwest::Client::new() })
    }

    pub fn prepare(&self, batch: &Value) -> Request {
        match self.transport {
            Transport::Grpc => Request::Grpc(world::grpc_request(batch).encode_to_vec().into()),
            Transport::Rest => Request::Rest(batch.to_string()),
        }
    }

    /// Sends a batch of `events`, all of which must be created; answers how long that took.
    ///
    /// In a task, for its thread has a heap of its own: in the heap in which the batches are made, littered as it is, to
    /// read an answer takes some 4 ms.
    pub async fn call(self: &Arc<Self>, request: Request, events: u64) -> Duration {
        let client = Arc::clone(self);
        tokio::spawn(async move { client.send(request, events).await }).await.expect("an answer")
    }

    async fn send(&self, request: Request, events: u64) -> Duration {
        match request {
            Request::Grpc(request) => {
                let mut request = tonic::Request::new(request);
                let token = format!("Bearer {}", self.token).parse().expect("a header");
                request.metadata_mut().insert("authorization", token);
                let mut client = self.grpc.clone();
                let started = Instant::now();
                client.ready().await.expect("a connection");
                let path = PathAndQuery::from_static("/referral.v1.ReferralEventService/BulkCreateReferralEvents");
                let response = client.unary(request, path, BytesCodec).await.expect("an answer").into_inner();
                let elapsed = started.elapsed();
                let response = BulkCreateReferralEventsResponse::decode(response).expect("a response");
                assert_eq!(response.processed_customer_events_set.len() as u64, events, "{response:?}");
                elapsed
            }
            Request::Rest(body) => {
                let url = format!("http://{}/customer_events/bulk/referrals/create", self.address);
                let request = self.http.post(url).bearer_auth(&self.token);
                let request = request.header("content-type", "application/json").body(body);
                let started = Instant::now();
                let response = request.send().await.expect("an answer").bytes().await.expect("a body");
                let elapsed = started.elapsed();
                let answer: Value = serde_json::from_slice(&response).expect("JSON");
                let processed = answer["data"]["processed_customer_events_set"].as_array().expect("a set");
                assert_eq!(processed.len() as u64, events, "{answer}");
                elapsed
            }
        }
    }
}

fn channel(address: &str) -> Channel {
    Channel::from_shared(format!("http://{address}")).expect("a URI").connect_lazy()
}
