//! The examples as a collection of requests, in the form `.http` of editors (REST Client of VS Code, and its kin).

use serde_json::Value;

use super::{
    examples::{Example, examples},
    operations::{Operation, operations, services},
};
use crate::contract;

const ABOUT: &str = "\
# Made by `referral-events describe requests`. To be sent from the first to the last, to what `serve --demo` serves.

@server = http://127.0.0.1:50051
";
/// The request whose answer has the token of the others.
const LOGIN: &str = "login";

/// The file.
pub fn requests() -> Result<String, String> {
    let operations: Vec<Operation> = services(contract::files()?).flat_map(|service| operations(&service)).collect();
    let mut text = ABOUT.to_owned();
    let mut has_token = false;
    for example in examples()? {
        let operation = operations.iter().find(|operation| operation.method.name() == example.method);
        let operation = operation.ok_or_else(|| format!("{} has an example and no path", example.method))?;
        text += &request(operation, &example, &mut has_token);
    }
    Ok(text)
}

fn request(operation: &Operation, example: &Example, has_token: &mut bool) -> String {
    let name = if !*has_token && example.answer["data"].get("token").is_some() {
        *has_token = true;
        format!("# @name {LOGIN}\n")
    } else {
        String::new()
    };
    let token = match operation.takes_token() {
        true => format!("authorization: Bearer {{{{{LOGIN}.response.body.$.data.token}}}}\n"),
        false => String::new(),
    };
    let (verb, path) = (operation.verb.to_uppercase(), &operation.path);
    let head = format!("\n### {}: {}\n{name}{verb} {{{{server}}}}{path}", example.method, example.summary);
    match operation.has_body() {
        true => {
            let body = Value::Object(example.request.clone());
            format!("{head}\n{token}content-type: application/json\n\n{body:#}\n")
        }
        false => format!("{head}?{}\n{token}", query(example)),
    }
}

/// The parameters of a query; several texts of one with commas between.
fn query(example: &Example) -> String {
    let text = |value: &Value| match value {
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let parameters = example.request.iter().map(|(name, value)| format!("{name}={}", text(value)));
    parameters.collect::<Vec<_>>().join("&")
}
