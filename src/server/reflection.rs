//! Reflection: the server tells what it serves, and how its messages are read.
//!
//! The service of tonic-reflection gives each file without those that it imports, and ends the stream at a name that it
//! does not know; so there is one here.

use std::{collections::HashMap, sync::Arc};

use axum::{Router, extract::Request, http::Uri};
use futures_util::{StreamExt, stream::BoxStream};
use prost_reflect::{DescriptorPool, FileDescriptor};
use tonic::{Code, Response, Status, Streaming, codec::CompressionEncoding};
use tonic_reflection::pb::v1::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse, ServerReflectionRequest,
    ServerReflectionResponse, ServiceResponse,
    server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
    server_reflection_server::{ServerReflection, ServerReflectionServer},
};
use tower::ServiceExt;

use crate::{
    contract,
    error::{Error, Result},
    text::quoted,
    transport::grpc,
};

const V1: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const V1ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

/// The service, under the names of both its versions: on the wire they are the same.
pub fn router() -> Result<Router> {
    let service = ServerReflectionServer::new(Reflection::new()?)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd);
    let as_v1 = service.clone().map_request(|mut request: Request| {
        *request.uri_mut() = Uri::from_static(V1);
        request
    });
    Ok(Router::new().route_service(V1, service).route_service(V1ALPHA, as_v1))
}

/// What the files of all that is served say, by what is asked for.
#[derive(Clone)]
struct Reflection {
    files: &'static DescriptorPool,
    /// The file of whatever has a name.
    files_by_symbol: Arc<HashMap<String, FileDescriptor>>,
}

impl Reflection {
    fn new() -> Result<Self> {
        let files = contract::files().map_err(Error::internal)?;
        let files_by_symbol = Arc::new(files_by_symbol(files));
        Ok(Self { files, files_by_symbol })
    }

    fn answer(&self, request: ServerReflectionRequest) -> ServerReflectionResponse {
        let answered = self.find(request.message_request.as_ref()).unwrap_or_else(|(code, error_message)| {
            MessageResponse::ErrorResponse(ErrorResponse { error_code: code.into(), error_message })
        });
        ServerReflectionResponse {
            valid_host: request.host.clone(),
            original_request: Some(request),
            message_response: Some(answered),
        }
    }

    fn find(&self, asked: Option<&MessageRequest>) -> Result<MessageResponse, (Code, String)> {
        let none = |kind: &str, name: &str| (Code::NotFound, format!("There is no {kind} {}.", quoted(name)));
        match asked {
            None => Err((Code::InvalidArgument, "The request asks for nothing.".to_owned())),
            Some(MessageRequest::ListServices(_)) => {
                let mut service: Vec<ServiceResponse> = self
                    .files
                    .services()
                    .map(|service| ServiceResponse { name: service.full_name().to_owned() })
                    .collect();
                service.sort_unstable_by(|a, b| a.name.cmp(&b.name));
                Ok(MessageResponse::ListServicesResponse(ListServiceResponse { service }))
            }
            Some(MessageRequest::FileByFilename(name)) => {
                self.files.get_file_by_name(name).map(with_imports).ok_or_else(|| none("file", name))
            }
            Some(MessageRequest::FileContainingSymbol(name)) => {
                self.files_by_symbol.get(name).cloned().map(with_imports).ok_or_else(|| none("symbol", name))
            }
            Some(MessageRequest::FileContainingExtension(asked)) => {
                let message = self.files.get_message_by_name(&asked.containing_type);
                let number = u32::try_from(asked.extension_number).ok();
                let extension = message.zip(number).and_then(|(message, number)| message.get_extension(number));
                extension
                    .map(|extension| with_imports(extension.parent_file()))
                    .ok_or_else(|| none(&format!("extension {} of", asked.extension_number), &asked.containing_type))
            }
            Some(MessageRequest::AllExtensionNumbersOfType(name)) => {
                let message = self.files.get_message_by_name(name).ok_or_else(|| none("message", name))?;
                let numbers = message.extensions().filter_map(|extension| i32::try_from(extension.number()).ok());
                Ok(MessageResponse::AllExtensionNumbersResponse(ExtensionNumberResponse {
                    base_type_name: name.clone(),
                    extension_number: numbers.collect(),
                }))
            }
        }
    }
}

fn files_by_symbol(files: &DescriptorPool) -> HashMap<String, FileDescriptor> {
    let mut symbols = HashMap::new();
    let mut add = |name: &str, file: FileDescriptor| symbols.insert(name.to_owned(), file);
    for message in files.all_messages() {
        add(message.full_name(), message.parent_file());
        message.fields().for_each(|field| _ = add(field.full_name(), field.parent_file()));
        message.oneofs().for_each(|oneof| _ = add(oneof.full_name(), oneof.parent_file()));
    }
    for kind in files.all_enums() {
        add(kind.full_name(), kind.parent_file());
        kind.values().for_each(|value| _ = add(value.full_name(), value.parent_file()));
    }
    for service in files.services() {
        add(service.full_name(), service.parent_file());
        service.methods().for_each(|method| _ = add(method.full_name(), method.parent_file()));
    }
    for extension in files.all_extensions() {
        add(extension.full_name(), extension.parent_file());
    }
    symbols
}

/// The file and all that it imports, directly or not, so that nothing is left to be asked for.
fn with_imports(file: FileDescriptor) -> MessageResponse {
    let mut files = vec![file];
    let mut looked_at = 0;
    while let Some(file) = files.get(looked_at).cloned() {
        for import in file.dependencies() {
            if !files.contains(&import) {
                files.push(import);
            }
        }
        looked_at += 1;
    }
    let file_descriptor_proto = files.iter().map(FileDescriptor::encode_to_vec).collect();
    MessageResponse::FileDescriptorResponse(FileDescriptorResponse { file_descriptor_proto })
}

#[tonic::async_trait]
impl ServerReflection for Reflection {
    type ServerReflectionInfoStream = BoxStream<'static, Result<ServerReflectionResponse, Status>>;

    async fn server_reflection_info(
        &self,
        request: tonic::Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let this = self.clone();
        let answers = request
            .into_inner()
            .map(move |request| request.map(|request| this.answer(request)).map_err(grpc::in_usual_terms));
        Ok(Response::new(answers.boxed()))
    }
}
