//! REST as OpenAPI has it.

use prost_reflect::{FieldDescriptor, Kind, MethodDescriptor};
use serde_json::{Map, Value, json};

use super::{
    TOKEN,
    comments::Commented,
    examples::{Example, examples},
    operations::{Operation, operations, services},
    refusals,
    schemas::{Schemas, is_mandatory, parameter, reference},
};
use crate::{
    contract,
    transport::{
        deprecation::DEPRECATED_ATTRIBUTES_HEADER,
        request::{
            IDEMPOTENCY_KEY_HEADER, IDEMPOTENCY_REPLAYED_HEADER, MAXIMUM_IDEMPOTENCY_KEY_LENGTH,
            MAXIMUM_REQUEST_ID_LENGTH, REQUEST_ID_HEADER, TIMEOUT_HEADER, TRACEPARENT_HEADER,
        },
        rest,
    },
};

const JSON: &str = "application/json";
const ABOUT: &str = "\
Creates referral customer events in bulk: who referred whom, where and when, checked against the rules and stored for good.

- Every answer has the envelope `{\"data\": …, \"status\": {\"code\", \"description\", \"message\"}}`. `status.code` is `OK`, or \
the code of what refused the call, beside `\"data\": {}`. Each call lists its codes under the HTTP status that they come \
with; where the service is set to answer legacy callers, that is 200 throughout.
- In a request, `null` is as good as absent; an attribute that is not listed refuses the call, or in an event that event \
alone. In an answer, what is not there is absent, and later versions may add attributes and codes.
- A body is JSON in UTF-8 under whatever common content type it comes; it may be packed (`content-encoding: gzip`, `br` or \
`zstd`).
- The token goes into the header `authorization`, or into the attribute `token` of the request.";

/// The document, of version 3.1.
pub fn openapi() -> Result<Value, String> {
    let contract = contract::files()?;
    let examples = examples()?;
    let mut schemas = Schemas::default();
    let (mut paths, mut tags) = (Map::new(), Vec::new());
    for service in services(contract) {
        let operations = operations(&service);
        if !operations.is_empty() {
            tags.push(json!({"name": service.name(), "description": service.comment().0}));
        }
        for operation in operations {
            let described = describe(&operation, &examples, &mut schemas);
            let path = paths.entry(operation.path).or_insert_with(|| json!({}));
            path[operation.verb] = described;
        }
    }
    schemas.insert("Status", status());
    schemas.insert("Refusal", refusal());
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "referral-events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [
            {"url": "/", "description": "The paths are served at the root"},
            {"url": rest::PREFIX, "description": "and where existing callers have them"},
        ],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": security_schemes(),
            "parameters": parameters(),
            "headers": headers(),
            "schemas": schemas.into_inner(),
        },
    }))
}

fn describe(operation: &Operation, examples: &[Example], schemas: &mut Schemas) -> Value {
    let Operation { method, .. } = operation;
    let comment = method.comment();
    let examples: Vec<&Example> = examples.iter().filter(|example| example.method == method.name()).collect();
    let mut described = json!({
        "operationId": method.name(),
        "tags": [method.parent_service().name()],
        "summary": comment.summary(),
        "description": comment.0,
        "security": security(operation),
        "parameters": parameters_of(operation, &examples),
    });
    if operation.has_body() {
        described["requestBody"] = body(operation, &examples, schemas);
    }
    described["responses"] = responses(operation, &examples, schemas);
    described
}

/// The token may come in the body, and in the query of a call without one.
fn security(operation: &Operation) -> Value {
    match (operation.takes_token(), operation.has_body()) {
        (false, _) => json!([]),
        (true, true) => json!([{"bearer": []}, {}]),
        (true, false) => json!([{"bearer": []}, {"query": []}]),
    }
}

fn security_schemes() -> Value {
    json!({
        "bearer": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "The token of `CreateToken`. A call with a body may have it as its attribute `token` in place of \
                            this; given in both places, the two must be equal.",
        },
        "query": {
            "type": "apiKey", "in": "query", "name": TOKEN,
            "description": "The same in the query, for callers that cannot send the header. Queries end up in logs of proxies.",
        },
    })
}

