//! The methods of the contract and the attributes of an event, by the descriptor: what is added to the contract is
//! called, and sent, by the tests that go through all of them.

use std::{sync::LazyLock, time::Duration};

use bytes::Bytes;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, SerializeOptions, Value,
};
use referral_events::contract::DESCRIPTOR_SET;
use serde_json::Value as Json;
use tonic::{
    Request, Status,
    client::Grpc,
    metadata::{AsciiMetadataKey, AsciiMetadataValue},
    transport::Channel,
};
use tonic_types::StatusExt;

use super::{Answer, Server, Transport, answer, bytes_codec::BytesCodec, envelope};

/// The contract, which to decode takes longer than a call does.
pub fn pool() -> DescriptorPool {
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(DESCRIPTOR_SET).expect("a descriptor set"));
    POOL.clone()
}

/// A method of the contract.
#[derive(Clone, Debug)]
pub struct Method(MethodDescriptor);

/// Every method of the contract.
pub fn methods() -> Vec<Method> {
    let pool = pool();
    let services = pool.services().filter(|service| service.full_name().starts_with("referral.v1."));
    services.flat_map(|service| service.methods().map(Method).collect::<Vec<_>>()).collect()
}

/// The method of this name.
pub fn method(name: &str) -> Method {
    methods().into_iter().find(|method| method.name() == name).expect("a method")
}

impl Method {
    pub fn name(&self) -> &str {
        self.0.name()
    }

    pub fn grpc_path(&self) -> String {
        format!("/{}/{}", self.0.parent_service().full_name(), self.0.name())
    }

    pub fn input(&self) -> MessageDescriptor {
        self.0.input()
    }

    pub fn output(&self) -> MessageDescriptor {
        self.0.output()
    }

    /// The REST addresses: HTTP method and path, without the slash in front.
    pub fn addresses(&self) -> Vec<(reqwest::Method, String)> {
        let pool = pool();
        let http = pool.get_extension_by_name("google.api.http").expect("the option of REST addresses");
        let options = self.0.options();
        if !options.has_extension(&http) {
            return Vec::new();
        }
        let rule = options.get_extension(&http);
        let rule = rule.as_message().expect("a rule");
        let more = rule.get_field_by_name("additional_bindings").expect("a field");
        let more = more.as_list().expect("a list").iter().filter_map(Value::as_message);
        [rule].into_iter().chain(more).map(address).collect()
    }

    /// Whether either side sends a stream of messages.
    pub fn is_stream(&self) -> bool {
        self.0.is_client_streaming() || self.0.is_server_streaming()
    }

    /// How metrics call the kind of method that it is.
    pub fn grpc_type(&self) -> &'static str {
        match (self.0.is_client_streaming(), self.0.is_server_streaming()) {
            (false, false) => "unary",
            (true, false) => "client_stream",
            (false, true) => "server_stream",
            (true, true) => "bidi_stream",
        }
    }

    /// Whether the request has an attribute of this name.
    pub fn takes(&self, attribute: &str) -> bool {
        self.0.input().get_field_by_name(attribute).is_some()
    }
}

fn address(rule: &DynamicMessage) -> (reqwest::Method, String) {
    let path = |name| {
        let field = rule.get_field_by_name(name).expect("a field");
        Some(field.as_str().expect("a path").trim_start_matches('/').to_owned()).filter(|path| !path.is_empty())
    };
    match (path("get"), path("post")) {
        (Some(path), None) => (reqwest::Method::GET, path),
        (None, Some(path)) => (reqwest::Method::POST, path),
        _ => panic!("not one address: {rule:?}"),
    }
}

/// The attributes of an event that hold a text, a number or a date, as paths, and what they hold.
pub fn leaves() -> Vec<(String, Leaf)> {
    let event = pool().get_message_by_name("referral.v1.ReferralCustomerEvent").expect("a message");
    let mut leaves = Vec::new();
    visit(&event, "", &mut leaves);
    leaves
}

/// The names of a message's fields.
pub fn fields(message: &str) -> Vec<String> {
    let message = pool().get_message_by_name(&format!("referral.v1.{message}")).expect("a message");
    message.fields().map(|field| field.name().to_owned()).collect()
}

/// The fields that the contract marks as deprecated, each with its message.
pub fn deprecated_fields() -> Vec<String> {
    let pool = pool();
    let fields = pool.all_messages().filter(|message| message.package_name() == "referral.v1").flat_map(|message| {
        let is_deprecated = |field: &FieldDescriptor| {
            field.field_descriptor_proto().options.as_ref().is_some_and(|options| options.deprecated())
        };
        let name = message.name().to_owned();
        message.fields().filter(is_deprecated).map(|field| format!("{name}.{}", field.name())).collect::<Vec<_>>()
    });
    let mut fields: Vec<String> = fields.collect();
    fields.sort_unstable();
    fields
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    Text,
    Number,
    Date,
}

