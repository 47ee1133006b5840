//! Spans of calls, as a collector is told them.

use std::time::Instant;

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use referral_events::contract::{
    BulkCreateReferralEventsRequest, referral_event_service_client::ReferralEventServiceClient,
};
use serde_json::{Value, json};
use tonic::transport::Channel;

use crate::support::{
    Process, Setup, Transport, Workplace,
    collector::{Collector, attributes},
    event, message, tests, until,
};

tests! {
    Both:
        a_call_and_its_steps_are_spans_below_that_of_the_caller;
    Once:
        a_call_of_nobody_begins_a_trace_that_its_line_of_the_log_names,
        a_call_that_the_caller_does_not_want_traced_is_not,
        what_a_caller_does_wrong_is_no_failure_of_the_service,
        spans_that_wait_are_told_before_the_server_ends,
        a_collector_that_is_not_there_harms_no_call,
        a_collector_that_cannot_be_is_refused;
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const BULK: &str = "customer_events/bulk/referrals/create";

/// A server that tells the collector at once.
fn serve(workplace: &mut Workplace, collector: &Collector) -> Process {
    workplace.set("OTEL_BSP_SCHEDULE_DELAY", "20");
    workplace.serve(&["--otlp-endpoint", &collector.url])
}

async fn post(server: &Process, path: &str, id: &str, traceparent: Option<&str>, body: &Value) {
    let request = reqwest::Client::new().post(format!("http://{}/{path}", server.address)).json(body);
    let mut request = request.header("x-request-id", id);
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent).header("tracestate", "shop=1");
    }
    request.send().await.expect("an answer");
}

/// The span of the request of this id, once the collector was told it.
async fn span_of(collector: &Collector, id: &str) -> Span {
    let find = || {
        let of_id =
            |span: &Span| attributes(&span.attributes).get("referral_events.request_id").is_some_and(|of| of == id);
        collector.spans().into_iter().find(of_id)
    };
    until("the collector is told of the call", async || find().is_some()).await;
    find().expect("a span")
}

fn wrong_login() -> Value {
    json!({"organisation": "acme", "username": "carla", "password": "opensesame"})
}

async fn a_call_and_its_steps_are_spans_below_that_of_the_caller(setup: Setup) {
    let collector = Collector::start().await;
    let mut workplace = Workplace::over(setup.engine.create_world());
    let server = serve(&mut workplace, &collector);
    let token = server.login("carla").await;
    let events = json!([event("1", "01", "02"), event("2", "03", "04"), event("3", "05", "05")]);
    let body = json!({"token": token, "referral_customer_events_set": events});
    let traceparent = format!("00-{TRACE}-{SPAN}-01");
    let (name, known) = if setup.transport == Transport::Rest {
        post(&server, BULK, "bulk", Some(&traceparent), &body).await;
        let known = [
            ("http.request.method", "POST"),
            ("http.route", &format!("/{BULK}")),
            ("http.response.status_code", "200"),
        ];
        (format!("POST /{BULK}"), known.map(|(key, value)| (key, value.to_owned())).to_vec())
    } else {
        let channel = Channel::from_shared(format!("http://{}", server.address)).expect("a URI").connect_lazy();
        let request = message::<BulkCreateReferralEventsRequest>("BulkCreateReferralEventsRequest", body);
        let mut request = tonic::Request::new(request);
        for (key, value) in [("x-request-id", "bulk"), ("traceparent", &traceparent), ("tracestate", "shop=1")] {
            request.metadata_mut().insert(key, value.parse().expect("a value"));
        }
        ReferralEventServiceClient::new(channel).bulk_create_referral_events(request).await.expect("an answer");
        let service = "referral.v1.ReferralEventService";
        let method = "BulkCreateReferralEvents";
        let known =
            [("rpc.system", "grpc"), ("rpc.service", service), ("rpc.method", method), ("rpc.grpc.status_code", "0")];
        (format!("{service}/{method}"), known.map(|(key, value)| (key, value.to_owned())).to_vec())
    };

    let call = span_of(&collector, "bulk").await;
    assert_eq!(call.name, name);
    assert_eq!(call.kind(), SpanKind::Server);
    assert_eq!(hex::encode(&call.trace_id), TRACE);
    assert_eq!(hex::encode(&call.parent_span_id), SPAN);
    assert_eq!(call.trace_state, "shop=1");
    let attributes = attributes(&call.attributes);
    for (key, value) in known {
        assert_eq!(attributes.get(key), Some(&value), "{key}: {attributes:?}");
    }
    assert_eq!(attributes["referral_events.events.created"], "2");
    assert_eq!(attributes["referral_events.events.SelfReferralException"], "1");
    assert!(attributes.contains_key("referral_events.organisation"));
    assert!(!format!("{:?}", collector.spans()).contains(&token));

    let steps: Vec<Span> = collector.spans().into_iter().filter(|span| span.parent_span_id == call.span_id).collect();
    let mut names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    names.dedup();
    for step in ["read", "queue", "resolve", "turn", "decide", "commit"] {
        assert!(names.contains(&step), "{step}: {names:?}");
    }
    for step in &steps {
        assert_eq!(step.trace_id, call.trace_id);
        assert!(call.start_time_unix_nano <= step.start_time_unix_nano, "{step:?}");
        assert!(step.start_time_unix_nano <= step.end_time_unix_nano, "{step:?}");
        assert!(step.end_time_unix_nano <= call.end_time_unix_nano, "{step:?}");
    }
    let resource = collector.resources().remove(0);
    assert_eq!(resource["service.name"], "referral-events");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
}