fn parameters_of(operation: &Operation, examples: &[&Example]) -> Value {
    let mut names = vec!["RequestId", "TraceParent", "Timeout"];
    if takes_idempotency_key(&operation.method) {
        names.insert(0, "IdempotencyKey");
    }
    let mut parameters: Vec<Value> = Vec::new();
    if !operation.has_body() {
        for field in operation.attributes().iter().filter(|field| field.name() != TOKEN) {
            parameters.extend(in_query(field, examples));
        }
    }
    parameters.extend(names.into_iter().map(|name| json!({"$ref": format!("#/components/parameters/{name}")})));
    parameters.into()
}

/// Whether the comment of the method, or of one that it is as, tells of idempotency keys.
fn takes_idempotency_key(method: &MethodDescriptor) -> bool {
    let comment = method.comment().on_one_line();
    let is_as = |other: &MethodDescriptor| {
        other != method && comment.contains(&format!("is as in {}", other.name())) && takes_idempotency_key(other)
    };
    comment.contains(&format!("`{IDEMPOTENCY_KEY_HEADER}`"))
        || method.parent_service().methods().any(|other| is_as(&other))
}

/// The parameters of an attribute: an identifier has one for each of its fields.
fn in_query(field: &FieldDescriptor, examples: &[&Example]) -> Vec<Value> {
    let of = |name: String, field: &FieldDescriptor| {
        let mut described =
            json!({"name": name, "in": "query", "description": field.comment().0, "schema": parameter(field)});
        if field.is_list() {
            described["explode"] = json!(false);
        }
        if let Some(example) = examples.iter().find_map(|example| example.request.get(&name)) {
            described["example"] = example.clone();
        }
        described
    };
    match field.kind() {
        // A query has no room for more than one level.
        Kind::Message(message) => message
            .fields()
            .filter(|inner| inner.kind().as_message().is_none())
            .map(|inner| of(format!("{}.{}", field.name(), inner.name()), &inner))
            .collect(),
        _ => vec![of(field.name().to_owned(), field)],
    }
}

fn body(operation: &Operation, examples: &[&Example], schemas: &mut Schemas) -> Value {
    let input = operation.method.input();
    let optional = operation.body_field().and_then(|field| field.comment().optional_here());
    let attributes = operation.attributes();
    let schema = schemas.request(input.name(), &input.comment().0, &attributes, optional.as_deref());
    let examples = examples
        .iter()
        .map(|example| (example.name.clone(), json!({"summary": example.summary, "value": example.request})));
    // An empty body is an empty object.
    let is_required = attributes.iter().any(is_mandatory);
    json!({"required": is_required, "content": {JSON: {"schema": schema, "examples": examples.collect::<Map<_, _>>()}}})
}

fn responses(operation: &Operation, examples: &[&Example], schemas: &mut Schemas) -> Value {
    let method = &operation.method;
    let name = format!("{}Answer", method.name());
    let answer = operation.answer();
    let data = schemas.answer(&answer);
    let answered = json!({
        "type": "object",
        "required": ["data", "status"],
        "properties": {"data": data, "status": reference("Status")},
    });
    schemas.insert(&name, answered);
    let mut responses = Map::new();
    let mut add = |status: u16, mut response: Value, schema: Value| {
        let of_status = examples.iter().filter(|example| example.status() == status);
        let named = of_status
            .map(|example| (example.name.clone(), json!({"summary": example.summary, "value": example.answer})));
        response["content"] = json!({JSON: {"schema": schema}});
        let named: Map<String, Value> = named.collect();
        if !named.is_empty() {
            response["content"][JSON]["examples"] = named.into();
        }
        response["headers"] = headers_of(status, method);
        responses.insert(status.to_string(), response);
    };
    add(200, json!({"description": answer.comment().0}), reference(&name));
    for (status, codes) in refusals::of_method(method) {
        let told = codes.iter().map(|(code, description)| format!("- `{code}`: {description}"));
        let told = told.collect::<Vec<_>>().join("\n");
        let codes: Vec<&&str> = codes.keys().collect();
        add(status, json!({"description": told, "x-error-codes": codes}), reference("Refusal"));
    }
    responses.into()
}

