//! What a stream of a load may cost, and how it ends: each chunk has the limits of a call.

use std::{sync::Arc, time::Duration};

use referral_events::config::{Config, ConnectionLimits};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::oneshot};
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt;

use crate::support::{
    Engine, Loading, Process, Server, Setup, Workplace, event,
    innocent::{Innocent, limits, repeatable, start},
    method, tests, until,
};

tests! {
    Grpc:
        a_token_that_ends_ends_the_stream,
        a_chunk_under_way_is_answered_before_the_server_stops,
        a_stream_does_not_keep_the_server,
        a_connection_that_retires_ends_its_streams_well,
        a_load_of_any_length_takes_the_room_of_a_chunk,
        a_stream_keeps_no_other_organisation_waiting,
        a_stream_is_counted_as_one_call_and_each_chunk_by_its_steps;
    Sqlite:
        a_stream_on_which_nothing_comes_is_ended,
        answers_of_a_stream_that_nobody_takes_end_its_connection,
        a_chunk_that_takes_too_long_ends_the_stream,
        the_deadline_of_the_caller_is_that_of_the_stream,
        a_chunk_that_is_shed_ends_the_stream_and_says_when_to_come_back,
        chunks_may_be_compressed,
        over_grpc_web_a_load_is_refused;
    Once:
        a_stream_has_one_line_in_the_log_with_all_that_was_done,
        a_flood_of_chunks_costs_little_memory;
}

fn one(n: usize) -> Vec<Value> {
    vec![event(&n.to_string(), &format!("{:02}", n + 1), "60")]
}

/// The refusal that ends a stream.
async fn refusal(load: &mut Loading) -> (Code, String, Option<Duration>) {
    let status = load.next().await.expect("no end without a word").expect_err("a refusal");
    let details = status.get_error_details();
    let wait = details.retry_info().and_then(|info| info.retry_delay);
    (status.code(), details.error_info().expect("an ErrorInfo").reason.clone(), wait)
}

async fn a_token_that_ends_ends_the_stream(setup: Setup) {
    let server = Server::start(setup).await;
    let token = server.login("acme", "carla").await;
    let bearer = format!("Bearer {token}");
    let (by_message, _) = server.load_with(json!({"load_id": "file", "token": token})).await;
    let mut by_header = Loading::begin(server.channel(), &[("authorization", &bearer)]).await.expect("a stream");
    by_header.send(json!({"open": {"load_id": "other-file"}}));
    assert_eq!(by_header.answer().await.code, "OK");
    let mut places = 0..;
    for load in [&mut { by_message }, &mut by_header] {
        let place = places.next().expect("a place");
        load.load(0, &one(place)).await.assert_outcome(&[&place.to_string()], &[]);
        if place == 1 {
            assert_eq!(server.release_token(json!({"token": token})).await.code, "OK");
            load.send_chunk(1, &one(10));
            assert_eq!(refusal(load).await, (Code::Unauthenticated, "InvalidTokenException".to_owned(), None));
        }
    }
    let (mut load, next_offset) = server.load("other-file").await;
    assert_eq!(next_offset, 1);
    load.load(1, &one(10)).await.assert_outcome(&["10"], &[]);
}

async fn a_chunk_under_way_is_answered_before_the_server_stops(setup: Setup) {
    let mut server = Server::start(setup).await;
    let replica = server.replica().await;
    let (mut load, _) = server.load("file").await;
    let (address, held) = (server.address, server.hold_at("COMMIT"));
    load.send_chunk(0, &one(0));
    load.send_chunk(1, &one(1));
    let (under_way, is_under_way) = oneshot::channel();
    let stopping = async {
        is_under_way.await.expect("a chunk under way");
        server.stop().await;
    };
    let loading = async {
        held.meanwhile(async {
            under_way.send(()).expect("a server to stop");
            until("nobody is taken any more", async || TcpStream::connect(address).await.is_err()).await;
        })
        .await;
        load.answer().await.assert_outcome(&["0"], &[]);
        let (code, reason, wait) = refusal(&mut load).await;
        assert_eq!((code, reason.as_str()), (Code::Unavailable, "ServiceUnavailableException"));
        assert!(wait.is_some());
        let (mut load, next_offset) = replica.load("file").await;
        assert_eq!(next_offset, 1);
        load.load(1, &one(1)).await.assert_outcome(&["1"], &[]);
    };
    tokio::join!(stopping, loading);
}

