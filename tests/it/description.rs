//! The description of the API is that of the API: it is what the program makes of the contract, and what a server does.

use std::collections::BTreeSet;

use referral_events::{
    config::Config,
    description::{Example, examples},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Process, Server, Setup, Workplace, deprecated_fields, envelope, event,
    examples::{document, is_same},
    methods, tests,
};

tests! {
    Rest: a_text_is_as_long_as_the_description_lets_it_be, what_is_mandatory_is_asked_for;
    Once:
        the_documents_are_what_the_program_makes_of_the_contract,
        every_method_with_a_path_is_described_under_each_of_its_addresses,
        every_method_has_examples_which_are_answered_as_described,
        the_collection_of_requests_can_be_sent,
        every_refusal_of_the_table_is_described,
        what_is_deprecated_is_described_so,
        forms_of_json_are_described_as_they_are_read;
}

fn openapi() -> Value {
    serde_json::from_str(&document("docs/openapi.json")).expect("JSON")
}

/// The operations of the document, with their methods of HTTP and paths.
fn operations(openapi: &Value) -> Vec<(String, String, Value)> {
    let paths = openapi["paths"].as_object().expect("paths").iter();
    let operations = paths.flat_map(|(path, operations)| {
        let operations = operations.as_object().expect("operations").iter();
        operations.map(|(verb, operation)| (verb.to_uppercase(), path.clone(), operation.clone()))
    });
    operations.collect()
}

fn schema<'a>(openapi: &'a Value, name: &str) -> &'a Value {
    let schema = &openapi["components"]["schemas"][name];
    assert!(schema.is_object(), "no schema {name}");
    schema
}

async fn the_documents_are_what_the_program_makes_of_the_contract(_: Setup) {
    let workplace = Workplace::new();
    for (form, name) in
        [("openapi", "docs/openapi.json"), ("reference", "docs/reference.md"), ("requests", "docs/requests.http")]
    {
        let made = workplace.run_well(&["describe", form], "").stdout;
        assert!(made == document(name), "{name} is not up to date: cargo run -- describe {form} > {name}");
    }
}

async fn every_method_with_a_path_is_described_under_each_of_its_addresses(_: Setup) {
    let openapi = openapi();
    let servers = openapi["servers"].as_array().expect("servers").iter();
    let servers: Vec<&str> = servers.map(|server| server["url"].as_str().expect("a URL")).collect();
    let described: BTreeSet<(String, String, String)> = operations(&openapi)
        .into_iter()
        .flat_map(|(verb, path, operation)| {
            let name = operation["operationId"].as_str().expect("a name").to_owned();
            servers.iter().map(move |server| {
                let path = format!("{}{path}", server.trim_end_matches('/'));
                (name.clone(), verb.clone(), path.trim_start_matches('/').to_owned())
            })
        })
        .collect();
    let of_contract: BTreeSet<(String, String, String)> = methods()
        .iter()
        .flat_map(|method| {
            let addresses = method.addresses().into_iter();
            addresses.map(|(verb, path)| (method.name().to_owned(), verb.to_string(), path)).collect::<Vec<_>>()
        })
        .collect();
    assert!(!described.is_empty());
    assert_eq!(described, of_contract);
}

/// Sends an example as the document describes its method.
async fn send(demo: &Process, token: &str, (verb, path): (&str, &str), request: &Value) -> (u16, Value) {
    let mut url = reqwest::Url::parse(&format!("http://{}{path}", demo.address)).expect("a URL");
    if verb == "GET" {
        for (name, value) in request.as_object().expect("parameters") {
            let of_array = |texts: &Vec<Value>| texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
            let value = value.as_array().map(of_array).or(value.as_str().map(str::to_owned)).expect("a text");
            url.query_pairs_mut().append_pair(name, &value);
        }
    }
    let request = match verb {
        "GET" => reqwest::Client::new().get(url),
        _ => reqwest::Client::new().post(url).json(request),
    };
    let request = if token.is_empty() { request } else { request.bearer_auth(token) };
    let response = request.send().await.expect("an answer");
    (response.status().as_u16(), response.json().await.expect("JSON"))
}

