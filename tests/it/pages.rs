//! What a browser is shown: pages that need nothing from outside, and no token.

use std::io::Read;

use flate2::read::GzDecoder;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use crate::support::{Server, Setup, envelope, examples::document, tests, until};

tests! {
    Rest:
        pages_load_nothing_from_anywhere_else,
        whoever_asks_for_json_is_told_what_is_where,
        the_description_is_served_as_it_is_documented,
        a_large_page_is_packed_for_who_takes_it_so,
        no_page_is_packed_anew_for_who_asks,
        pages_are_read_and_nothing_else,
        pages_are_counted_by_their_paths;
}

const PAGES: [(&str, &str); 6] = [
    ("", "text/html; charset=utf-8"),
    ("docs", "text/html; charset=utf-8"),
    ("docs/start.js", "text/javascript; charset=utf-8"),
    ("docs/swagger-ui.css", "text/css; charset=utf-8"),
    ("docs/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    ("openapi.json", "application/json"),
];

/// Those that are asked for in two forms, and what each begins with.
const LARGE: [(&str, &str); 3] =
    [("docs/swagger-ui.css", ".swagger-ui"), ("docs/swagger-ui-bundle.js", "/*!"), ("openapi.json", "{\"")];

async fn ask(server: &Server, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Client::new().get(server.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("a text"))
}

async fn pages_load_nothing_from_anywhere_else(setup: Setup) {
    let server = Server::start(setup).await;
    for (path, content_type) in PAGES {
        let page = ask(&server, path, &[("accept", "text/html,*/*;q=0.8")]).await;
        assert_eq!((page.status().as_u16(), header(&page, "content-type")), (200, content_type), "{path}");
        let policy = header(&page, "content-security-policy").to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'; "), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(header(&page, "x-content-type-options"), "nosniff");
        let text = page.text().await.expect("a text");
        if content_type.starts_with("text/html") {
            for link in text.split(['"']).filter(|link| link.contains('/') && !link.contains([' ', '<'])) {
                assert!(link.starts_with('/'), "{path} leads to {link}");
                assert_eq!(ask(&server, &link[1..], &[]).await.status(), 200, "{path} leads to {link}");
            }
        }
    }
}

async fn whoever_asks_for_json_is_told_what_is_where(setup: Setup) {
    let server = Server::start(setup).await;
    for accept in ["*/*", "application/json"] {
        let (status, answer) = envelope(ask(&server, "", &[("accept", accept)]).await).await;
        assert_eq!((status, answer.code.as_str()), (200, "OK"));
        assert_eq!(answer.data, json!({"docs": "/docs", "openapi": "/openapi.json"}));
    }
}

async fn the_description_is_served_as_it_is_documented(setup: Setup) {
    let server = Server::start(setup).await;
    let served: Value = ask(&server, "openapi.json", &[]).await.json().await.expect("JSON");
    let documented: Value = serde_json::from_str(&document("docs/openapi.json")).expect("JSON");
    assert_eq!(served, documented);
}

async fn a_large_page_is_packed_for_who_takes_it_so(setup: Setup) {
    let server = Server::start(setup).await;
    for (path, beginning) in LARGE {
        let packed = ask(&server, path, &[("accept-encoding", "br, gzip;q=0.8")]).await;
        assert_eq!((header(&packed, "content-encoding"), header(&packed, "vary")), ("gzip", "accept-encoding"));
        let packed = packed.bytes().await.expect("a body");
        let plain = ask(&server, path, &[("accept-encoding", "gzip;q=0, identity")]).await;
        assert_eq!((header(&plain, "content-encoding"), header(&plain, "vary")), ("", "accept-encoding"));
        let plain = plain.text().await.expect("a text");
        assert!(plain.starts_with(beginning), "{path}");
        let mut unpacked = String::new();
        GzDecoder::new(&packed[..]).read_to_string(&mut unpacked).expect("gzip");
        assert!(unpacked == plain && plain.len() > 3 * packed.len(), "{path}");
    }
}

/// Anybody may ask for them, as often as they like.
async fn no_page_is_packed_anew_for_who_asks(setup: Setup) {
    let server = Server::start(setup).await;
    for (path, _) in PAGES {
        let page = ask(&server, path, &[("accept", "text/html,*/*;q=0.8"), ("accept-encoding", "br, zstd")]).await;
        assert_eq!((page.status().as_u16(), header(&page, "content-encoding")), (200, ""), "{path}");
    }
}

async fn pages_are_read_and_nothing_else(setup: Setup) {
    let server = Server::start(setup).await;
    for (path, _) in PAGES {
        let (status, answer) = envelope(server.call_rest(Method::POST, path, "{}", &[]).await).await;
        assert_eq!((status, answer.code.as_str()), (405, "MethodNotAllowedException"), "{path}");
        // They are no calls, and so not where those are served too.
        let elsewhere = ask(&server, &format!("crmapi/rest/v2/{path}"), &[]).await;
        assert_eq!(envelope(elsewhere).await.0, 404, "{path}");
    }
}

async fn pages_are_counted_by_their_paths(setup: Setup) {
    let server = Server::start(setup).await;
    for (path, _) in PAGES {
        ask(&server, path, &[]).await.bytes().await.expect("a body");
    }
    for (path, _) in PAGES {
        let route = format!("/{path}");
        let labels = [("http_route", &*route), ("http_request_method", "GET"), ("http_response_status_code", "200")];
        until("the page is counted", async || {
            server.scrape().await.value("http_server_request_duration_seconds_count", &labels) == 1.0
        })
        .await;
    }
}