fn status() -> Value {
    json!({
        "type": "object",
        "description": "What came of the call.",
        "properties": {
            "code": {"type": "string", "description": "`OK`, or the code of what refused the call: what programs look at."},
            "description": {"type": "string", "description": "The code in words; empty where the call succeeded."},
            "message": {"type": "string", "description": "A sentence for a human; empty where the call succeeded."},
        },
        "required": ["code", "description", "message"],
    })
}

fn refusal() -> Value {
    json!({
        "type": "object",
        "description": "The answer to a call that was refused.",
        "properties": {
            "data": {"type": "object", "maxProperties": 0},
            "status": reference("Status"),
        },
        "required": ["data", "status"],
    })
}

/// The headers of a request.
fn parameters() -> Value {
    let header = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "header", "description": description, "schema": schema});
    json!({
        "IdempotencyKey": header(
            IDEMPOTENCY_KEY_HEADER,
            "A name of the caller's choice for this call, so that it is carried out once however often it is sent.",
            json!({"type": "string", "minLength": 1, "maxLength": MAXIMUM_IDEMPOTENCY_KEY_LENGTH, "pattern": "^[ -~]*$"}),
        ),
        "RequestId": header(
            REQUEST_ID_HEADER,
            &format!(
                "A name for this request, which the answer and the log have: 1 to {MAXIMUM_REQUEST_ID_LENGTH} visible \
                 characters of ASCII. In place of one in another form, a new one is made."
            ),
            json!({"type": "string"}),
        ),
        "TraceParent": header(
            TRACEPARENT_HEADER,
            "The trace that the call is a part of, as W3C has it; the log names it. In another form it is ignored.",
            json!({"type": "string"}),
        ),
        "Timeout": header(
            TIMEOUT_HEADER,
            "How long the caller waits: up to eight digits and `H`, `M`, `S`, `m` (milliseconds), `u` or `n`. Past it, the \
             call is ended with `DeadlineExceededException`.",
            json!({"type": "string", "pattern": "^[0-9]{1,8}[HMSmun]$", "examples": ["10S", "500m"]}),
        ),
    })
}

/// The headers of answers.
fn headers() -> Value {
    let header = |description: &str, schema: Value| json!({"description": description, "schema": schema});
    json!({
        "RequestId": header("The name of the request: the caller's own, or a new one.", json!({"type": "string"})),
        "IdempotencyReplayed": header(
            "`true` where the answer repeats that of an earlier call under the same idempotency key.",
            json!({"type": "string", "const": "true"}),
        ),
        "DeprecatedAttributes": header(
            "The deprecated attributes that the call used, separated by commas.",
            json!({"type": "string"}),
        ),
        "RetryAfter": header("For how many seconds to wait.", json!({"type": "integer", "minimum": 1})),
        "WwwAuthenticate": header("`Bearer`.", json!({"type": "string"})),
    })
}

fn headers_of(status: u16, method: &MethodDescriptor) -> Value {
    let mut headers = vec![(REQUEST_ID_HEADER, "RequestId")];
    match status {
        200 if takes_idempotency_key(method) => headers.extend([
            (IDEMPOTENCY_REPLAYED_HEADER, "IdempotencyReplayed"),
            (DEPRECATED_ATTRIBUTES_HEADER, "DeprecatedAttributes"),
        ]),
        401 => headers.push(("www-authenticate", "WwwAuthenticate")),
        429 | 503 => headers.push(("retry-after", "RetryAfter")),
        _ => {}
    }
    let refer =
        |(name, header): (&str, &str)| (name.to_owned(), json!({"$ref": format!("#/components/headers/{header}")}));
    headers.into_iter().map(refer).collect::<Map<_, _>>().into()
}
