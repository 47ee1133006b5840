//! What the log says, and in which form.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
};

use referral_events::contract::{
    BulkCreateReferralEventsRequest, referral_event_service_client::ReferralEventServiceClient,
};
use serde_json::{Value, json};
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{Engine, Process, Setup, Workplace, event, message, tests, until};

tests! {
    Once:
        the_log_is_json_unless_it_is_to_be_text,
        a_form_that_there_is_not_is_refused,
        a_call_of_rest_has_one_line_with_all_that_was_done,
        a_call_of_grpc_has_its_own_code,
        a_repeat_under_an_idempotency_key_says_so,
        who_hung_up_is_said,
        sixty_wrong_passwords_can_be_read,
        probes_are_told_of_at_debug_alone,
        long_paths_and_methods_are_cut,
        the_trace_of_a_caller_is_in_the_lines_of_its_call;
}

const BULK: &str = "customer_events/bulk/referrals/create";

/// A server over a world, whose log is JSON.
fn world() -> (Workplace, Process) {
    let workplace = Workplace::over(Engine::Sqlite.create_world());
    let server = workplace.serve(&[]);
    (workplace, server)
}

/// The line of the request of this id, once it is there; the only one.
async fn line_of(server: &Process, id: &str) -> Value {
    let of_id = || server.log_lines().into_iter().filter(|line| line["request_id"] == id).collect::<Vec<_>>();
    until("the call has its line", async || !of_id().is_empty()).await;
    let mut lines = of_id();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

async fn post(server: &Process, id: &str, headers: &[(&str, &str)], path: &str, body: &Value) -> reqwest::Response {
    let mut request = reqwest::Client::new().post(format!("http://{}/{path}", server.address)).json(body);
    request = request.header("x-request-id", id);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("a response")
}

fn three_events() -> Value {
    json!([event("1", "01", "02"), event("2", "03", "04"), event("3", "05", "05")])
}

async fn the_log_is_json_unless_it_is_to_be_text(_: Setup) {
    let mut workplace = Workplace::new();
    let server = workplace.serve(&[]);
    post(&server, "one", &[], "nowhere", &json!({})).await;
    let line = line_of(&server, "one").await;
    for field in ["timestamp", "level", "target", "message"] {
        assert!(line[field].is_string(), "{field}: {line}");
    }
    workplace.set("REFERRAL_EVENTS_LOG_FORMAT", "text");
    let server = workplace.serve(&[]);
    post(&server, "two", &[], "nowhere", &json!({})).await;
    server.wait_for_output(" INFO referral_events::server::observed: answered request_id=\"two\"").await;
    let server = workplace.serve(&["--log-format", "json"]);
    post(&server, "three", &[], "nowhere", &json!({})).await;
    assert_eq!(line_of(&server, "three").await["message"], "answered");
}

async fn a_form_that_there_is_not_is_refused(_: Setup) {
    for format in ["xml", "JSON", ""] {
        let ended = Workplace::new().run(&["migrate", "--log-format", format]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("auto") && ended.stderr.contains("json"), "{ended:?}");
    }
}

async fn a_call_of_rest_has_one_line_with_all_that_was_done(_: Setup) {
    let (_workplace, server) = world();
    let token = server.login("carla").await;
    let body = json!({"token": token, "referral_customer_events_set": three_events()});
    let response = post(&server, "bulk", &[], BULK, &body).await;
    let answer = response.text().await.expect("a body");
    let line = line_of(&server, "bulk").await;
    let expected = json!({
        "level": "INFO", "message": "answered", "transport": "rest", "method": format!("POST /{BULK}"), "code": "200",
        "organisation": 1, "created": 2, "committed": 2, "unprocessed": "SelfReferralException=1",
        "bytes_in": body.to_string().len(), "bytes_out": answer.len(),
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(line[name], *value, "{name}: {line}");
    }
    let peer: SocketAddr = line["peer"].as_str().expect("a peer").parse().expect("an address");
    assert!(peer.ip().is_loopback());
    assert!(line["user"].is_string(), "{line}");
    let milliseconds = |name: &str| line[name].as_f64().unwrap_or_else(|| panic!("no {name}: {line}"));
    let steps = ["read", "queue", "resolve", "turn", "decide", "load", "commit"];
    let steps: f64 = steps.iter().map(|step| milliseconds(&format!("{step}_milliseconds"))).sum();
    assert!(steps > 0.0 && steps <= milliseconds("milliseconds"), "{line}");
    for absent in ["replayed", "rehearsed", "error", "cause", "hung_up", "idempotency_replayed", "trace_id", "span"] {
        assert!(line.get(absent).is_none(), "{absent}: {line}");
    }
    assert!(!line.to_string().contains(&token));
}

async fn a_call_of_grpc_has_its_own_code(_: Setup) {
    let (_workplace, server) = world();
    let token = server.login("carla").await;
    let channel = Channel::from_shared(format!("http://{}", server.address)).expect("a URI").connect_lazy();
    let mut client = ReferralEventServiceClient::new(channel);
    for (id, token, code, error) in
        [("well", token.as_str(), "OK", None), ("refused", "none", "Unauthenticated", Some("InvalidTokenException"))]
    {
        let body = json!({"token": token, "referral_customer_events_set": three_events()});
        let mut request =
            tonic::Request::new(message::<BulkCreateReferralEventsRequest>("BulkCreateReferralEventsRequest", body));
        request.metadata_mut().insert("x-request-id", id.parse().expect("a value"));
        assert_eq!(client.bulk_create_referral_events(request).await.is_ok(), error.is_none());
        let line = line_of(&server, id).await;
        assert_eq!(line["transport"], "grpc");
        assert_eq!(line["method"], "/referral.v1.ReferralEventService/BulkCreateReferralEvents");
        assert_eq!((&line["code"], line["error"].as_str()), (&json!(code), error), "{line}");
        assert_eq!(line["created"].as_u64(), error.is_none().then_some(2), "{line}");
    }
}

async fn a_repeat_under_an_idempotency_key_says_so(_: Setup) {
    let (_workplace, server) = world();
    let token = server.login("carla").await;
    let body = json!({"token": token, "referral_customer_events_set": three_events()});
    for (id, is_repeated) in [("first", None), ("second", Some(true))] {
        post(&server, id, &[("idempotency-key", "k")], BULK, &body).await;
        let line = line_of(&server, id).await;
        assert_eq!(line["idempotency_replayed"].as_bool(), is_repeated, "{line}");
        assert_eq!(line.get("created").is_some(), is_repeated.is_none(), "{line}");
    }
}

async fn who_hung_up_is_said(_: Setup) {
    let workplace = Workplace::new();
    let server = workplace.serve(&["--drain-pause", "0", "--drain-limit", "1200", "--stall-timeout", "600"]);
    let begin = |id: &str| {
        let mut caller = TcpStream::connect(server.address).expect("a connection");
        let head = format!(
            "POST /authentication/token HTTP/1.1\r\nhost: here\r\nx-request-id: {id}\r\ncontent-length: 100\r\n\
             content-type: application/json\r\nexpect: 100-continue\r\n\r\n"
        );
        caller.write_all(head.as_bytes()).expect("a head");
        // The server asks for the body once it reads it.
        let mut asked = [0; 12];
        std::io::Read::read_exact(&mut caller, &mut asked).expect("an answer");
        assert_eq!(&asked, b"HTTP/1.1 100");
        caller
    };
    // A body that breaks off is answered, to nobody.
    drop(begin("caller"));
    let line = line_of(&server, "caller").await;
    assert!(line["hung_up"] == "caller" || line["code"] == "400", "{line}");
    let _held = begin("server");
    server.terminate();
    let line = line_of(&server, "server").await;
    assert_eq!((&line["hung_up"], &line["code"]), (&json!("server"), &json!("499")), "{line}");
    assert_eq!(line["message"], "the connection was ended before the answer");
}

async fn sixty_wrong_passwords_can_be_read(_: Setup) {
    let (_workplace, server) = world();
    let credentials = |name: &str| json!({"organisation": "acme", "username": name, "password": "opensesame"});
    for n in 0..60 {
        let id = format!("guess-{n}");
        post(&server, &id, &[], "authentication/token", &credentials("carla")).await;
        let line = line_of(&server, &id).await;
        assert_eq!(line["level"], "WARN", "{line}");
    }
    let failed =
        || server.log_lines().into_iter().filter(|line| line["message"] == "a login failed").collect::<Vec<_>>();
    until("all are told", async || failed().len() == 60).await;
    for (n, line) in failed().into_iter().enumerate() {
        assert_eq!(line["level"], "WARN", "{line}");
        assert_eq!((&line["user"], &line["organisation"]), (&json!("carla"), &json!("acme")), "{line}");
        assert_eq!(line["peer"], "127.0.0.1", "{line}");
        assert_eq!(line["span"]["id"], format!("guess-{n}"), "{line}");
        let wait = line["wait_seconds"].as_f64();
        match line["outcome"].as_str().expect("an outcome") {
            "wrong_credentials" => assert!(n >= 4 || wait.is_none(), "{line}"),
            "has_to_wait" => assert!(n >= 5 && wait.is_some_and(|wait| wait > 0.0), "{line}"),
            outcome => panic!("{outcome}: {line}"),
        }
    }
    // A name that a stranger made up is cut short, and stands in its line alone.
    post(&server, "long", &[], "authentication/token", &credentials(&format!("x\n{}", "y".repeat(1000)))).await;
    until("it is told", async || failed().len() == 61).await;
    assert_eq!(failed().remove(60)["user"], format!("x{}", "y".repeat(99)));
    assert!(!server.output().contains("opensesame"));
}

async fn probes_are_told_of_at_debug_alone(_: Setup) {
    let workplace = Workplace::new();
    for (level, is_told) in [("info", false), ("info,referral_events=debug", true)] {
        let server = workplace.serve(&["--log", level]);
        reqwest::get(format!("http://{}/readyz", server.address)).await.expect("a response");
        let channel = Channel::from_shared(format!("http://{}", server.address)).expect("a URI").connect_lazy();
        HealthClient::new(channel).check(HealthCheckRequest::default()).await.expect("an answer");
        post(&server, "last", &[], "nowhere", &json!({})).await;
        line_of(&server, "last").await;
        let lines = server.log_lines();
        for method in ["GET /readyz", "/grpc.health.v1.Health/Check"] {
            let line = lines.iter().find(|line| line["method"] == method);
            assert_eq!(line.map(|line| line["level"] == "DEBUG"), is_told.then_some(true), "{method}: {lines:?}");
        }
    }
}

async fn long_paths_and_methods_are_cut(_: Setup) {
    let workplace = Workplace::new();
    let server = workplace.serve(&[]);
    let verb = reqwest::Method::from_bytes("BREW".repeat(500).as_bytes()).expect("a method");
    let url = format!("http://{}/{}?token=opensesame", server.address, "pot/".repeat(2000));
    let request = reqwest::Client::new().request(verb, url).header("x-request-id", "long");
    assert_eq!(request.send().await.expect("a response").status(), 404);
    let line = line_of(&server, "long").await;
    let method = format!("{} /{}", "BREW".repeat(32), &"pot/".repeat(32)[..127]);
    assert_eq!(line["method"], method);
    assert!(!server.output().contains("opensesame"));
}

async fn the_trace_of_a_caller_is_in_the_lines_of_its_call(_: Setup) {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";
    let (_workplace, server) = world();
    let wrong = json!({"organisation": "acme", "username": "carla", "password": "wrong"});
    let zeros = "0".repeat(32);
    let cases = [
        (format!("00-{TRACE}-{SPAN}-01"), true),
        (format!("00-{TRACE}-{SPAN}-00"), true),
        (format!("cc-{TRACE}-{SPAN}-01-what-is-to-come"), true),
        (format!("00-{TRACE}-{SPAN}-01-more"), false),
        (format!("ff-{TRACE}-{SPAN}-01"), false),
        (format!("00-{zeros}-{SPAN}-01"), false),
        (format!("00-{TRACE}-0000000000000000-01"), false),
        (format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), false),
        (format!("00-{TRACE}-{SPAN}"), false),
        (format!("00-{TRACE}{SPAN}-01"), false),
        (format!("00-{TRACE}-{SPAN}-0g"), false),
        (String::new(), false),
    ];
    for (n, (value, is_valid)) in cases.iter().enumerate() {
        let id = format!("trace-{n}");
        post(&server, &id, &[("traceparent", value)], "authentication/token", &wrong).await;
        let line = line_of(&server, &id).await;
        assert_eq!(line["trace_id"].as_str(), is_valid.then_some(TRACE), "{value}: {line}");
        let lines = server.log_lines();
        let beside = lines.iter().find(|line| line["span"]["id"] == id).expect("the failed login");
        assert_eq!(beside["span"]["trace_id"].as_str(), is_valid.then_some(TRACE), "{value}: {beside}");
    }
    // Of two, neither is meant.
    let value = format!("00-{TRACE}-{SPAN}-01");
    post(&server, "two", &[("traceparent", &value), ("traceparent", &value)], "nowhere", &wrong).await;
    assert!(line_of(&server, "two").await.get("trace_id").is_none());
}
