//! What a client finds out without having the contract: reflection, and health.

use futures_util::stream;
use prost::Message;
use prost_types::FileDescriptorProto;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::{v1, v1alpha};

use crate::support::{Server, Setup, tests};

tests! {
    Grpc: reflection_lists_the_services_and_gives_their_files, every_service_is_healthy;
}

const SERVICES: [&str; 2] = ["referral.v1.AuthenticationService", "referral.v1.ReferralEventService"];

/// Asks one version of reflection for the services and for the files with the service of the events; the two versions
/// differ in nothing but their names.
macro_rules! ask {
    ($version:ident, $server:expr) => {{
        use $version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let mut client = ServerReflectionClient::new($server.channel());
        let questions = [
            MessageRequest::ListServices(String::new()),
            MessageRequest::FileContainingSymbol("referral.v1.ReferralEventService".to_owned()),
        ]
        .map(|question| ServerReflectionRequest { host: String::new(), message_request: Some(question) });
        let mut answers = client.server_reflection_info(stream::iter(questions)).await.expect("an answer").into_inner();
        let mut services = Vec::new();
        let mut files = Vec::new();
        while let Some(answer) = answers.message().await.expect("an answer") {
            match answer.message_response {
                Some(MessageResponse::ListServicesResponse(list)) => {
                    services.extend(list.service.into_iter().map(|service| service.name));
                }
                Some(MessageResponse::FileDescriptorResponse(found)) => files.extend(found.file_descriptor_proto),
                answer => panic!("{answer:?}"),
            }
        }
        (services, files)
    }};
}

async fn reflection_lists_the_services_and_gives_their_files(setup: Setup) {
    let server = Server::start(setup).await;
    for (services, files) in [ask!(v1, server), ask!(v1alpha, server)] {
        for service in SERVICES {
            assert!(services.iter().any(|name| name == service), "{service} is not among {services:?}");
        }
        let files: Vec<FileDescriptorProto> =
            files.iter().map(|file| FileDescriptorProto::decode(file.as_slice()).expect("a file")).collect();
        let service = files
            .iter()
            .filter(|file| file.package() == "referral.v1")
            .flat_map(|file| &file.service)
            .find(|service| service.name() == "ReferralEventService")
            .unwrap_or_else(|| panic!("no service in {files:?}"));
        let rpc = service.method.iter().find(|method| method.name() == "BulkCreateReferralEvents").expect("the RPC");
        assert_eq!(rpc.input_type(), ".referral.v1.BulkCreateReferralEventsRequest");
    }
}

async fn every_service_is_healthy(setup: Setup) {
    let server = Server::start(setup).await;
    let mut client = HealthClient::new(server.channel());
    for service in SERVICES.into_iter().chain([""]) {
        let answer = client.check(HealthCheckRequest { service: service.to_owned() }).await.expect("an answer");
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{service}");
    }
    let unknown = HealthCheckRequest { service: "referral.v1.NoSuchService".to_owned() };
    assert_eq!(client.check(unknown).await.expect_err("an error").code(), Code::NotFound);
}