async fn a_call_of_nobody_begins_a_trace_that_its_line_of_the_log_names(_: Setup) {
    let collector = Collector::start().await;
    let mut workplace = Workplace::new();
    workplace.set("OTEL_SERVICE_NAME", "referrals-of-the-shop");
    let server = serve(&mut workplace, &collector);
    post(&server, "nowhere", "lost", None, &json!({})).await;
    let span = span_of(&collector, "lost").await;
    assert_eq!(span.name, "_OTHER _OTHER");
    assert!(span.parent_span_id.is_empty());
    server.wait_for_output("\"request_id\":\"lost\"").await;
    let line = server.log_lines().into_iter().find(|line| line["request_id"] == "lost").expect("a line");
    assert_eq!(line["trace_id"], hex::encode(&span.trace_id));
    assert_eq!(collector.resources().remove(0)["service.name"], "referrals-of-the-shop");
}

async fn a_call_that_the_caller_does_not_want_traced_is_not(_: Setup) {
    let collector = Collector::start().await;
    let mut workplace = Workplace::new();
    let server = serve(&mut workplace, &collector);
    post(&server, "nowhere", "unwanted", Some(&format!("00-{TRACE}-{SPAN}-00")), &json!({})).await;
    post(&server, "readyz", "probe", None, &json!({})).await;
    post(&server, "nowhere", "wanted", Some(&format!("00-{TRACE}-{SPAN}-01")), &json!({})).await;
    span_of(&collector, "wanted").await;
    let spans = format!("{:?}", collector.spans());
    assert!(!spans.contains("unwanted") && !spans.contains("probe"), "{spans}");
}

async fn what_a_caller_does_wrong_is_no_failure_of_the_service(_: Setup) {
    let collector = Collector::start().await;
    let mut workplace = Workplace::over(crate::support::Engine::Sqlite.create_world());
    let server = serve(&mut workplace, &collector);
    post(&server, "authentication/token", "wrong", None, &wrong_login()).await;
    let span = span_of(&collector, "wrong").await;
    assert_eq!(attributes(&span.attributes)["error.type"], "InvalidCredentialsException");
    assert_eq!(span.status.unwrap_or_default().code(), StatusCode::Unset);

    let request = reqwest::Client::new().post(format!("http://{}/authentication/token", server.address));
    let request = request.header("x-request-id", "late").header("grpc-timeout", "1u").json(&wrong_login());
    assert_eq!(request.send().await.expect("an answer").status(), 504);
    let status = span_of(&collector, "late").await.status.expect("a status");
    assert_eq!((status.code(), status.message.as_str()), (StatusCode::Error, "DeadlineExceededException"));
    assert!(!format!("{:?}", collector.spans()).contains("opensesame"));
}

async fn spans_that_wait_are_told_before_the_server_ends(_: Setup) {
    let collector = Collector::start().await;
    let mut workplace = Workplace::new();
    workplace.set("OTEL_BSP_SCHEDULE_DELAY", "3600000");
    let mut server = workplace.serve(&["--otlp-endpoint", &collector.url]);
    post(&server, "nowhere", "last", None, &json!({})).await;
    assert!(collector.spans().is_empty());
    server.terminate();
    assert!(server.ended().await.success());
    span_of(&collector, "last").await;
}

async fn a_collector_that_is_not_there_harms_no_call(_: Setup) {
    let mut workplace = Workplace::over(crate::support::Engine::Sqlite.create_world());
    workplace.set("OTEL_BSP_SCHEDULE_DELAY", "20");
    // Nobody listens on the port of what has ended.
    let url = Collector::start().await.url.clone();
    let mut server = workplace.serve(&["--otlp-endpoint", &url, "--drain-limit", "5"]);
    for n in 0..100 {
        post(&server, "nowhere", &format!("{n}"), None, &json!({})).await;
    }
    server.login("carla").await;
    server.wait_for_output("BatchSpanProcessor").await;
    let stopped = Instant::now();
    server.terminate();
    assert!(server.ended().await.success());
    assert!(stopped.elapsed().as_secs() < 15, "{}", server.output());
}

async fn a_collector_that_cannot_be_is_refused(_: Setup) {
    let workplace = Workplace::new();
    for url in ["127.0.0.1:4317", "ftp://127.0.0.1:4317", "http://", "http://a b"] {
        let ended = workplace.run(&["serve", "--listen", "127.0.0.1:0", "--otlp-endpoint", url]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{url}: {ended:?}");
        assert!(ended.stderr.contains("--otlp-endpoint"), "{url}: {ended:?}");
    }
}
