//! What callers notice of a database that fails, and that is well again.

use std::time::Duration;

use referral_events::config::Config;
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt;

use super::{Beginning, Method, Server, Setup, TestDatabase, Transport, envelope, event, fill, method};

/// How long a call may take once the database is known to be out of reach, on a machine that has much else to do.
pub const AT_ONCE: Duration = Duration::from_secs(5);

/// The event of this number, which refers a party that no other number's does.
pub fn referral(identifier: &str, n: usize) -> Value {
    let mut event = event(identifier, &format!("{n:02}"), "60");
    event["performed_on"] = json!("2016-06-22T15:00:00Z");
    event
}

/// A call that creates the event of this number.
pub fn creation(server: &Server, n: usize) -> Value {
    json!({"token": server.token, "referral_customer_events_set": [referral("1", n)]})
}

pub async fn assert_created(server: &mut Server, n: usize) {
    let call = creation(server, n);
    server.bulk(call).await.assert_outcome(&["1"], &[]);
}

/// Asserts that a call is refused on both transports because the service is unavailable, and is told to come back.
pub async fn assert_unavailable(server: &Server, method: &Method, request: &Value) {
    let (verb, path) = method.addresses().swap_remove(0);
    let response = server.call_rest(verb, &path, &request.to_string(), &[]).await;
    let retry_after = response.headers().get("retry-after").cloned();
    let (status, answer) = envelope(response).await;
    answer.assert_refused("ServiceUnavailable");
    assert_eq!(status, 503);
    assert_eq!(retry_after.expect("a header"), "1");

    let status = server.call_grpc(method, request.clone(), &[]).await.expect_err("a refusal");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let details = status.get_error_details();
    assert_eq!(details.error_info().expect("an ErrorInfo").reason, "ServiceUnavailableException");
    assert_eq!(details.retry_info().and_then(|info| info.retry_delay), Some(Duration::from_secs(1)));
}

pub async fn assert_creation_unavailable(server: &Server, n: usize) {
    assert_unavailable(server, &method("BulkCreateReferralEvents"), &creation(server, n)).await;
}

/// Asserts that whoever only reads is served over both transports.
pub async fn assert_readable(server: &mut Server) {
    for transport in [Transport::Rest, Transport::Grpc] {
        server.transport = transport;
        let list = server.list(json!({})).await;
        assert_eq!(list.code, "OK", "{list:?}");
    }
}

/// Asserts that all is well over both transports; the numbers are those of two new events.
pub async fn assert_well(server: &mut Server, numbers: [usize; 2]) {
    for (transport, n) in [Transport::Rest, Transport::Grpc].into_iter().zip(numbers) {
        server.transport = transport;
        assert_created(server, n).await;
    }
    assert_readable(server).await;
}

/// A server over this database, which is empty.
pub async fn over(setup: Setup, url: String) -> Server {
    fill(&url, Beginning::World).await;
    Server::start_over(setup, TestDatabase::at(url), Config::default()).await
}
