//! What a client finds out without having the contract: reflection, and health.

use std::collections::BTreeMap;

use futures_util::{FutureExt, stream};
use prost::Message;
use prost_reflect::{DescriptorPool, Value};
use prost_types::FileDescriptorSet;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::{v1, v1alpha};
use tonic_types::StatusExt;

use crate::support::{Server, Setup, tests};

tests! {
    Grpc:
        reflection_lists_the_services,
        reflection_gives_files_with_all_that_they_import,
        reflection_gives_what_errors_carry,
        reflection_finds_whatever_has_a_name,
        what_reflection_does_not_know_ends_no_stream,
        every_service_is_healthy,
        who_watches_an_unknown_service_is_told_so_and_waits_on,
        a_message_that_is_too_large_is_refused_as_everywhere;
    Once:
        what_is_googles_is_as_google_has_it,
        generated_code_has_the_names_of_its_language;
}

const SERVICES: [&str; 2] = ["referral.v1.AuthenticationService", "referral.v1.ReferralEventService"];

/// What reflection is asked.
#[derive(Clone, Debug)]
enum Question {
    Services,
    File(&'static str),
    Symbol(&'static str),
    Extension(&'static str, i32),
    ExtensionsOf(&'static str),
    /// A request that says nothing.
    Nothing,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Services(Vec<String>),
    /// The files, encoded.
    Files(Vec<Vec<u8>>),
    Extensions(String, Vec<i32>),
    Error(i32, String),
}

/// Asks one version of reflection in one stream; the versions differ in nothing but their names.
macro_rules! ask_version {
    ($version:ident, $server:expr, $questions:expr) => {{
        use $version::{
            ExtensionRequest, ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let request = |question: Question| {
            let message_request = Some(match question {
                Question::Services => MessageRequest::ListServices(String::new()),
                Question::File(name) => MessageRequest::FileByFilename(name.to_owned()),
                Question::Symbol(name) => MessageRequest::FileContainingSymbol(name.to_owned()),
                Question::Extension(name, extension_number) => {
                    MessageRequest::FileContainingExtension(ExtensionRequest {
                        containing_type: name.to_owned(),
                        extension_number,
                    })
                }
                Question::ExtensionsOf(name) => MessageRequest::AllExtensionNumbersOfType(name.to_owned()),
                Question::Nothing => return ServerReflectionRequest::default(),
            });
            ServerReflectionRequest { host: "here".to_owned(), message_request }
        };
        let requests: Vec<_> = $questions.iter().cloned().map(request).collect();
        let mut client = ServerReflectionClient::new($server.channel());
        let asked = stream::iter(requests.clone());
        let mut answers = client.server_reflection_info(asked).await.expect("an answer").into_inner();
        let mut answered = Vec::new();
        for request in requests {
            let answer = answers.message().await.expect("an answer").expect("an answer to each question");
            assert_eq!((&answer.valid_host, answer.original_request.as_ref()), (&request.host, Some(&request)));
            answered.push(match answer.message_response.expect("an answer") {
                MessageResponse::ListServicesResponse(list) => {
                    Answer::Services(list.service.into_iter().map(|service| service.name).collect())
                }
                MessageResponse::FileDescriptorResponse(found) => Answer::Files(found.file_descriptor_proto),
                MessageResponse::AllExtensionNumbersResponse(found) => {
                    Answer::Extensions(found.base_type_name, found.extension_number)
                }
                MessageResponse::ErrorResponse(error) => Answer::Error(error.error_code, error.error_message),
            });
        }
        assert!(answers.message().await.expect("an end").is_none());
        answered
    }};
}

async fn ask(server: &Server, questions: &[Question]) -> Vec<Answer> {
    let answers = ask_version!(v1, server, questions);
    assert_eq!(ask_version!(v1alpha, server, questions), answers);
    answers
}

/// What is in the files of an answer, which have all that they import.
#[track_caller]
fn pool(answer: &Answer) -> DescriptorPool {
    let Answer::Files(files) = answer else { panic!("no files: {answer:?}") };
    // A set of files that is encoded is nothing but these, each a field.
    let mut set = Vec::new();
    for file in files {
        prost::encoding::bytes::encode(1, file, &mut set);
    }
    let pool = DescriptorPool::decode(set.as_slice()).expect("files with all that they import");
    assert_eq!(pool.files().len(), files.len(), "a file is there twice");
    pool
}

async fn reflection_lists_the_services(setup: Setup) {
    let server = Server::start(setup).await;
    let answers = ask(&server, &[Question::Services]).await;
    let all = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "referral.v1.AuthenticationService",
        "referral.v1.DirectoryService",
        "referral.v1.ReferralEventService",
    ];
    assert_eq!(answers, [Answer::Services(all.map(str::to_owned).into())]);
}

async fn reflection_gives_files_with_all_that_they_import(setup: Setup) {
    let server = Server::start(setup).await;
    let file = "referral/v1/referral_event_service.proto";
    let questions = [Question::Symbol(SERVICES[1]), Question::File(file)];
    let answers = ask(&server, &questions).await;
    assert_eq!(answers[0], answers[1]);
    let pool = pool(&answers[0]);
    let service = pool.get_service_by_name(SERVICES[1]).expect("the service");
    assert_eq!(service.parent_file().name(), file);
    let rpc = service.methods().find(|method| method.name() == "BulkCreateReferralEvents").expect("the RPC");
    assert_eq!(rpc.input().full_name(), "referral.v1.BulkCreateReferralEventsRequest");
    // With the options, and the comments.
    let http = pool.get_extension_by_name("google.api.http").expect("the option");
    let options = rpc.options();
    let rule = options.get_extension(&http);
    let path = rule.as_message().and_then(|rule| rule.get_field_by_name("post")).map(|path| path.into_owned());
    assert_eq!(path, Some(Value::String("/customer_events/bulk/referrals/create".to_owned())));
    let comments = service.parent_file().file_descriptor_proto().source_code_info.clone().expect("comments");
    assert!(comments.location.iter().any(|place| place.leading_comments().contains("1 to 1000 referral events")));
    // The file that was asked for comes first.
    let Answer::Files(files) = &answers[0] else { panic!("no files") };
    let first = prost_types::FileDescriptorProto::decode(files[0].as_slice()).expect("a file");
    assert_eq!(first.name(), file);
}

async fn reflection_gives_what_errors_carry(setup: Setup) {
    let server = Server::start(setup).await;
    let names = ["google.rpc.ErrorInfo", "google.rpc.BadRequest", "google.rpc.RetryInfo", "google.rpc.Status"];
    let answers = ask(&server, &names.map(Question::Symbol)).await;
    for (name, answer) in names.iter().zip(&answers) {
        assert!(pool(answer).get_message_by_name(name).is_some(), "{name}");
    }
}

async fn reflection_finds_whatever_has_a_name(setup: Setup) {
    let server = Server::start(setup).await;
    let file = |name| Question::File(name);
    let (health, rpc, events) =
        (file("health.proto"), file("google/rpc/error_details.proto"), file("referral/v1/identifiers.proto"));
    let http = file("google/api/annotations.proto");
    for (name, file) in [
        ("grpc.health.v1.Health.Watch", &health),
        ("grpc.health.v1.HealthCheckResponse.ServingStatus", &health),
        ("grpc.health.v1.HealthCheckResponse.SERVING", &health),
        ("google.rpc.BadRequest.FieldViolation", &rpc),
        ("google.rpc.BadRequest.FieldViolation.field", &rpc),
        ("referral.v1.UnitIdentifier", &events),
        ("referral.v1.UnitIdentifier.name", &events),
        ("google.api.http", &http),
    ] {
        let answers = ask(&server, &[Question::Symbol(name), file.clone()]).await;
        pool(&answers[0]);
        assert_eq!(answers[0], answers[1], "{name}");
    }
    let answers = ask(&server, &[Question::Symbol("google.api.HttpRule.pattern"), file("google/api/http.proto")]).await;
    assert_eq!(answers[0], answers[1]);
    let options = "google.protobuf.MethodOptions";
    let questions = [
        Question::Extension(options, 72_295_728),
        http,
        Question::ExtensionsOf(options),
        Question::ExtensionsOf("referral.v1.UnitIdentifier"),
    ];
    let answers = ask(&server, &questions).await;
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[2], Answer::Extensions(options.to_owned(), vec![72_295_728]));
    assert_eq!(answers[3], Answer::Extensions("referral.v1.UnitIdentifier".to_owned(), Vec::new()));
}

async fn what_reflection_does_not_know_ends_no_stream(setup: Setup) {
    let server = Server::start(setup).await;
    let unknown = [
        Question::Symbol("referral.v1.NoSuchThing"),
        Question::Symbol("referral.v1.UnitIdentifier.no_such_field"),
        Question::Symbol(""),
        Question::Symbol("."),
        Question::File("no/such.proto"),
        Question::Extension("google.protobuf.MethodOptions", 1),
        Question::Extension("no.such.Message", 1),
        Question::Extension("google.protobuf.MethodOptions", -1),
        Question::ExtensionsOf("no.such.Message"),
    ];
    for question in unknown {
        let answers = ask(&server, &[question.clone(), Question::Symbol(SERVICES[0])]).await;
        let Answer::Error(code, message) = &answers[0] else { panic!("{question:?}: {answers:?}") };
        assert_eq!(*code, Code::NotFound as i32, "{question:?}");
        assert!(message.ends_with('.'), "{message}");
        pool(&answers[1]);
    }
    let answers = ask(&server, &[Question::Nothing, Question::Symbol(SERVICES[0])]).await;
    assert!(matches!(answers[0], Answer::Error(code, _) if code == Code::InvalidArgument as i32), "{answers:?}");
    pool(&answers[1]);
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

async fn who_watches_an_unknown_service_is_told_so_and_waits_on(setup: Setup) {
    let server = Server::start(setup).await;
    let mut client = HealthClient::new(server.channel());
    for (service, status) in
        [("referral.v1.NoSuchService", ServingStatus::ServiceUnknown), (SERVICES[0], ServingStatus::Serving)]
    {
        let watch = client.watch(HealthCheckRequest { service: service.to_owned() });
        let mut watched = watch.await.expect("an answer").into_inner();
        assert_eq!(watched.message().await.expect("a status").expect("a status").status(), status);
        client.check(HealthCheckRequest::default()).await.expect("an answer");
        assert!(watched.message().now_or_never().is_none(), "the stream of {service} goes on or ends");
    }
}

async fn a_message_that_is_too_large_is_refused_as_everywhere(setup: Setup) {
    let server = Server::start(setup).await;
    let large = "x".repeat(5 * 1024 * 1024);
    let health = HealthCheckRequest { service: large.clone() }.encode_to_vec();
    let reflection = v1::ServerReflectionRequest { host: large, message_request: None }.encode_to_vec();
    for (path, bytes) in [
        ("/grpc.health.v1.Health/Check", &health),
        ("/grpc.health.v1.Health/Watch", &health),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &reflection),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &reflection),
    ] {
        let status = server.call_with_bytes(path, bytes.clone(), &[]).await.expect_err("a refusal");
        assert_eq!(status.code(), Code::ResourceExhausted, "{path}: {status:?}");
        let details = status.get_error_details();
        assert_eq!(details.error_info().expect("an ErrorInfo").reason, "RequestTooLargeException");
    }
    server.assert_serving().await;
}

/// The files of the contract, without comments.
fn files() -> BTreeMap<String, prost_types::FileDescriptorProto> {
    let set = FileDescriptorSet::decode(referral_events::contract::DESCRIPTOR_SET).expect("a set of files");
    let named = set.file.into_iter().map(|mut file| {
        file.source_code_info = None;
        (file.name().to_owned(), file)
    });
    named.collect()
}

async fn what_is_googles_is_as_google_has_it(_: Setup) {
    let files = files();
    let google = FileDescriptorSet::decode(tonic_types::pb::FILE_DESCRIPTOR_SET).expect("a set of files");
    for mut theirs in google.file.into_iter().filter(|file| file.package() == "google.rpc") {
        theirs.source_code_info = None;
        // An option for C++ that is the default, which Google has left out since.
        theirs.options.as_mut().expect("options").cc_enable_arenas = None;
        let name = format!("google/rpc/{}", theirs.name().rsplit('/').next().expect("a name"));
        theirs.name = Some(name.clone());
        assert_eq!(files[&name], theirs);
    }
    let http = &files["google/api/http.proto"];
    let fields: Vec<String> = http
        .message_type
        .iter()
        .flat_map(|message| message.field.iter().map(move |field| (message, field)))
        .map(|(message, field)| {
            let choice = field.oneof_index.map_or("", |index| message.oneof_decl[index as usize].name());
            format!(
                "{}.{} {} {:?} {:?} {choice}",
                message.name(),
                field.name(),
                field.number(),
                field.r#type(),
                field.label()
            )
        })
        .collect();
    let expected = [
        "Http.rules 1 Message Repeated ",
        "Http.fully_decode_reserved_expansion 2 Bool Optional ",
        "HttpRule.selector 1 String Optional ",
        "HttpRule.get 2 String Optional pattern",
        "HttpRule.put 3 String Optional pattern",
        "HttpRule.post 4 String Optional pattern",
        "HttpRule.delete 5 String Optional pattern",
        "HttpRule.patch 6 String Optional pattern",
        "HttpRule.custom 8 Message Optional pattern",
        "HttpRule.body 7 String Optional ",
        "HttpRule.response_body 12 String Optional ",
        "HttpRule.additional_bindings 11 Message Repeated ",
        "CustomHttpPattern.kind 1 String Optional ",
        "CustomHttpPattern.path 2 String Optional ",
    ];
    assert_eq!(fields, expected);
    let annotations = &files["google/api/annotations.proto"];
    assert_eq!(annotations.extension[0].number(), 72_295_728);
    assert!(annotations.message_type.is_empty());
    for (file, class) in [(http, "HttpProto"), (annotations, "AnnotationsProto")] {
        let options = file.options.as_ref().expect("options");
        assert_eq!(options.go_package(), "google.golang.org/genproto/googleapis/api/annotations;annotations");
        assert_eq!((options.java_package(), options.java_outer_classname()), ("com.google.api", class));
    }
}

async fn generated_code_has_the_names_of_its_language(_: Setup) {
    let files = files();
    let ours: Vec<_> = files.values().filter(|file| file.package() == "referral.v1").collect();
    assert_eq!(ours.len(), 5);
    for file in ours {
        let options = file.options.as_ref().expect("options");
        assert!(options.go_package().ends_with("/referral/v1;referralv1"), "{options:?}");
        assert!(options.java_package().ends_with(".referral.v1") && options.java_multiple_files(), "{options:?}");
        assert!(options.csharp_namespace().ends_with("Referral.V1"), "{options:?}");
    }
}
