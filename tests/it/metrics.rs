//! What a server counts, as Prometheus reads it.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use referral_events::{config::Config, error::ViolationKind, id::OrganisationId};
use serde_json::json;

use crate::support::{
    Scrape, Server, Setup, Transport, event, examples::document, guessing::strict, methods, tests, until,
};

tests! {
    Both:
        known_calls_are_counted_by_what_became_of_them,
        who_leaves_is_counted_and_leaves_no_gauge_behind;
    Rest:
        all_known_series_are_there_at_0_before_any_call,
        unknown_methods_and_paths_make_no_series,
        requests_are_counted_by_their_route_under_whatever_path_they_come,
        nothing_of_a_caller_stands_in_a_label,
        logins_are_counted_by_what_became_of_them,
        calls_that_are_refused_for_want_of_room_are_counted,
        the_document_and_a_scrape_agree;
}

const BULK: &str = "/customer_events/bulk/referrals/create";
const HANDLED: &str = "grpc_server_handled_total";
const REQUESTS: &str = "http_server_request_duration_seconds_count";
const EVENTS: &str = "referral_events_events_total";

/// A server that no call has reached.
async fn untouched(setup: Setup) -> Server {
    let mut server = Server::start(setup).await;
    server.restart_with(Config::default()).await;
    server
}

fn labels<'a>(service: &'a str, method: &'a str) -> [(&'a str, &'a str); 3] {
    [("grpc_type", "unary"), ("grpc_service", service), ("grpc_method", method)]
}

async fn all_known_series_are_there_at_0_before_any_call(setup: Setup) {
    let server = untouched(setup).await;
    let scrape = server.scrape().await;
    for method in methods() {
        let path = method.grpc_path();
        let (service, name) = path.trim_start_matches('/').split_once('/').expect("a method");
        let mut labels = labels(service, name);
        labels[0].1 = method.grpc_type();
        assert_eq!(scrape.value("grpc_server_started_total", &labels), 0.0);
        assert_eq!(scrape.value("grpc_server_handling_seconds_count", &labels), 0.0);
        let of_method = [labels[1], labels[2]];
        let codes = scrape.samples().filter(|(family, of, _)| {
            *family == HANDLED && of_method.iter().all(|(label, value)| of[*label] == *value)
        });
        assert_eq!(codes.count(), 17, "{path}");
        for (verb, path) in method.addresses() {
            let path = format!("/{path}");
            let path = path.strip_prefix("/crmapi/rest/v2").unwrap_or(&path);
            let labels = [("http_route", path), ("http_request_method", verb.as_str())];
            for status in
                ["200", "400", "401", "403", "404", "409", "413", "415", "422", "429", "499", "500", "503", "504"]
            {
                let labels = [labels[0], labels[1], ("http_response_status_code", status)];
                assert_eq!(scrape.value(REQUESTS, &labels), 0.0);
            }
        }
    }
    for method in [("grpc.health.v1.Health", "Check"), ("_OTHER", "_OTHER")] {
        assert_eq!(scrape.value("grpc_server_started_total", &labels(method.0, method.1)), 0.0);
    }
    for outcome in ["created", "replayed", "rehearsed"] {
        assert_eq!(scrape.value(EVENTS, &[("outcome", outcome), ("code", "OK")]), 0.0);
    }
    for kind in ViolationKind::ALL {
        assert_eq!(scrape.value(EVENTS, &[("outcome", "unprocessed"), ("code", kind.code())]), 0.0);
    }
    for step in ["read", "queue", "resolve", "turn", "decide", "load", "commit"] {
        assert_eq!(scrape.value("referral_events_call_step_seconds_count", &[("step", step)]), 0.0);
    }
    for (name, labels, value) in scrape.samples() {
        // What the process has, or the database's connections, is not this server's doing.
        let is_of_others = name.starts_with("referral_events_database_connections")
            || name == "referral_events_log_lines_dropped_total";
        assert!(value == 0.0 || is_of_others, "{name} {labels:?} is {value}");
    }
}