async fn a_stream_does_not_keep_the_server(setup: Setup) {
    let mut server = Server::start(setup).await;
    let (mut load, _) = server.load("file").await;
    let (_, (code, ..)) = tokio::join!(server.stop(), refusal(&mut load));
    assert_eq!(code, Code::Unavailable);
}

async fn a_connection_that_retires_ends_its_streams_well(setup: Setup) {
    let connections = ConnectionLimits { maximum_age: Duration::from_millis(500), ..ConnectionLimits::default() };
    let server = start(setup, connections).await;
    let (mut load, _) = server.load("file").await;
    let (code, reason, wait) = refusal(&mut load).await;
    assert_eq!((code, reason.as_str()), (Code::Unavailable, "ServiceUnavailableException"));
    assert!(wait.is_some());
}

/// An event of some 8 KB that is answered as processed however often it is sent.
fn large() -> Value {
    let mut event = repeatable()[0].clone();
    for n in 1..=8 {
        event[format!("udf_string_{n}")] = json!("𝄞".repeat(255));
    }
    event
}

async fn a_load_of_any_length_takes_the_room_of_a_chunk(setup: Setup) {
    let mut server = Server::start(setup).await;
    server.restart_with(Config { memory_budget: 8 * 1024 * 1024, ..Config::default() }).await;
    // An organisation has half of the room. What is read and what is answered has to be given back.
    let chunk: Vec<Value> = (0..300)
        .map(|n| {
            let mut event = large();
            event["request_unique_identifier"] = json!(n.to_string());
            event
        })
        .collect();
    let (mut load, _) = server.load("file").await;
    for n in 0..12 {
        let answer = load.load(n * 300, &chunk).await;
        assert_eq!(answer.processed().len(), 300, "{}: {}", n, answer.message);
    }
    assert_eq!(server.stored_events().await.len(), 1);
}

async fn a_stream_keeps_no_other_organisation_waiting(setup: Setup) {
    let server = Arc::new(Server::start(setup).await);
    let oscar = server.login("other", "oscar").await;
    let events: Vec<Value> = (0..500).map(|n| json!({"request_unique_identifier": n.to_string()})).collect();
    let innocent = Innocent::start(&server);
    let (mut load, _) = server.load_with(json!({"load_id": "file", "token": oscar})).await;
    for n in 0..20 {
        load.send_chunk(n * 500, &events);
    }
    for _ in 0..20 {
        assert_eq!(load.answer().await.unprocessed().len(), 500);
    }
    innocent.was_served().await;
}

async fn a_stream_is_counted_as_one_call_and_each_chunk_by_its_steps(setup: Setup) {
    let server = Server::start(setup).await;
    let (mut load, _) = server.load("file").await;
    for n in 0..3 {
        load.load(n as u64, &one(n)).await.assert_outcome(&[&n.to_string()], &[]);
    }
    load.end().await;
    let of_loads = [("grpc_type", "bidi_stream"), ("grpc_method", "LoadReferralEvents"), ("grpc_code", "OK")];
    let handled = async || server.scrape().await.sum("grpc_server_handled_total", &of_loads);
    until("the stream is counted", async || handled().await == 1.0).await;
    let scrape = server.scrape().await;
    assert_eq!(scrape.sum("referral_events_batch_events_count", &[]), 3.0);
    assert_eq!(scrape.sum("referral_events_call_step_seconds_count", &[("step", "commit")]), 3.0);
    assert_eq!(scrape.sum("referral_events_events_total", &[("outcome", "created")]), 3.0);
}

async fn a_stream_on_which_nothing_comes_is_ended(setup: Setup) {
    let server = start(setup, limits()).await;
    let innocent = Innocent::start(&server);
    let mut unopened = Loading::begin(server.channel(), &[]).await.expect("a stream");
    let (mut open, _) = server.load("file").await;
    for load in [&mut unopened, &mut open] {
        let (code, reason, _) = refusal(load).await;
        assert_eq!((code, reason.as_str()), (Code::DeadlineExceeded, "DeadlineExceededException"));
    }
    innocent.was_served().await;
}

