//! What a browser is shown: what is where, and the description of the API with a page to try it on, which is Swagger UI.
//! All of it is in the program, the same for everybody, and loads nothing from anywhere else.

use std::{
    io::Read,
    sync::{Arc, LazyLock},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Response, header},
    response::IntoResponse,
    routing::{MethodRouter, get},
};
use flate2::{
    Compression,
    read::{GzDecoder, GzEncoder},
};
use serde_json::json;

use super::health;
use crate::{
    description,
    error::Error,
    transport::{request::RequestId, rest::Responder},
};

/// The paths, all of which are asked for with GET.
pub const ROUTES: [&str; 6] =
    [ROOT, OPENAPI, DOCS, "/docs/start.js", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js"];
const ROOT: &str = "/";
const OPENAPI: &str = "/openapi.json";
const DOCS: &str = "/docs";

/// What browsers are told with each. Swagger UI has its icons in its style sheet.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    // The names stay as the program is replaced.
    (header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600")),
];

const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// The pages, and the document that they show.
pub fn router(responder: Responder) -> Router {
    let [_, _, _, start, style, bundle] = ROUTES;
    Router::new()
        .route(ROOT, page(get(root)))
        .route(OPENAPI, document("application/json", openapi))
        .route(DOCS, page(get(async || file(HTML, include_str!("docs.html")))))
        .route(start, page(get(async || file(JAVASCRIPT, include_str!("start.js")))))
        .route(style, document(CSS, || Forms::unpacked(include_bytes!("swagger-ui/swagger-ui.css.gz"))))
        .route(bundle, document(JAVASCRIPT, || Forms::unpacked(include_bytes!("swagger-ui/swagger-ui-bundle.js.gz"))))
        .with_state(responder)
}

fn page(methods: MethodRouter<Responder>) -> MethodRouter<Responder> {
    methods.fallback(health::method_not_allowed)
}

fn file(content_type: &'static str, content: impl Into<Body>) -> Response<Body> {
    ([(header::CONTENT_TYPE, content_type)], HEADERS, content.into()).into_response()
}

/// The forms in which a large document is asked for.
struct Forms {
    plain: Bytes,
    gzip: Bytes,
}

impl Forms {
    fn packed(plain: String) -> Result<Self, String> {
        let mut gzip = Vec::new();
        let read = GzEncoder::new(plain.as_bytes(), Compression::best()).read_to_end(&mut gzip);
        read.map_err(|cause| cause.to_string())?;
        Ok(Self { plain: plain.into(), gzip: gzip.into() })
    }

    fn unpacked(gzip: &'static [u8]) -> Result<Self, String> {
        let mut plain = Vec::new();
        GzDecoder::new(gzip).read_to_end(&mut plain).map_err(|cause| cause.to_string())?;
        Ok(Self { plain: plain.into(), gzip: Bytes::from_static(gzip) })
    }
}

/// A document whose forms are made once, when it is first asked for: to pack or unpack it for each who asks would be work at
/// anybody's asking.
fn document(content_type: &'static str, make: fn() -> Result<Forms, String>) -> MethodRouter<Responder> {
    let forms = Arc::new(LazyLock::new(make));
    page(get(async move |State(responder): State<Responder>, headers: HeaderMap| {
        let mut response = match &**forms {
            Ok(Forms { gzip, .. }) if takes_gzip(&headers) => {
                ([(header::CONTENT_ENCODING, "gzip")], file(content_type, gzip.clone())).into_response()
            }
            Ok(Forms { plain, .. }) => file(content_type, plain.clone()),
            Err(cause) => responder.refuse(&Error::internal(cause.clone()), &RequestId::of(&headers)),
        };
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        response
    }))
}

fn openapi() -> Result<Forms, String> {
    Forms::packed(description::openapi()?.to_string())
}

/// Whether gzip is among the encodings, with a weight or without, but for that of zero.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let encodings = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    encodings.flat_map(|value| value.split(',')).any(|encoding| {
        let (name, weight) = encoding.split_once(';').unwrap_or((encoding, "q=1"));
        let weight = weight.trim().trim_start_matches("q=").parse::<f32>();
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_ok_and(|weight| weight > 0.0)
    })
}

/// What is where: a page for browsers, the envelope for all others.
async fn root(State(responder): State<Responder>, headers: HeaderMap) -> Response<Body> {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut response = match accepted.contains("text/html") {
        true => file(HTML, include_str!("root.html")),
        false => responder.answer(Ok(json!({"docs": DOCS, "openapi": OPENAPI})), &RequestId::of(&headers)),
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}