/// A bulk call of three events, of which one cannot be processed.
async fn three_events(server: &Server) {
    let mut events = [event("1", "01", "02"), event("2", "03", "04"), event("3", "05", "05")];
    // By which they are known when they come again.
    (1..).zip(&mut events).for_each(|(n, event)| event["external_system_reference_number"] = json!(n.to_string()));
    server.send(json!(events)).await.assert_outcome(&["1", "2"], &[("3", "SelfReferral")]);
}

async fn known_calls_are_counted_by_what_became_of_them(setup: Setup) {
    let server = untouched(setup).await;
    three_events(&server).await;
    // Once more, which repeats the two.
    three_events(&server).await;
    let mut rehearsal = json!({"token": server.token, "referral_customer_events_set": [event("1", "06", "07")]});
    rehearsal["validate_only"] = json!(true);
    server.bulk(rehearsal).await.assert_outcome(&["1"], &[]);
    let refused = json!({"token": "none", "referral_customer_events_set": [event("1", "08", "09")]});
    server.bulk(refused).await.assert_refused("InvalidToken");

    let scrape = server.scrape().await;
    let of = |outcome, code| scrape.value(EVENTS, &[("outcome", outcome), ("code", code)]);
    assert_eq!(of("created", "OK"), 2.0);
    assert_eq!(of("replayed", "OK"), 2.0);
    assert_eq!(of("rehearsed", "OK"), 1.0);
    assert_eq!(of("unprocessed", "SelfReferralException"), 2.0);
    assert_eq!(scrape.sum(EVENTS, &[]), 7.0);
    assert_eq!(scrape.value("referral_events_batch_events_count", &[]), 3.0);
    assert_eq!(scrape.value("referral_events_batch_events_sum", &[]), 7.0);
    let deprecated =
        |attribute| scrape.value("referral_events_deprecated_attributes_total", &[("attribute", attribute)]);
    assert_eq!(deprecated("performed_by_unit_identifier"), 7.0);
    match setup.transport {
        Transport::Grpc => {
            let service = labels("referral.v1.ReferralEventService", "BulkCreateReferralEvents");
            let handled = |code| scrape.value(HANDLED, &[service[0], service[1], service[2], ("grpc_code", code)]);
            assert_eq!((handled("OK"), handled("Unauthenticated")), (3.0, 1.0));
            assert_eq!(scrape.sum(HANDLED, &[]), 4.0);
            assert_eq!(scrape.value("grpc_server_started_total", &service), 4.0);
            assert_eq!(scrape.value("grpc_server_handling_seconds_count", &service), 4.0);
            assert_eq!(scrape.sum(REQUESTS, &[]), 0.0);
        }
        Transport::Rest => {
            let of = |status| {
                let route = [("http_route", BULK), ("http_request_method", "POST")];
                scrape.value(REQUESTS, &[route[0], route[1], ("http_response_status_code", status)])
            };
            assert_eq!((of("200"), of("401")), (3.0, 1.0));
            assert_eq!(scrape.sum(REQUESTS, &[]), 4.0);
            assert_eq!(scrape.sum(HANDLED, &[]), 0.0);
        }
    }
    // Times are counted once the last who works for a call is done.
    until("the steps of the calls are counted", async || {
        let scrape = server.scrape().await;
        let steps = |step| scrape.value("referral_events_call_step_seconds_count", &[("step", step)]);
        // The refused call was read; of the others one is rehearsed, and one creates nothing.
        steps("read") == 4.0
            && steps("queue") == 3.0
            && steps("resolve") == 3.0
            && steps("turn") == 2.0
            && steps("decide") == 2.0
            // Few rows go with the COMMIT on PostgreSQL, which fails once where one of them is there already.
            && steps("commit") >= 1.0
            && steps("load") + steps("commit") >= 2.0
    })
    .await;
}

