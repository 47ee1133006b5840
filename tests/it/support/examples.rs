//! The examples of documents: calls, as somebody pastes them into a shell, and what they are said to be answered.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use prost::Message;
use prost_reflect::DynamicMessage;
use serde_json::Value;
use tonic::transport::Channel;

use super::methods::{call_with_bytes, method};

/// A file of this repository.
pub fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("a document")
}

/// A block of a document, under the heading of its section.
pub struct Block {
    pub section: String,
    pub language: String,
    pub text: String,
}

/// The blocks of a document, in order.
pub fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut section = "";
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if let Some((level, heading)) = line.split_once("# ").filter(|(level, _)| level.trim_matches('#').is_empty()) {
            section = if level.is_empty() { "" } else { heading };
        }
        let Some(language) = line.strip_prefix("```") else { continue };
        let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push(Block { section: section.to_owned(), language: language.to_owned(), text: text.join("\n") });
    }
    blocks
}

/// A call, and what it is answered; one that takes a token says nothing of that.
pub struct Example {
    section: String,
    call: String,
    answer: Option<String>,
}

/// Every `sh` block with a call, and the `json` block that follows it.
pub fn examples(document: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for Block { section, language, text } in blocks(document) {
        match language.as_str() {
            "sh" if text.contains("curl ") => examples.push(Example { section, call: text, answer: None }),
            "json" => {
                let example = examples.last_mut().filter(|example| example.answer.is_none());
                example.expect("an answer follows its call").answer = Some(text);
            }
            _ => {}
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

async fn curl(call: Call, address: SocketAddr) -> String {
    let [program, url] = &call.rest[..] else { panic!("{:?}", call.rest) };
    assert_eq!(program, "curl");
    let path = url.strip_prefix("http://127.0.0.1:50051/").expect("the address of the document");
    let client = reqwest::Client::new();
    let url = format!("http://{address}/{path}");
    // What curl says of a body of which its user says nothing.
    let says_nothing = !call.headers.iter().any(|(name, _)| name == "content-type");
    let form = call.body.as_ref().filter(|_| says_nothing).map(|_| "application/x-www-form-urlencoded");
    let mut request = match call.body {
        Some(body) => client.post(url).body(body),
        None => client.get(url),
    };
    if let Some(form) = form {
        request = request.header("content-type", form);
    }
    for (name, value) in call.headers {
        request = request.header(name, value);
    }
    request.send().await.expect("an answer").text().await.expect("a body")
}

/// Answers what grpcurl prints.
async fn grpcurl(call: Call, address: SocketAddr) -> Value {
    let [_, host, path] = &call.rest[..] else { panic!("{:?}", call.rest) };
    assert_eq!(host, "127.0.0.1:50051");
    let method = method(path.split('/').next_back().expect("a method"));
    assert_eq!(method.grpc_path(), format!("/{path}"));
    let body: Value = json(&call.body.expect("a body"));
    let message = DynamicMessage::deserialize(method.input(), body).expect("a message of the contract");
    let [(name, value)] = &call.headers[..] else { panic!("not one header") };
    assert_eq!(name, "authorization");
    let channel = Channel::from_shared(format!("http://{address}")).expect("a URI").connect_lazy();
    let headers = [(name.as_str(), value.as_str())];
    let bytes = call_with_bytes(channel, &method.grpc_path(), message.encode_to_vec(), &headers).await;
    let bytes = bytes.expect("an answer");
    let answer = DynamicMessage::decode(method.output(), bytes.as_slice()).expect("a message of the contract");
    serde_json::to_value(answer).expect("JSON")
}

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A shell in which examples are run, one after the other.
pub struct Shell {
    pub address: SocketAddr,
    token: String,
    /// Whether numbers must be those of the document.
    pub has_its_numbers: bool,
}

impl Shell {
    pub fn at(address: SocketAddr) -> Self {
        Self { address, token: String::new(), has_its_numbers: false }
    }

    /// Runs a call that ends in the shell's own variable or in an answer.
    async fn call(&mut self, text: &str) -> Option<Value> {
        if let Some(call) = text.strip_prefix("TOKEN=$(") {
            let call = call.strip_suffix("| cut -d '\"' -f 6)").expect("a way to the token");
            let answer = curl(Call::read(call, ""), self.address).await;
            self.token = answer.split('"').nth(5).unwrap_or_else(|| panic!("no token: {answer}")).to_owned();
            assert_eq!(self.token.split('.').count(), 3, "{answer}");
            return None;
        }
        let call = Call::read(text, &self.token);
        if call.rest[0] == "grpcurl" {
            return Some(grpcurl(call, self.address).await);
        }
        let is_beside = call.rest.iter().any(|word| word.ends_with("/unprocessed/list"));
        let mut answer = json(&curl(call, self.address).await);
        // They are written beside the calls, a moment after the answer.
        let started = Instant::now();
        while is_beside
            && answer["data"]["unprocessed_events_set"] == Value::Array(Vec::new())
            && started.elapsed() < Duration::from_secs(30)
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
            answer = json(&curl(Call::read(text, &self.token), self.address).await);
        }
        if let Some(token) = answer["data"]["token"].as_str() {
            self.token = token.to_owned();
        }
        Some(answer)
    }

    /// Runs the examples, each of which must be answered as its document says.
    pub async fn run(&mut self, examples: Vec<Example>) {
        let mut wrong = 0;
        for Example { section, call, answer } in examples {
            let Some(answered) = self.call(&call).await else { continue };
            let documented = json(&answer.unwrap_or_else(|| panic!("{section}: {call}\nhas no answer: {answered:#}")));
            if !is_same(&documented, &answered, "", self.has_its_numbers) {
                println!("{section}: {call}\nis documented as\n{documented:#}\nand is answered\n{answered:#}\n");
                wrong += 1;
            }
        }
        assert_eq!(wrong, 0, "examples are answered otherwise");
    }
}

/// Whether the answer is the documented one but for what differs from run to run.
pub fn is_same(documented: &Value, answered: &Value, name: &str, has_its_numbers: bool) -> bool {
    match (documented, answered) {
        (Value::Object(documented), Value::Object(answered)) => {
            documented.keys().eq(answered.keys())
                && documented.iter().all(|(name, value)| is_same(value, &answered[name], name, has_its_numbers))
        }
        (Value::Array(documented), Value::Array(answered)) => {
            documented.len() == answered.len()
                && documented
                    .iter()
                    .zip(answered)
                    .all(|(documented, answered)| is_same(documented, answered, name, has_its_numbers))
        }
        (Value::String(documented), Value::String(answered)) => match name {
            "id" | "next_page_token" => answered.len() == documented.len(),
            "token" => answered.split('.').count() == 3 && answered.starts_with(documented.as_str()),
            "number" if is_digits(documented) && !has_its_numbers => is_digits(answered),
            _ => documented == answered,
        },
        _ => documented == answered,
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}
