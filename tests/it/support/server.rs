//! A server under test, and the two kinds of client.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use referral_events::{
    config::{Config, Keys},
    contract::{
        BulkCreateReferralEventsRequest, CreateReferralEventRequest, CreateTokenRequest, ReleaseTokenRequest,
        authentication_service_client::AuthenticationServiceClient,
        referral_event_service_client::ReferralEventServiceClient,
    },
    guessing::Limits,
    server::{self, Listeners},
    storage::{Database, PoolOptions, entity::referral_event},
};
use sea_orm::{ConnectionTrait, EntityTrait, FromQueryResult, JsonValue, QueryOrder, Statement};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tonic::transport::Channel;

use super::{
    Answer, Setup, Transport,
    answer::{answer, envelope},
    engine::TestDatabase,
    hold::{Held, Hold},
    message,
    statement_log::is_beside,
    templates::KEYS,
    world,
};

/// A running server over a database of its own, and the token of a caller.
pub struct Server {
    pub address: SocketAddr,
    pub database: Database,
    pub keys: Keys,
    /// The token of carla, a caller of acme.
    pub token: String,
    /// The statements that calls have sent to the database, in order.
    pub statements: Arc<Mutex<Vec<String>>>,
    /// What is to be held up, if anything.
    hold: Arc<Mutex<Option<Hold>>>,
    pub transport: Transport,
    config: Config,
    channel: Channel,
    http: reqwest::Client,
    running: Option<Running>,
    files: Arc<TestDatabase>,
}

/// As much guessing as a test may need.
const UNLIMITED: Limits =
    Limits { wrong_passwords: 1_000_000, wrong_codes: 1_000_000, longest_wait: Duration::from_secs(60) };

/// The token of carla, once she has one: the keys and the users of all worlds are the same, and to verify a password is
/// made to take long.
static TOKEN: OnceLock<String> = OnceLock::new();

/// A server that listens.
struct Running {
    address: SocketAddr,
    admin: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(database: &Database, keys: &Keys, config: Config) -> Self {
        let calls = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = calls.local_addr().expect("an address");
        let admin = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let admin_address = admin.local_addr().expect("an address");
        let listeners = Listeners { calls, admin: Some(admin) };
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move { _ = stopped.await };
        // Nobody asks a server of a test for its health before it stops.
        let config = Config { drain_pause: Duration::ZERO, ..config };
        let serving = server::run(listeners, database.clone(), keys.clone(), config, shutdown);
        let task = tokio::spawn(async move { serving.await.expect("a server") });
        Self { address, admin: admin_address, stop, task }
    }

    fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).expect("a URI").connect_lazy()
    }
}

impl Server {
    /// One that lets tests guess, which give wrong codes and passwords on purpose.
    pub async fn start(setup: Setup) -> Self {
        Self::start_with(setup, Config { guessing: UNLIMITED, ..Config::default() }).await
    }

    pub async fn start_with(setup: Setup, config: Config) -> Self {
        Self::start_over(setup, setup.engine.create_world(), config).await
    }

    /// One over this database, in which the world is.
    pub async fn start_over(setup: Setup, files: TestDatabase, config: Config) -> Self {
        let mut database = Database::connect(&files.url).await.expect("a database");
        let keys = KEYS.clone();
        let statements = Arc::new(Mutex::new(Vec::new()));
        let hold: Arc<Mutex<Option<Hold>>> = Arc::default();
        let (observed, held) = (statements.clone(), hold.clone());
        database.observe_statements(move |sql| {
            if !is_beside(sql) {
                observed.lock().expect("a lock").push(sql.to_owned());
            }
            let hold = held.lock().expect("a lock").take_if(|hold| sql.contains(hold.statement));
            if let Some(hold) = hold {
                hold.wait();
            }
        });

        let running = Running::start(&database, &keys, config.clone()).await;
        let mut server = Self {
            address: running.address,
            config,
            database,
            keys,
            token: String::new(),
            statements,
            hold,
            transport: setup.transport,
            channel: running.channel(),
            http: reqwest::Client::new(),
            running: Some(running),
            files: Arc::new(files),
        };
        server.token = match TOKEN.get() {
            Some(token) => token.clone(),
            None => {
                let token = server.login("acme", "carla").await;
                TOKEN.get_or_init(|| token).clone()
            }
        };
        server
    }