async fn who_leaves_is_counted_and_leaves_no_gauge_behind(setup: Setup) {
    const CALLS: usize = 5;
    let server = untouched(setup).await;
    let turn = server.patient_database().await.begin_turn(OrganisationId(1)).await.expect("a turn");
    let gauge = |scrape: &Scrape, name: &str| scrape.sum(&format!("referral_events_{name}"), &[]);
    let calls = join_all((1..=CALLS).map(|n| {
        let event = event("1", &format!("{n:02}"), "60");
        server.send(json!([event]))
    }));
    let all_are_here = async {
        until("all calls are here", async || {
            let scrape = server.scrape().await;
            gauge(&scrape, "calls_at_work") + gauge(&scrape, "calls_waiting") == CALLS as f64
                && scrape.sum("referral_events_connections", &[("state", "active")]) > 0.0
        })
        .await;
    };
    tokio::select! {
        _ = calls => panic!("answered without a turn"),
        () = all_are_here => {}
    }
    until("no call is left", async || {
        let scrape = server.scrape().await;
        let left = match setup.transport {
            Transport::Grpc => scrape.sum(HANDLED, &[("grpc_code", "Canceled")]),
            Transport::Rest => scrape.sum(REQUESTS, &[("http_response_status_code", "499")]),
        };
        left == CALLS as f64
            && gauge(&scrape, "calls_waiting") == 0.0
            && scrape.sum("referral_events_connections", &[("state", "active")]) == 0.0
    })
    .await;
    turn.rollback().await.expect("a rollback");
    until("no call is at work", async || gauge(&server.scrape().await, "calls_at_work") == 0.0).await;
    until("no connection to the database is in use", async || {
        server.scrape().await.sum("referral_events_database_connections", &[("pool", "write"), ("state", "in_use")])
            == 0.0
    })
    .await;
}

async fn unknown_methods_and_paths_make_no_series(setup: Setup) {
    const PATHS: usize = 10_000;
    const CALLERS: usize = 8;
    let server = untouched(setup).await;
    let before = server.scrape().await;
    let callers = (0..CALLERS).map(|caller| {
        let server = &server;
        async move {
            for n in (caller..PATHS).step_by(CALLERS) {
                let response = server.http().get(server.url(&format!("unknown/{n}"))).send().await.expect("a response");
                assert_eq!(response.status(), 404);
            }
        }
    });
    join_all(callers).await;
    let verb = reqwest::Method::from_bytes(b"BREW").expect("a method");
    for path in [BULK.trim_start_matches('/'), "pots/1"] {
        let response = server.http().request(verb.clone(), server.url(path)).send().await.expect("a response");
        assert!(response.status().is_client_error());
    }
    for n in 0..100 {
        let path = format!("/referral.v1.ReferralEventService/Unknown{n}");
        server.call_with_bytes(&path, Vec::new(), &[]).await.expect_err("a refusal");
    }
    let after = server.scrape().await;
    assert_eq!(before.series(), after.series());
    let other = [("http_route", "_OTHER"), ("http_request_method", "_OTHER"), ("http_response_status_code", "404")];
    assert_eq!(after.value(REQUESTS, &other), 1.0 + PATHS as f64);
    let brewed = [("http_route", BULK), ("http_request_method", "_OTHER"), ("http_response_status_code", "405")];
    assert_eq!(after.value(REQUESTS, &brewed), 1.0);
    let unimplemented = [("grpc_service", "_OTHER"), ("grpc_method", "_OTHER"), ("grpc_code", "Unimplemented")];
    assert_eq!(after.sum(HANDLED, &unimplemented), 100.0);
}

