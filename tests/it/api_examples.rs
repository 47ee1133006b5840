//! The examples of `docs/api.md` are calls that are answered as it says.

use std::{fs, net::SocketAddr, path::Path};

use referral_events::contract::{
    BulkCreateReferralEventsRequest, referral_event_service_client::ReferralEventServiceClient,
};
use serde_json::Value;
use tonic::Request;

use crate::support::{Setup, Workplace, answer, message, methods, tests};

tests! {
    Once: every_example_is_answered_as_the_document_says, the_document_has_every_method;
}

fn document() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md")).expect("a document")
}

/// A call, and what it is answered if the document says so.
struct Example {
    section: String,
    call: String,
    answer: Option<String>,
}

/// Every `sh` block, and the `json` block that follows it.
fn examples() -> Vec<Example> {
    let document = document();
    let mut examples: Vec<Example> = Vec::new();
    let mut section = "";
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if let Some((level, heading)) = line.split_once("# ").filter(|(level, _)| level.trim_matches('#').is_empty()) {
            section = if level.is_empty() { "" } else { heading };
        }
        let Some(language) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let block = block.join("\n");
        match language {
            "sh" => examples.push(Example { section: section.to_owned(), call: block, answer: None }),
            "json" => {
                let example = examples.last_mut().filter(|example| example.answer.is_none());
                example.expect("an answer follows its call").answer = Some(block);
            }
            _ => panic!("a block of {language:?}"),
        }
    }
    examples
}

/// The words of a shell line, where `$TOKEN` stands for the token outside of single quotes.
fn words(line: &str, token: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None;
    let mut quote = None;
    for c in line.replace("\\\n", " ").chars() {
        match (quote, c) {
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_with(String::new);
            }
            (Some(open), c) if c == open => quote = None,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => {
                word.get_or_insert_with(String::new).push(c);
                // A single quote keeps it as it is.
                if let (Some(word), false) = (&mut word, quote == Some('\''))
                    && word.ends_with("$TOKEN")
                {
                    *word = word.replace("$TOKEN", token);
                }
            }
        }
    }
    assert_eq!(quote, None, "an open quote: {line}");
    words.extend(word);
    words
}

/// A `curl` or `grpcurl` line: its headers, its body and what is neither.
struct Call {
    headers: Vec<(String, String)>,
    body: Option<String>,
    rest: Vec<String>,
}

impl Call {
    fn read(line: &str, token: &str) -> Self {
        let mut call = Self { headers: Vec::new(), body: None, rest: Vec::new() };
        let mut words = words(line, token).into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-H" => {
                    let header = words.next().expect("a header");
                    let (name, value) = header.split_once(": ").expect("a header");
                    call.headers.push((name.to_owned(), value.to_owned()));
                }
                "-d" => call.body = words.next(),
                "-s" | "-plaintext" => {}
                _ => call.rest.push(word),
            }
        }
        call
    }
}