/// What is written beside the calls comes a moment after them.
async fn send_until(demo: &Process, token: &str, to: (&str, &str), request: &Value, expected: &Value) -> (u16, Value) {
    let started = std::time::Instant::now();
    loop {
        let (status, answer) = send(demo, token, to, request).await;
        let is_to_come = to.1.ends_with("/unprocessed/list") && !is_same(expected, &answer, "", false);
        if !is_to_come || started.elapsed() > std::time::Duration::from_secs(30) {
            return (status, answer);
        }
        tokio::task::yield_now().await;
    }
}

async fn every_method_has_examples_which_are_answered_as_described(_: Setup) {
    let openapi = openapi();
    let demo = Workplace::new().serve(&["--demo"]);
    let examples = examples().expect("examples");
    let mut token = String::new();
    for Example { method, name, request, answer, .. } in examples.clone() {
        let operations = operations(&openapi);
        let (verb, path, operation) =
            operations.iter().find(|(.., operation)| operation["operationId"] == method.as_str()).expect("a method");
        let (status, answered) =
            send_until(&demo, &token, (verb, path), &Value::Object(request.clone()), &answer).await;
        assert!(is_same(&answer, &answered, "", false), "{method}, {name}: {answered:#}");
        // It stands in the document, where it belongs.
        let described = &operation["responses"][status.to_string()]["content"]["application/json"]["examples"];
        assert_eq!(described[&name]["value"], answer, "{method}, {name}");
        if verb == "POST" {
            let described = &operation["requestBody"]["content"]["application/json"]["examples"];
            assert_eq!(described[&name]["value"], Value::Object(request), "{method}, {name}");
        }
        if let Some(new) = answered["data"]["token"].as_str() {
            token = new.to_owned();
        }
    }
    for (.., operation) in operations(&openapi) {
        let name = operation["operationId"].as_str().expect("a name");
        assert!(
            examples.iter().any(|example| example.method == name),
            "{name} has no example: add one to src/description/examples.json"
        );
    }
}

/// A request of the collection, as an editor reads it.
async fn send_block(demo: &Process, token: &str, block: &str) -> Value {
    let (head, body) = block.split_once("\n\n").unwrap_or((block, ""));
    let mut lines = head.lines().skip(1).filter(|line| !line.starts_with('#'));
    let (verb, url) = lines.next().and_then(|line| line.split_once(' ')).expect("a method and a URL");
    let url = url.replace("{{server}}", &format!("http://{}", demo.address));
    let mut request = reqwest::Client::new().request(verb.parse::<Method>().expect("a method"), url);
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a header");
        request = request.header(name, value.replace("{{login.response.body.$.data.token}}", token));
    }
    request.body(body.to_owned()).send().await.expect("an answer").json().await.expect("JSON")
}

async fn the_collection_of_requests_can_be_sent(_: Setup) {
    let collection = document("docs/requests.http");
    assert!(collection.contains("@server = http://127.0.0.1:50051\n"));
    let demo = Workplace::new().serve(&["--demo"]);
    let mut token = String::new();
    let blocks: Vec<&str> = collection.split("\n###").skip(1).collect();
    let examples = examples().expect("examples");
    assert_eq!(blocks.len(), examples.len());
    for (block, example) in blocks.into_iter().zip(examples) {
        let answer = send_block(&demo, &token, block).await;
        assert_eq!(answer["status"], example.answer["status"], "{block}: {answer}");
        if block.contains("# @name login\n") {
            token = answer["data"]["token"].as_str().expect("a token").to_owned();
        }
    }
    assert!(!token.is_empty());
}

