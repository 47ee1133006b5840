//! An answer, the same from both transports.

use serde_json::{Value, json};
use tonic::Status;
use tonic_types::StatusExt;

/// What a call was answered: `code` is `OK` or the error code, `data` the answer as JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub code: String,
    /// The human sentence of a refused call.
    pub message: String,
    pub data: Value,
}

impl Answer {
    pub fn processed(&self) -> Vec<Value> {
        self.set("processed_customer_events_set")
    }

    pub fn unprocessed(&self) -> Vec<Value> {
        self.set("unprocessed_customer_events_set")
    }

    fn set(&self, name: &str) -> Vec<Value> {
        assert_eq!(self.code, "OK", "{self:?}");
        self.data[name].as_array().unwrap_or_else(|| panic!("{name} is missing: {self:?}")).clone()
    }

    /// The identifiers of the processed events, in order.
    pub fn processed_identifiers(&self) -> Vec<String> {
        self.processed().iter().map(|event| text(event, "request_unique_identifier")).collect()
    }

    /// The identifiers and error codes of the unprocessed events, in order, without the `Exception`.
    pub fn failures(&self) -> Vec<(String, String)> {
        let failure = |event: &Value| {
            let code = text(event, "error_code");
            (text(event, "request_unique_identifier"), code.trim_end_matches("Exception").to_owned())
        };
        self.unprocessed().iter().map(failure).collect()
    }

    /// Asserts that these failed, in order, with these codes, and that as many succeeded.
    #[track_caller]
    pub fn assert_outcome(&self, processed: &[&str], failures: &[(&str, &str)]) {
        assert_eq!(self.processed_identifiers(), processed, "{self:#?}");
        let expected: Vec<(String, String)> =
            failures.iter().map(|(identifier, code)| ((*identifier).to_owned(), (*code).to_owned())).collect();
        assert_eq!(self.failures(), expected, "{self:#?}");
    }

    /// Asserts that the call was refused with this code (without the `Exception`).
    #[track_caller]
    pub fn assert_refused(&self, code: &str) {
        assert_eq!(self.code, format!("{code}Exception"), "{self:?}");
        assert!(self.message.ends_with('.'), "not a sentence: {self:?}");
    }
}

fn text(event: &Value, field: &str) -> String {
    event[field].as_str().unwrap_or_default().to_owned()
}

/// Reads the documented envelope; anything else fails the test.
pub async fn envelope(response: reqwest::Response) -> (u16, Answer) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json");
    let text = response.text().await.expect("a body");
    let body: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&body), ["data", "status"], "{text}");
    assert_eq!(keys(&body["status"]), ["code", "description", "message"], "{text}");
    let text_of = |name: &str| body["status"][name].as_str().expect("a text").to_owned();
    let (code, description, message) = (text_of("code"), text_of("description"), text_of("message"));
    if code == "OK" {
        assert_eq!((description.as_str(), message.as_str()), ("", ""));
    } else {
        assert_eq!(body["data"], json!({}));
        assert!(!description.is_empty(), "{text}");
    }
    (status, Answer { code, message, data: body["data"].clone() })
}

/// The outcome of a gRPC call in REST's terms: the error code is the reason of the status's `ErrorInfo`.
pub fn answer(result: Result<Value, Status>) -> Answer {
    match result {
        Ok(data) => Answer { code: "OK".to_owned(), message: String::new(), data },
        Err(status) => {
            let details = status.get_error_details();
            let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
            assert_eq!(info.domain, "referral.v1");
            Answer { code: info.reason.clone(), message: status.message().to_owned(), data: json!({}) }
        }
    }
}