fn visit(message: &MessageDescriptor, prefix: &str, leaves: &mut Vec<(String, Leaf)>) {
    for field in message.fields() {
        let path = format!("{prefix}{}", field.name());
        match field.kind() {
            Kind::String => leaves.push((path, Leaf::Text)),
            Kind::Double => leaves.push((path, Leaf::Number)),
            Kind::Message(message) if message.full_name() == "google.protobuf.Timestamp" => {
                leaves.push((path, Leaf::Date));
            }
            Kind::Message(message) => visit(&message, &format!("{path}."), leaves),
            kind => panic!("{path} is a {kind:?}, which the tests don't know"),
        }
    }
}

impl Server {
    /// Calls a method over the transport of the test, with these headers.
    pub async fn call(&self, method: &Method, request: Json, headers: &[(&str, &str)]) -> Answer {
        match self.transport {
            Transport::Rest => {
                let (verb, mut path) = method.addresses().swap_remove(0);
                if verb == reqwest::Method::GET {
                    path = format!("{path}?{}", query(&request));
                }
                envelope(self.call_rest(verb, &path, &request.to_string(), headers).await).await.1
            }
            Transport::Grpc => answer(self.call_grpc(method, request, headers).await),
        }
    }

    /// Sends a body of JSON.
    pub async fn call_rest(
        &self,
        verb: reqwest::Method,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> reqwest::Response {
        let mut request = self.http().request(verb.clone(), self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if verb != reqwest::Method::GET {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        request.send().await.expect("a response")
    }

    /// Calls a method as [`Self::call`] does, and answers the wait too that a refusal tells.
    pub async fn call_for_wait(
        &self,
        method: &Method,
        request: Json,
        headers: &[(&str, &str)],
    ) -> (Answer, Option<Duration>) {
        match self.transport {
            Transport::Rest => {
                let (verb, path) = method.addresses().swap_remove(0);
                let response = self.call_rest(verb, &path, &request.to_string(), headers).await;
                let seconds = response.headers().get("retry-after");
                let seconds = seconds.map(|seconds| seconds.to_str().expect("ASCII").parse().expect("seconds"));
                (envelope(response).await.1, seconds.map(Duration::from_secs))
            }
            Transport::Grpc => {
                let result = self.call_grpc(method, request, headers).await;
                let details = result.as_ref().err().map(StatusExt::get_error_details);
                let wait = details.and_then(|details| details.retry_info()?.retry_delay);
                (answer(result), wait)
            }
        }
    }

    pub async fn call_grpc(&self, method: &Method, request: Json, headers: &[(&str, &str)]) -> Result<Json, Status> {
        let message = DynamicMessage::deserialize(method.0.input(), request).expect("a message of the contract");
        let bytes = prost::Message::encode_to_vec(&message);
        let bytes = self.call_with_bytes(&method.grpc_path(), bytes, headers).await?;
        let message = DynamicMessage::decode(method.0.output(), bytes.as_slice()).expect("a message of the contract");
        let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
        Ok(message.serialize_with_options(serde_json::value::Serializer, &options).expect("JSON"))
    }

    /// Calls an RPC with these bytes, be they a message or not, and answers those of the first message that comes.
    pub async fn call_with_bytes(
        &self,
        path: &str,
        bytes: Vec<u8>,
        headers: &[(&str, &str)],
    ) -> Result<Vec<u8>, Status> {
        call_with_bytes(self.channel(), path, bytes, headers).await
    }
}

pub async fn call_with_bytes(
    channel: Channel,
    path: &str,
    bytes: Vec<u8>,
    headers: &[(&str, &str)],
) -> Result<Vec<u8>, Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.expect("a connection");
    let mut request = Request::new(futures_util::stream::iter([Bytes::from(bytes)]));
    for (name, value) in headers {
        let name = AsciiMetadataKey::from_bytes(name.as_bytes()).expect("a name");
        request.metadata_mut().append(name, AsciiMetadataValue::try_from(*value).expect("a value"));
    }
    // As far as the bytes on the wire go, a unary call is a stream of one message each way.
    let path = path.to_owned().try_into().expect("a path");
    let mut answers = client.streaming(request, path, BytesCodec).await?.into_inner();
    let first = answers.message().await?;
    while answers.message().await?.is_some() {}
    Ok(first.unwrap_or_default().into())
}

/// A request as the query of a GET: a text or a list of texts as it is, an identifier a field at a time.
fn query(request: &Json) -> String {
    let mut parameters: Vec<(&str, String)> = Vec::new();
    for (name, value) in request.as_object().expect("an object") {
        match value {
            Json::Object(fields) => parameters.extend(
                fields
                    .iter()
                    .map(|(field, value)| (name.as_str(), format!("{field}={}", value.as_str().expect("a text")))),
            ),
            Json::Array(values) => {
                parameters
                    .extend(values.iter().map(|value| (name.as_str(), value.as_str().expect("a text").to_owned())));
            }
            value => parameters.push((name, value.as_str().expect("a text").to_owned())),
        }
    }
    let url = reqwest::Url::parse_with_params("http://host/", parameters).expect("a URL");
    url.query().unwrap_or_default().to_owned()
}