async fn every_refusal_of_the_table_is_described(_: Setup) {
    let openapi = openapi();
    let mut described = BTreeSet::new();
    for (.., operation) in operations(&openapi) {
        for (status, response) in operation["responses"].as_object().expect("responses") {
            for code in response["x-error-codes"].as_array().into_iter().flatten() {
                let code = code.as_str().expect("a code");
                let told = response["description"].as_str().expect("a text");
                assert!(told.contains(&format!("`{code}`")), "{told}");
                described.insert((code.to_owned(), status.clone()));
            }
        }
    }
    let errors = document("docs/errors.md");
    let rows = errors.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut documented: BTreeSet<(String, String)> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            (cells[0].trim_matches('`').to_owned(), cells[2].to_owned())
        })
        .collect();
    // Of a path that is described there is always one, and it takes its method; streams have none.
    let elsewhere = ["NotFoundException", "MethodNotAllowedException", "OffsetOutOfRangeException"];
    documented.retain(|(code, _)| !elsewhere.contains(&code.as_str()));
    assert_eq!(described, documented);
}

async fn what_is_deprecated_is_described_so(_: Setup) {
    let openapi = openapi();
    let mut described = Vec::new();
    for (name, schema) in openapi["components"]["schemas"].as_object().expect("schemas") {
        let properties = schema["properties"].as_object().into_iter().flatten();
        let deprecated = properties.filter(|(_, property)| property["deprecated"] == true);
        described.extend(deprecated.map(|(property, _)| format!("{name}.{property}")));
    }
    // The attributes of the event stand in its place.
    let of_contract = deprecated_fields().into_iter().flat_map(|field| {
        let of_one = field.replace("ReferralCustomerEvent", "CreateReferralEventRequest");
        [field, of_one]
    });
    let of_contract: BTreeSet<String> = of_contract.collect();
    assert!(!of_contract.is_empty());
    assert_eq!(described.into_iter().collect::<BTreeSet<_>>(), of_contract);
}

async fn forms_of_json_are_described_as_they_are_read(_: Setup) {
    let openapi = openapi();
    let bulk = schema(&openapi, "BulkCreateReferralEventsRequest");
    let forms = &bulk["properties"]["fields_set"]["anyOf"];
    assert_eq!((&forms[0]["type"], &forms[1]["items"]["type"]), (&json!("string"), &json!("string")));
    let events = &bulk["properties"]["referral_customer_events_set"];
    assert_eq!((&events["minItems"], &events["maxItems"]), (&json!(1), &json!(1000)));
    let password = &schema(&openapi, "AccessTokenIdentifier")["properties"]["one_time_password"];
    assert_eq!(password["type"], json!(["string", "integer", "null"]));
    let results = &schema(&openapi, "ListReferralEventsRequest")["properties"]["number_of_results"];
    assert_eq!((&results["minimum"], &results["maximum"], &results["default"]), (&json!(1), &json!(1000), &json!(100)));
    // The data of the answer are the event itself.
    let shown = &schema(&openapi, "GetReferralEventAnswer")["properties"]["data"];
    assert_eq!(shown, &json!({"$ref": "#/components/schemas/CustomerEvent"}));
}

/// The texts of a schema, by their paths, and how long each may be.
fn texts(openapi: &Value, name: &str, prefix: &str) -> Vec<(String, u64)> {
    // A date has none.
    let properties = schema(openapi, name)["properties"].as_object().into_iter().flatten();
    let of = |(name, property): (&String, &Value)| {
        let path = format!("{prefix}{name}");
        match (property["maxLength"].as_u64(), property["anyOf"][0]["$ref"].as_str()) {
            (Some(length), _) => vec![(path, length)],
            (None, Some(inner)) => texts(openapi, inner.rsplit('/').next().expect("a name"), &format!("{path}.")),
            (None, None) => Vec::new(),
        }
    };
    properties.flat_map(of).collect()
}

fn set(value: &mut Value, path: &str, to: Value) {
    *path.split('.').fold(value, |value, name| &mut value[name]) = to;
}