async fn answers_of_a_stream_that_nobody_takes_end_its_connection(setup: Setup) {
    let server = start(setup, limits()).await;
    let innocent = Innocent::start(&server);
    // A window in which an answer has no room.
    let endpoint = Channel::from_shared(format!("http://{}", server.address)).expect("a URI");
    let channel = endpoint.initial_stream_window_size(100).connect_lazy();
    let mut load = Loading::begin(channel, &[]).await.expect("a stream");
    load.send(json!({"open": {"load_id": "file", "token": server.token}}));
    assert_eq!(load.answer().await.data["next_offset"], 0);
    let events: Vec<Value> = (0..100).map(|n| json!({"request_unique_identifier": n.to_string()})).collect();
    for n in 0..10 {
        load.send_chunk(n * 100, &events);
    }
    // Nobody asks for the answers; the server waits with the other chunks, and then no more.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut answers = 0;
    let ended = loop {
        match load.next().await {
            Some(Ok(_)) => answers += 1,
            ended => break ended,
        }
    };
    assert!(matches!(ended, Some(Err(_))) && answers < 3, "{answers} {ended:?}");
    innocent.was_served().await;
}

async fn a_chunk_that_takes_too_long_ends_the_stream(setup: Setup) {
    let mut server = Server::start(setup).await;
    server.restart_with(Config { time_limit: Duration::from_millis(500), ..Config::default() }).await;
    let (mut load, _) = server.load("file").await;
    let held = server.hold_at("COMMIT");
    load.send_chunk(0, &one(0));
    held.meanwhile(async {
        let (code, reason, _) = refusal(&mut load).await;
        assert_eq!((code, reason.as_str()), (Code::DeadlineExceeded, "DeadlineExceededException"));
    })
    .await;
    // It is committed, though nobody was told: it is not carried out again.
    let (mut load, _) = server.load("file").await;
    load.load(0, &one(0)).await.assert_outcome(&["0"], &[]);
    assert_eq!(server.stored_events().await.len(), 1);
}

async fn the_deadline_of_the_caller_is_that_of_the_stream(setup: Setup) {
    let server = Server::start(setup).await;
    let mut load = Loading::begin(server.channel(), &[("grpc-timeout", "1500m")]).await.expect("a stream");
    load.send(json!({"open": {"load_id": "file", "token": server.token}}));
    assert_eq!(load.answer().await.code, "OK");
    load.load(0, &one(0)).await.assert_outcome(&["0"], &[]);
    assert_eq!(refusal(&mut load).await.0, Code::DeadlineExceeded);
}

async fn a_chunk_that_is_shed_ends_the_stream_and_says_when_to_come_back(setup: Setup) {
    let mut server = Server::start(setup).await;
    server.restart_with(Config { maximum_calls: 1, ..Config::default() }).await;
    let server = Arc::new(server);
    let (mut load, _) = server.load("file").await;
    let held = server.hold_at("COMMIT");
    let sending = server.clone();
    let other = tokio::spawn(async move { sending.send(repeatable()).await });
    held.meanwhile(async {
        load.send_chunk(0, &one(0));
        let (code, reason, wait) = refusal(&mut load).await;
        assert_eq!((code, reason.as_str()), (Code::ResourceExhausted, "TooManyRequestsException"));
        assert!(wait.is_some());
    })
    .await;
    other.await.expect("a task").assert_outcome(&["1"], &[]);
    assert_eq!(server.load("file").await.1, 0);
}

