//! The catalogue of errors that is published is that of the code.

use std::{collections::HashSet, fs, path::Path};

use referral_events::{
    config::Config, contract::MAXIMUM_REQUEST_SIZE, error::ErrorKind, referral::violation::ViolationKind,
    transport::status,
};
use reqwest::Method;
use serde_json::json;

use crate::support::{Server, Setup, envelope, event, tests};

tests! {
    Rest: a_call_is_refused_with_the_code_that_comes_first_in_the_catalogue;
    Once: every_code_of_a_call_is_in_the_catalogue, every_code_of_an_event_is_in_the_catalogue_in_order_of_precedence;
}

/// The variants of an enum, in order, but for those that hold something. Where one is left out, this does not compile.
macro_rules! all {
    ($kind:ident: $($variant:ident),+ $(; $full:ident)?) => {{
        const fn _none_is_left_out(kind: $kind) {
            match kind {
                $($kind::$variant => {})+
                $($kind::$full(_) => {})?
            }
        }
        [$($kind::$variant),+]
    }};
}

/// A row of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    code: String,
    grpc: String,
    http: String,
}

/// The rows under a heading; each says when it is met and what to do.
fn rows(heading: &str) -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    let document = fs::read_to_string(path).expect("a document");
    let sections = document.split("\n## ");
    let section = sections.into_iter().find(|section| section.starts_with(heading)).expect("a section");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [code, grpc, http, when, cure] = cells[..] else { panic!("not five cells: {line}") };
        assert!(!when.is_empty() && !cure.is_empty(), "{line}");
        Row { code: code.trim_matches('`').to_owned(), grpc: grpc.to_owned(), http: http.to_owned() }
    });
    rows.collect()
}

/// The row of a kind in the code's table.
fn row(kind: ErrorKind) -> Row {
    let status::StatusRow { code, grpc, http, .. } = status::row_of(kind);
    Row { code: code.to_owned(), grpc: in_capitals(grpc), http: http.as_str().to_owned() }
}

/// `InvalidArgument` as it is written in contracts: `INVALID_ARGUMENT`.
fn in_capitals(code: tonic::Code) -> String {
    let name = format!("{code:?}");
    let with_breaks = name.char_indices().flat_map(|(at, c)| {
        let is_break = at > 0 && c.is_uppercase();
        is_break.then_some('_').into_iter().chain(c.to_uppercase())
    });
    with_breaks.collect()
}

async fn every_code_of_a_call_is_in_the_catalogue(_: Setup) {
    let kinds = all!(ErrorKind:
        InvalidToken,
        InvalidCredentials,
        AccessDenied,
        MalformedRequest,
        MissingMandatoryAttribute,
        MaximumNumberOfEventsExceeded,
        InvalidFieldsSet,
        InvalidPageToken,
        UnknownAttribute,
        CustomerEventNotFound,
        AccessTokenNotFound,
        IdempotencyKeyReused,
        OffsetOutOfRange,
        NotFound,
        MethodNotAllowed,
        UnsupportedMediaType,
        RequestTooLarge,
        TooManyRequests,
        DeadlineExceeded,
        ServiceUnavailable,
        Internal;
        EventRefused
    );
    assert_eq!(HashSet::from(kinds), HashSet::from(ErrorKind::OF_CALLS));
    let mut of_code: Vec<Row> = kinds.map(row).into();
    of_code.sort();
    let mut documented = rows("Of the whole call");
    documented.sort();
    assert_eq!(documented, of_code);
}

async fn every_code_of_an_event_is_in_the_catalogue_in_order_of_precedence(_: Setup) {
    let kinds = all!(ViolationKind:
        MalformedEvent,
        UnknownAttribute,
        MissingMandatoryAttribute,
        UnsupportedAttribute,
        InvalidAttributeValue,
        DuplicateRequestUniqueIdentifier,
        InvalidIdentifier,
        BusinessUnitNotFound,
        UnitNotFound,
        TransactionAcquiringPointNotFound,
        DeviceNotFound,
        CustomerEventClassificationNotFound,
        AccountsReceivableNotFound,
        RewardsParticipantNotFound,
        InvalidAccessToken,
        PerformedByMismatch,
        AccountsReceivableNotActive,
        RewardsParticipantNotEffective,
        ExternalReferenceConflict,
        SelfReferral,
        ReferralAlreadyExists,
        ReferredByAnotherParticipant,
        CircularReferral,
        NotAttempted
    );
    let mut by_precedence = kinds;
    by_precedence.sort();
    let of_code = by_precedence.map(|kind| row(ErrorKind::EventRefused(kind)));
    assert_eq!(rows("Of one event"), of_code);
}

async fn a_call_is_refused_with_the_code_that_comes_first_in_the_catalogue(setup: Setup) {
    let mut server = Server::start(setup).await;
    let reader = server.login("acme", "rita").await;
    let bulk = "customer_events/bulk/referrals/create";
    // One that is not read must be small: who still sends when the connection closes does not see the answer.
    let malformed = "{".to_owned();
    let too_large = " ".repeat(MAXIMUM_REQUEST_SIZE + 1);
    let too_many = json!(vec![event("1", "01", "02"); 1001]);
    let token = server.token.clone();
    let of_bulk = |request: serde_json::Value| (Method::POST, bulk, "application/json", request.to_string());
    // Each has one thing less wrong with it than the one before, as far as that can be.
    let calls = [
        (Method::GET, "nowhere", "text/html", malformed.clone()),
        (Method::PUT, bulk, "text/html", malformed.clone()),
        (Method::POST, bulk, "text/html", malformed.clone()),
        (Method::POST, bulk, "application/json", too_large),
        of_bulk(json!({"fields_set": 7, "shoe_size": 43, "token": "nonsense"})),
        of_bulk(json!({"fields_set": "shoe_size", "shoe_size": 43, "token": "nonsense"})),
        of_bulk(json!({"fields_set": "shoe_size", "token": "nonsense"})),
        of_bulk(json!({"fields_set": "shoe_size", "token": reader})),
        of_bulk(json!({"fields_set": "shoe_size", "token": token})),
        of_bulk(json!({"token": token})),
        of_bulk(json!({"token": token, "referral_customer_events_set": too_many})),
        of_bulk(json!({"token": token, "referral_customer_events_set": [event("1", "01", "02")]})),
        (
            Method::POST,
            "authentication/token",
            "application/json",
            json!({"organisation": "acme", "username": "carla", "password": "nonsense"}).to_string(),
        ),
    ];
    let mut answered = Vec::new();
    for (n, (verb, path, media_type, body)) in calls.into_iter().enumerate() {
        // No call may be under way, for as long as that is what is wrong.
        match n {
            0 => server.restart_with(Config { maximum_calls: 0, ..Config::default() }).await,
            12 => server.restart_with(Config::default()).await,
            _ => {}
        }
        let request = server.http().request(verb, server.url(path)).header("content-type", media_type).body(body);
        let (http, answer) = envelope(request.send().await.expect("a response")).await;
        answered.push((answer.code, http.to_string()));
    }
    let documented: Vec<(String, String)> =
        rows("Of the whole call").into_iter().map(|row| (row.code, row.http)).collect();
    // Those of other methods, and those that come while a call is under way, are not among them.
    let expected: Vec<_> = documented.into_iter().filter(|row| answered.contains(row)).collect();
    assert_eq!(answered, expected);
}