async fn a_text_is_as_long_as_the_description_lets_it_be(setup: Setup) {
    let server = Server::start_with(setup, Config::default()).await;
    let openapi = openapi();
    let texts = texts(&openapi, "ReferralCustomerEvent", "");
    assert!(texts.len() > 30, "{texts:?}");
    for (path, length) in texts {
        let length = usize::try_from(length).expect("a length");
        for (length, is_refused) in [(length, false), (length + 1, true)] {
            let mut event = event("1", "01", "02");
            let (outer, _) = path.split_once('.').unwrap_or((&path, ""));
            event.as_object_mut().expect("an event").remove(outer);
            // Characters, not bytes.
            set(&mut event, &path, json!("ä".repeat(length)));
            let request = json!({
                "token": server.token, "validate_only": true, "fields_set": "violations",
                "referral_customer_events_set": [event],
            });
            let answer = server.post("customer_events/bulk/referrals/create", &request).await;
            let unprocessed = &answer.data["unprocessed_customer_events_set"][0];
            let violations = unprocessed["violations"].as_array().cloned().unwrap_or_default();
            let is_of_length = |violation: &Value| {
                violation["field"] == path.as_str() && violation["error_code"] == "InvalidAttributeValueException"
            };
            assert_eq!(violations.iter().any(is_of_length), is_refused, "{path} with {length}: {violations:?}");
        }
    }
    let reason = &schema(&openapi, "CancelReferralEventRequest")["properties"]["cancellation_reason"];
    let length = usize::try_from(reason["maxLength"].as_u64().expect("a length")).expect("a length");
    for (length, code) in [(length, "CustomerEventNotFound"), (length + 1, "InvalidAttributeValue")] {
        let request = json!({
            "token": server.token, "customer_event_identifier": {"number": "999999"},
            "cancellation_reason": "ä".repeat(length),
        });
        server.post("customer_events/referrals/cancel", &request).await.assert_refused(code);
    }
}

async fn what_is_mandatory_is_asked_for(setup: Setup) {
    let server = Server::start_with(setup, Config::default()).await;
    // Who may call whatever there is.
    let bearer = format!("Bearer {}", server.login("acme", "adam").await);
    let openapi = openapi();
    let mut asked = 0;
    for (verb, path, operation) in operations(&openapi) {
        let body = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
        let Some(name) = body.as_str().and_then(|body| body.rsplit('/').next()) else { continue };
        for attribute in schema(&openapi, name)["required"].as_array().into_iter().flatten() {
            let attribute = attribute.as_str().expect("a name");
            // All else that it asks for may be missing too, but this must be the first.
            let mut request = examples_of(&operation);
            request.as_object_mut().expect("a request").remove(attribute).expect("an attribute of the example");
            let response = server
                .call_rest(
                    verb.parse().expect("a method"),
                    path.trim_start_matches('/'),
                    &request.to_string(),
                    &[("authorization", &*bearer)],
                )
                .await;
            let (status, answer) = envelope(response).await;
            assert_eq!(
                (status, answer.code.as_str()),
                (400, "MissingMandatoryAttributeException"),
                "{path}: {attribute}"
            );
            assert!(answer.message.contains(attribute), "{}", answer.message);
            asked += 1;
        }
    }
    assert!(asked >= 6, "{asked}");
    let mandatory = schema(&openapi, "ReferralCustomerEvent")["required"].as_array().expect("attributes");
    for attribute in mandatory {
        let mut event = event("1", "01", "02");
        let attribute = attribute.as_str().expect("a name");
        event.as_object_mut().expect("an event").remove(attribute).expect("an attribute");
        let answer = server.send(json!([event])).await;
        let unprocessed = &answer.data["unprocessed_customer_events_set"][0];
        assert_eq!(unprocessed["error_code"], "MissingMandatoryAttributeException", "{attribute}");
    }
}

/// The first example of a request.
fn examples_of(operation: &Value) -> Value {
    let examples = operation["requestBody"]["content"]["application/json"]["examples"].as_object().expect("examples");
    examples.values().next().expect("an example")["value"].clone()
}
