//! Examples of calls, which can be made one after the other on the demo.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::refusals;

/// A call, and what it is answered, ids and numbers aside.
#[derive(Clone, Debug, Deserialize)]
pub struct Example {
    pub method: String,
    /// Unique among those of the method.
    pub name: String,
    pub summary: String,
    /// The body, or the parameters of the query.
    pub request: Map<String, Value>,
    pub answer: Value,
}

impl Example {
    /// The HTTP status of the answer.
    pub fn status(&self) -> u16 {
        let code = self.answer["status"]["code"].as_str();
        refusals::all().find(|row| Some(row.code) == code).map_or(200, |row| row.http.as_u16())
    }
}

/// The examples, in the order in which they are to be made.
pub fn examples() -> Result<Vec<Example>, String> {
    serde_json::from_str(include_str!("examples.json")).map_err(|error| format!("the examples cannot be read: {error}"))
}