async fn curl(call: Call, address: SocketAddr) -> Value {
    let [program, url] = &call.rest[..] else { panic!("{:?}", call.rest) };
    assert_eq!(program, "curl");
    let path = url.strip_prefix("http://127.0.0.1:50051/").expect("the address of the document");
    let client = reqwest::Client::new();
    let url = format!("http://{address}/{path}");
    let mut request = match call.body {
        Some(body) => client.post(url).body(body),
        None => client.get(url),
    };
    for (name, value) in call.headers {
        request = request.header(name, value);
    }
    let text = request.send().await.expect("an answer").text().await.expect("a body");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The one RPC that the document calls.
async fn grpcurl(call: Call, address: SocketAddr) {
    let [program, host, method] = &call.rest[..] else { panic!("{:?}", call.rest) };
    assert_eq!((program.as_str(), host.as_str()), ("grpcurl", "127.0.0.1:50051"));
    assert_eq!(method, "referral.v1.ReferralEventService/BulkCreateReferralEvents");
    let body: Value = serde_json::from_str(&call.body.expect("a body")).expect("JSON");
    let message: BulkCreateReferralEventsRequest = message("BulkCreateReferralEventsRequest", body);
    let mut request = Request::new(message);
    let [(name, value)] = &call.headers[..] else { panic!("not one header") };
    assert_eq!(name, "authorization");
    request.metadata_mut().insert("authorization", value.parse().expect("a value"));
    let client = ReferralEventServiceClient::connect(format!("http://{address}")).await;
    let response = client.expect("a connection").bulk_create_referral_events(request).await;
    let answer = answer(response.map(|response| serde_json::to_value(response.into_inner()).expect("JSON")));
    // What is sent here was sent before, over REST.
    answer.assert_outcome(&[], &[("125", "ReferralAlreadyExists")]);
}

/// Whether the answer is the documented one but for what differs from run to run.
fn is_same(documented: &Value, answered: &Value, name: &str) -> bool {
    match (documented, answered) {
        (Value::Object(documented), Value::Object(answered)) => {
            documented.keys().eq(answered.keys())
                && documented.iter().all(|(name, value)| is_same(value, &answered[name], name))
        }
        (Value::Array(documented), Value::Array(answered)) => {
            documented.len() == answered.len()
                && documented.iter().zip(answered).all(|(documented, answered)| is_same(documented, answered, name))
        }
        (Value::String(documented), Value::String(answered)) => match name {
            "id" => answered.len() == documented.len(),
            "token" => answered.split('.').count() == 3 && answered.starts_with(documented.as_str()),
            "number" if is_digits(documented) => is_digits(answered),
            _ => documented == answered,
        },
        _ => documented == answered,
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

async fn every_example_is_answered_as_the_document_says(_: Setup) {
    let demo = Workplace::new().serve(&["--demo"]);
    let mut token = String::new();
    let mut wrong: Vec<(String, String)> = Vec::new();
    let examples = examples();
    assert!(examples.len() > 10);
    for Example { section, call, answer } in examples {
        let request = Call::read(&call, &token);
        let Some(documented) = answer else {
            grpcurl(request, demo.address).await;
            continue;
        };
        let documented: Value =
            serde_json::from_str(&documented).unwrap_or_else(|error| panic!("{error}: {documented}"));
        let answered = curl(request, demo.address).await;
        if let Some(given) = answered["data"]["token"].as_str() {
            token = given.to_owned();
        }
        if !is_same(&documented, &answered, "") {
            wrong.push((section, format!("{call}\nis documented as\n{documented:#}\nand is answered\n{answered:#}")));
        }
    }
    for (section, difference) in &wrong {
        println!("{section}: {difference}\n");
    }
    assert!(wrong.is_empty(), "{} examples are answered otherwise", wrong.len());
}

async fn the_document_has_every_method(_: Setup) {
    let document = document();
    for method in methods() {
        let service = method.grpc_path();
        let service = service.trim_start_matches("/referral.v1.").split('/').next().expect("a service").to_owned();
        let rpc = format!("`{service}.{}`", method.name());
        let row = document.lines().find(|line| line.contains(&rpc)).unwrap_or_else(|| panic!("{rpc} has no row"));
        let (verb, path) = method.addresses().swap_remove(0);
        let path = if verb == reqwest::Method::GET { format!("| GET `{path}` |") } else { format!("| `{path}` |") };
        assert!(row.contains(&path), "{row} has not {path}");
        // And a section of its own, to which the row leads.
        let anchor = row.split_once("](#").and_then(|(_, rest)| rest.split(')').next()).expect("a link");
        let is_its_heading = |line: &str| {
            line.strip_prefix("## ").is_some_and(|heading| heading.to_lowercase().replace(' ', "-") == anchor)
        };
        assert!(document.lines().any(is_its_heading), "{anchor} leads nowhere");
    }
}