async fn requests_are_counted_by_their_route_under_whatever_path_they_come(setup: Setup) {
    let server = untouched(setup).await;
    for path in ["", "crmapi/rest/v2/", "/crmapi//rest/v2/"] {
        let path = format!("{path}customer_events/referrals/list");
        server.post(&path, &json!({"token": server.token})).await;
    }
    server.http().get(server.url("customer_events/referrals/show?number=1")).send().await.expect("a response");
    let scrape = server.scrape().await;
    let of = |route, status| scrape.sum(REQUESTS, &[("http_route", route), ("http_response_status_code", status)]);
    assert_eq!(of("/customer_events/referrals/list", "200"), 3.0);
    assert_eq!(of("/customer_events/referrals/show", "401"), 1.0);
    assert_eq!(scrape.sum(REQUESTS, &[]), 4.0);
}

async fn nothing_of_a_caller_stands_in_a_label(setup: Setup) {
    let server = untouched(setup).await;
    three_events(&server).await;
    let wrong = json!({"organisation": "acme", "username": "carla", "password": "opensesame"});
    server.create_token(wrong).await.assert_refused("InvalidCredentials");
    let (_, text) = server.ask_admin("metrics").await;
    for told in ["acme", "carla", "opensesame", &server.token, "RP01", "organisation", "127.0.0.1"] {
        assert!(!text.contains(told), "{told} is in the metrics");
    }
}

async fn logins_are_counted_by_what_became_of_them(setup: Setup) {
    let mut server = Server::start(setup).await;
    server.restart_with(strict()).await;
    server.login("acme", "carla").await;
    let wrong = json!({"organisation": "acme", "username": "carl", "password": "wrong"});
    let mut refused = [0.0; 2];
    while refused[1] < 3.0 {
        let has_to_wait = server.create_token(wrong.clone()).await.code == "TooManyRequestsException";
        refused[usize::from(has_to_wait)] += 1.0;
    }
    let scrape = server.scrape().await;
    let of = |outcome| scrape.value("referral_events_logins_total", &[("outcome", outcome)]);
    assert_eq!(of("succeeded"), 1.0);
    assert_eq!([of("wrong_credentials"), of("has_to_wait")], refused);
    assert_eq!(scrape.sum("referral_events_logins_total", &[]), 1.0 + refused[0] + refused[1]);
}

async fn calls_that_are_refused_for_want_of_room_are_counted(setup: Setup) {
    let mut server = Server::start(setup).await;
    server.restart_with(Config { maximum_calls: 0, ..Config::default() }).await;
    for _ in 0..3 {
        server.send(json!([event("1", "01", "02")])).await.assert_refused("TooManyRequests");
    }
    let shed = |scrape: &Scrape, kind| scrape.value("referral_events_calls_shed_total", &[("kind", kind)]);
    let scrape = server.scrape().await;
    assert_eq!((shed(&scrape, "write"), shed(&scrape, "read")), (3.0, 0.0));
    // So loaded, it tells of itself at once.
    let asked = tokio::time::timeout(Duration::from_secs(10), server.ask_admin("livez")).await;
    assert_eq!(asked.expect("an answer").0, 200);
}

/// A row of the table: a metric's name, type and labels.
type Row = (String, String, BTreeSet<String>);

async fn the_document_and_a_scrape_agree(setup: Setup) {
    let scrape = untouched(setup).await.scrape().await;
    let document = document("docs/metrics.md");
    let code = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let rows = document.lines().filter(|line| line.starts_with("| `")).map(|line| -> Row {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        assert_eq!(cells.len(), 5, "name, type, labels, meaning and unit: {line}");
        assert!(cells[3..].iter().all(|cell| !cell.trim().is_empty()), "{line}");
        (code(cells[0]).remove(0), cells[1].trim().to_owned(), code(cells[2]).into_iter().collect())
    });
    let documented: BTreeSet<Row> = rows.collect();
    let told = scrape.families.iter().map(|(name, kind)| (name.clone(), kind.clone(), scrape.labels(name)));
    assert_eq!(documented, told.collect());
}