async fn chunks_may_be_compressed(setup: Setup) {
    use referral_events::contract::{
        LoadReferralEventsRequest, load_referral_events_response::Message as Answered,
        referral_event_service_client::ReferralEventServiceClient,
    };
    use tonic::codec::CompressionEncoding::{Gzip, Zstd};
    let server = Server::start(setup).await;
    for (id, encoding) in [("gzip", Gzip), ("zstd", Zstd)] {
        let mut client =
            ReferralEventServiceClient::new(server.channel()).send_compressed(encoding).accept_compressed(encoding);
        let open = json!({"open": {"load_id": id, "token": server.token}});
        let chunk = json!({"chunk": {"offset": 0, "referral_customer_events_set": repeatable()}});
        let messages: Vec<LoadReferralEventsRequest> =
            [open, chunk].map(|message| crate::support::message("LoadReferralEventsRequest", message)).into();
        let response = client.load_referral_events(futures_util::stream::iter(messages)).await.expect("a stream");
        assert_eq!(response.metadata().get("grpc-encoding").expect("an encoding"), id);
        let mut answers = response.into_inner();
        assert!(answers.message().await.expect("an answer").is_some());
        let answer = answers.message().await.expect("an answer").expect("an answer").message;
        let Some(Answered::Answer(answer)) = answer else { panic!("{answer:?}") };
        assert_eq!(answer.processed_customer_events_set.len(), 1);
    }
}

async fn over_grpc_web_a_load_is_refused(setup: Setup) {
    let server = Server::start(setup).await;
    let url = server.url(method("LoadReferralEvents").grpc_path().trim_start_matches('/'));
    let request = server.http().post(url).header("content-type", "application/grpc-web").body(vec![0; 5]);
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.headers()["grpc-status"], "12");
    let message = answer.headers()["grpc-message"].to_str().expect("a text").to_owned();
    assert!(message.contains("gRPC-Web"), "{message}");
}

/// A server over a world, and the token of carla.
async fn world() -> (Workplace, Process, String) {
    let workplace = Workplace::over(Engine::Sqlite.create_world());
    let server = workplace.serve(&[]);
    let token = server.login("carla").await;
    (workplace, server, token)
}

fn channel(server: &Process) -> Channel {
    Channel::from_shared(format!("http://{}", server.address)).expect("a URI").connect_lazy()
}

async fn a_stream_has_one_line_in_the_log_with_all_that_was_done(_: Setup) {
    let (_workplace, server, token) = world().await;
    let headers = [("x-request-id", "the load")];
    let headers = headers.map(|(name, id)| (name, id.trim_start_matches("the ")));
    let mut load = Loading::begin(channel(&server), &headers).await.expect("a stream");
    load.send(json!({"open": {"load_id": "file", "token": token}}));
    load.answer().await;
    load.load(0, &one(0)).await.assert_outcome(&["0"], &[]);
    load.load(1, &[one(1), one(2)].concat()).await.assert_outcome(&["1", "2"], &[]);
    load.load(3, &[event("3", "01", "59")]).await.assert_outcome(&[], &[("3", "ReferredByAnotherParticipant")]);
    load.load(3, &[event("3", "01", "59")]).await;
    load.end().await;
    let lines = || server.log_lines().into_iter().filter(|line| line["request_id"] == "load").collect::<Vec<_>>();
    until("the stream has its line", async || !lines().is_empty()).await;
    let lines = lines();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(line["message"], "answered");
    assert_eq!((&line["method"], &line["code"]), (&json!(method("LoadReferralEvents").grpc_path()), &json!("OK")));
    assert_eq!((&line["created"], &line["committed"]), (&json!(3), &json!(3)));
    assert_eq!(line["unprocessed"], "ReferredByAnotherParticipantException=1");
    assert_eq!(line["idempotency_replayed"], true);
    assert_eq!(line["user"], "carla-acme");
}

async fn a_flood_of_chunks_costs_little_memory(_: Setup) {
    let (_workplace, server, token) = world().await;
    let events: Vec<Value> = (0..1000)
        .map(|n| {
            let mut event = large();
            event["request_unique_identifier"] = json!(n.to_string());
            event
        })
        .collect();
    let mut load = Loading::begin(channel(&server), &[]).await.expect("a stream");
    load.send(json!({"open": {"load_id": "file", "token": token}}));
    load.answer().await;
    load.load(0, &events[..10]).await;
    let before = server.peak_memory();
    // 8 MB each, and nobody waits for an answer.
    for n in 0..20 {
        load.send_chunk(10 + n * 1000, &events);
    }
    for _ in 0..20 {
        assert_eq!(load.answer().await.processed().len(), 1000);
    }
    let peak = server.peak_memory();
    assert!(peak < before + 60, "{before} MiB before, {peak} MiB after");
}