    /// The database, for a transaction that may stay open for as long as it takes. On SQLite it is the server's own, which
    /// has the one connection that writes.
    pub async fn patient_database(&self) -> Database {
        if self.database.is_sqlite() {
            return self.database.clone();
        }
        let patient = PoolOptions { time_limit: Duration::from_secs(3600), ..PoolOptions::DEFAULT };
        Database::connect_with(&self.files.url, patient).await.expect("a database")
    }

    /// Another server over the same database, with connections of its own.
    pub async fn replica(&self) -> Self {
        let database = Database::connect(&self.files.url).await.expect("a database");
        let running = Running::start(&database, &self.keys, self.config.clone()).await;
        Self {
            address: running.address,
            config: self.config.clone(),
            database,
            keys: self.keys.clone(),
            token: self.token.clone(),
            statements: Arc::default(),
            hold: Arc::default(),
            transport: self.transport,
            channel: running.channel(),
            http: reqwest::Client::new(),
            running: Some(running),
            files: self.files.clone(),
        }
    }

    /// Moves the clock by which it judges what is new and what is old, and that of its replicas.
    pub fn advance(&self, time: Duration) {
        self.config.clock.advance(time);
    }

    /// Stops the server and waits until it has.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop.send(()).expect("a server to stop");
            running.task.await.expect("a server that stops");
        }
    }

    /// Stops the server and starts another one over the same data.
    pub async fn restart_with(&mut self, config: Config) {
        self.stop().await;
        let running = Running::start(&self.database, &self.keys, config.clone()).await;
        self.config = config;
        self.address = running.address;
        self.channel = running.channel();
        self.running = Some(running);
    }

    pub fn admin(&self) -> SocketAddr {
        self.running.as_ref().expect("a server that runs").admin
    }

    /// Forgets the statements so far and answers them.
    pub fn take_statements(&self) -> Vec<String> {
        std::mem::take(&mut self.statements.lock().expect("a lock"))
    }

    /// Holds up the next statement of a transaction that contains `statement`, just before it is sent.
    pub fn hold_at(&self, statement: &'static str) -> Held {
        let (held, hold) = Held::new(statement);
        *self.hold.lock().expect("a lock") = Some(hold);
        held
    }

    /// The token of a user, whose password is the name.
    pub async fn login(&self, organisation: &str, name: &str) -> String {
        let answer = self.create_token(json!({"organisation": organisation, "username": name, "password": name})).await;
        answer.data["token"].as_str().unwrap_or_else(|| panic!("no token: {answer:?}")).to_owned()
    }

    /// Sends events as carla of acme, who wants the documented fields.
    pub async fn send(&self, events: Value) -> Answer {
        let fields_set = world::EVENT_FIELDS;
        self.bulk(json!({"token": self.token, "referral_customer_events_set": events, "fields_set": fields_set})).await
    }

    pub async fn bulk(&self, request: Value) -> Answer {
        match self.transport {
            Transport::Rest => self.post("customer_events/bulk/referrals/create", &request).await,
            Transport::Grpc => {
                let request: BulkCreateReferralEventsRequest = message("BulkCreateReferralEventsRequest", request);
                let mut client = self.events_client();
                answer(
                    client
                        .bulk_create_referral_events(request)
                        .await
                        .map(|response| serde_json::to_value(response.into_inner()).expect("JSON")),
                )
            }
        }
    }

    /// A bulk call under an idempotency key; says too whether the answer is marked as that of an earlier call.
    pub async fn bulk_under(&self, key: &str, request: Value) -> (Answer, bool) {
        match self.transport {
            Transport::Rest => {
                let request = self.http.post(self.url("customer_events/bulk/referrals/create")).json(&request);
                marked(request.header("idempotency-key", key).send().await.expect("a response")).await
            }
            Transport::Grpc => {
                let request: BulkCreateReferralEventsRequest = message("BulkCreateReferralEventsRequest", request);
                let result = self.events_client().bulk_create_referral_events(under(key, request)).await;
                let is_marked = result.as_ref().is_ok_and(|response| is_marked(response.metadata().as_ref()));
                (answer(result.map(|response| serde_json::to_value(response.into_inner()).expect("JSON"))), is_marked)
            }
        }
    }

    /// Creates one event; `call` has the attributes of the call, but for its token.
    pub async fn create(&self, mut call: Value, event: Value) -> Answer {
        call["token"] = json!(self.token);
        match self.transport {
            Transport::Rest => {
                let event = event.as_object().expect("an object").clone();
                call.as_object_mut().expect("an object").extend(event);
                self.post("customer_events/referrals/create", &call).await
            }
            Transport::Grpc => {
                call["referral_customer_event"] = event;
                let request: CreateReferralEventRequest = message("CreateReferralEventRequest", call);
                let result = self.events_client().create_referral_event(request).await;
                answer(result.map(|response| serde_json::to_value(response.into_inner()).expect("JSON")))
            }
        }
    }

    pub async fn create_token(&self, request: Value) -> Answer {
        match self.transport {
            Transport::Rest => self.post("authentication/token", &request).await,
            Transport::Grpc => {
                let request: CreateTokenRequest = message("CreateTokenRequest", request);
                let mut client = AuthenticationServiceClient::new(self.channel.clone());
                answer(client.create_token(request).await.map(|response| json!({"token": response.into_inner().token})))
            }
        }
    }

    pub async fn release_token(&self, request: Value) -> Answer {
        match self.transport {
            Transport::Rest => self.post("authentication/token/release", &request).await,
            Transport::Grpc => {
                let request: ReleaseTokenRequest = message("ReleaseTokenRequest", request);
                let mut client = AuthenticationServiceClient::new(self.channel.clone());
                answer(client.release_token(request).await.map(|_| json!({})))
            }
        }
    }

    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub fn events_client(&self) -> ReferralEventServiceClient<Channel> {
        ReferralEventServiceClient::new(self.channel.clone())
    }

    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Posts JSON to a REST path, and checks that what comes back is the documented envelope.
    pub async fn post(&self, path: &str, request: &Value) -> Answer {
        self.post_text(path, request.to_string()).await.1
    }

    /// Posts a body to a REST path as JSON; answers the HTTP status too.
    pub async fn post_text(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, Answer) {
        let request = self.http.post(self.url(path)).header("content-type", "application/json").body(body);
        envelope(request.send().await.expect("a response")).await
    }

    /// The rows of a table, each as text, in order.
    pub async fn dump(&self, table: &str) -> Vec<String> {
        let statement =
            Statement::from_string(self.database.reader().get_database_backend(), format!("SELECT * FROM {table}"));
        let rows = JsonValue::find_by_statement(statement).all(self.database.reader()).await.expect("rows");
        let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
        rows.sort();
        rows
    }

    pub fn database_url(&self) -> String {
        self.files.url.clone()
    }

    /// The SQLite file and its log, byte for byte.
    pub fn file_contents(&self) -> Vec<Vec<u8>> {
        let file = self.files.url.trim_start_matches("sqlite:");
        [file.to_owned(), format!("{file}-wal")].iter().map(|file| std::fs::read(file).expect("a file")).collect()
    }

    /// The bytes of the log of SQLite.
    pub fn log_size(&self) -> u64 {
        let log = format!("{}-wal", self.files.url.trim_start_matches("sqlite:"));
        std::fs::metadata(log).expect("a log").len()
    }

    /// All events that are stored, by number.
    pub async fn stored_events(&self) -> Vec<referral_event::Model> {
        let events = referral_event::Entity::find().order_by_asc(referral_event::Column::Number);
        events.all(self.database.reader()).await.expect("events")
    }
}

fn under<T>(key: &str, request: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(request);
    request.metadata_mut().insert("idempotency-key", key.parse().expect("metadata"));
    request
}

async fn marked(response: reqwest::Response) -> (Answer, bool) {
    let is_marked = is_marked(response.headers());
    (envelope(response).await.1, is_marked)
}

fn is_marked(headers: &reqwest::header::HeaderMap) -> bool {
    headers.get("idempotency-replayed").is_some_and(|value| value == "true")
}
