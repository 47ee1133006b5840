//! What probes are told: whether the service is alive, and whether it is ready for calls.

use referral_events::config::Config;
use reqwest::Method;

use crate::support::{Server, Setup, envelope, tests};

tests! {
    Rest:
        probes_are_answered_without_a_token_and_without_a_place,
        probes_ask_nothing_of_the_database;
}

const PROBES: [&str; 2] = ["livez", "readyz"];

async fn probes_are_answered_without_a_token_and_without_a_place(setup: Setup) {
    let mut server = Server::start(setup).await;
    server.restart_with(Config { maximum_calls: 0, always_ok: true, ..Config::default() }).await;
    for probe in PROBES {
        let request = server.http().get(server.url(probe));
        let (status, answer) = envelope(request.send().await.expect("a response")).await;
        assert_eq!((status, answer.code.as_str()), (200, "OK"));
        let head = server.http().head(server.url(probe)).send().await.expect("a response");
        assert_eq!(head.status(), 200);
    }
    server.restart_with(Config::default()).await;
    for probe in PROBES {
        let response = server.http().request(Method::POST, server.url(probe)).send().await.expect("a response");
        assert_eq!(response.headers()["allow"], "GET,HEAD");
        let (status, answer) = envelope(response).await;
        assert_eq!(status, 405);
        answer.assert_refused("MethodNotAllowed");
    }
}

async fn probes_ask_nothing_of_the_database(setup: Setup) {
    let server = Server::start(setup).await;
    server.take_statements();
    for _ in 0..20 {
        for probe in PROBES {
            let response = server.http().get(server.url(probe)).send().await.expect("a response");
            assert_eq!(envelope(response).await.0, 200);
        }
    }
    assert!(server.take_statements().iter().all(|statement| !statement.contains("SELECT 1")));
}
