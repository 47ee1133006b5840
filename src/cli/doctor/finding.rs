//! What was found, and how it is printed.

use serde::Serialize;

use super::super::say;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Ok,
    /// It serves, but not as it should.
    Warning,
    Failed,
}

/// What one check found, and where something is wrong, what mends it.
#[derive(Debug, Serialize)]
pub struct Finding {
    check: &'static str,
    pub outcome: Outcome,
    message: String,
}

impl Finding {
    pub fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Ok, message: message.into() }
    }

    pub fn warning(check: &'static str, message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Warning, ..Self::ok(check, message) }
    }

    pub fn failed(check: &'static str, message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed, ..Self::ok(check, message) }
    }
}

pub fn print(findings: &[Finding], as_json: bool) {
    if as_json {
        say(&serde_json::json!({ "checks": findings }).to_string());
        return;
    }
    for Finding { check, outcome, message } in findings {
        let outcome = match outcome {
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Failed => "failed",
        };
        say(&format!("{outcome:<8} {check}: {message}"));
    }
}
