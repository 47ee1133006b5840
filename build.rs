//! Compiles the contract, without `protoc`: the messages, the services, and the descriptor set, from which the server
//! takes all else that it knows of the contract.

use std::{env, error::Error, fs, path::PathBuf};

use prost_types::{
    FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use protox::prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, Value};
use tonic_prost_build::{Builder, Config};

const PACKAGE: &str = "referral.v1";
/// The message of an event to create.
const EVENT: &str = "ReferralCustomerEvent";
/// With what they import, and with what errors carry, which is in no message of ours.
const FILES: [&str; 5] = [
    "referral/v1/referral_event_service.proto",
    "referral/v1/directory_service.proto",
    "referral/v1/authentication_service.proto",
    "google/rpc/error_details.proto",
    "google/rpc/status.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let commit = commit().map(|commit| format!(" ({commit:.12})")).unwrap_or_default();
    println!("cargo::rustc-env=REFERRAL_EVENTS_VERSION={}{commit}", env::var("CARGO_PKG_VERSION")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    // Encoded by the compiler: the messages of prost-types have no place for the options of fields and methods.
    fs::write(out.join("descriptor_set.bin"), compiler.encode_file_descriptor_set())?;
    let contract = compiler.descriptor_pool();
    let messages: Vec<MessageDescriptor> =
        contract.all_messages().filter(|message| message.package_name() == PACKAGE).collect();
    let secret = messages.iter().filter(|message| message.fields().any(|field| is_secret(&field)));
    let secret: Vec<String> = secret.map(|message| message.name().to_owned()).collect();
    let raw = messages.iter().filter(|message| has_events(message));
    let raw: Vec<String> = raw.map(|message| format!("Raw{}", message.name())).collect();
    fs::write(out.join("secrets.rs"), format!("redact!({});", [&*secret, &*raw].concat().join(", ")))?;

    let mut builder = configure().build_server(false).skip_debug(secret.iter().map(path));
    for message in &messages {
        builder = with_json(builder, message);
    }
    let mut config = Config::new();
    config.enable_type_names();
    builder.compile_fds_with_config(compiler.file_descriptor_set(), config)?;

    let services = out.join("services");
    fs::create_dir_all(&services)?;
    let mut builder = configure().build_client(false).bytes(".").skip_debug(raw.iter().map(path)).out_dir(services);
    for message in &messages {
        let types = if has_events(message) { "crate::transport::raw" } else { "crate::contract" };
        builder = builder.extern_path(path(message.name()), format!("{types}::{}", message.name()));
    }
    builder.compile_fds(with_raw_messages(compiler.file_descriptor_set(), &raw))?;
    Ok(())
}

/// The commit that is checked out, as the files of Git have it; `None` where this is no checkout.
fn commit() -> Option<String> {
    let read = |path: PathBuf| Some(fs::read_to_string(path).ok()?.trim().to_owned());
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").ok()?);
    // In a further work tree a file says where they are.
    let git = match read(root.join(".git")) {
        Some(link) => root.join(link.strip_prefix("gitdir: ")?),
        None => root.join(".git"),
    };
    let head = read(git.join("HEAD"))?;
    // The second is written with each commit, the first when another branch is checked out.
    for changing in [git.join("HEAD"), git.join("logs/HEAD")].iter().filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", changing.display());
    }
    let Some(branch) = head.strip_prefix("ref: ") else { return Some(head) };
    let shared = read(git.join("commondir")).map_or(git.clone(), |shared| git.join(shared));
    read(shared.join(branch)).or_else(|| {
        let packed = read(shared.join("packed-refs"))?;
        packed.lines().find_map(|line| Some(line.split_once(' ').filter(|(_, name)| *name == branch)?.0.to_owned()))
    })
}

fn configure() -> Builder {
    tonic_prost_build::configure().codec_path("crate::transport::codec::ContractCodec")
}

fn path(message: impl AsRef<str>) -> String {
    format!(".{PACKAGE}.{}", message.as_ref())
}

/// Whether the field holds a token, a password or a code, as the contract says.
fn is_secret(field: &FieldDescriptor) -> bool {
    field.options().get_field_by_name("debug_redact").is_some_and(|option| *option == Value::Bool(true))
}

/// Whether there are events to create in the message, or in one of its messages.
fn has_events(message: &MessageDescriptor) -> bool {
    message.fields().any(|field| field.kind().as_message().is_some_and(|part| part.name() == EVENT || has_events(part)))
}

/// Events and what is in them are read from JSON by serde, and what is answered is written by it.
fn with_json(mut builder: Builder, message: &MessageDescriptor) -> Builder {
    let is_request = message.name().ends_with("Request");
    let is_of_event = message.name() == EVENT || message.name().ends_with("Identifier");
    let derived = match (is_request, is_of_event) {
        (true, _) => "",
        (_, true) => "#[derive(serde::Deserialize)] #[serde(default, deny_unknown_fields)]",
        _ => "#[derive(serde::Serialize)]",
    };
    builder = builder.type_attribute(path(message.name()), derived);
    for field in message.fields() {
        let is_identifier = field.kind().as_message().is_some_and(|message| message.name().ends_with("Identifier"));
        let field_path = format!(".{}", field.full_name());
        // Of the many identifiers that an event has room for it holds a few, and a call holds a thousand events.
        if is_identifier {
            builder = builder.boxed(&field_path);
        }
        let attribute = match field.kind() {
            _ if is_request => "",
            Kind::Message(_) if is_identifier => "#[serde(deserialize_with = \"crate::contract::json::object\")]",
            Kind::Message(date) if date.name() == "Timestamp" && is_of_event => {
                "#[serde(with = \"crate::contract::date\")]"
            }
            Kind::Message(date) if date.name() == "Timestamp" => {
                "#[serde(skip_serializing_if = \"Option::is_none\", with = \"crate::contract::date\")]"
            }
            // The documentation has it as a number, the contract as text, which keeps a leading zero.
            _ if field.name() == "one_time_password" => {
                "#[serde(deserialize_with = \"crate::contract::json::digits\")]"
            }
            _ if is_of_event => "",
            // The sets of a response are always there, all else where there is something.
            _ if field.is_list() && message.name().ends_with("Response") => "",
            _ if field.is_list() => "#[serde(skip_serializing_if = \"Vec::is_empty\")]",
            _ if field.supports_presence() => "#[serde(skip_serializing_if = \"Option::is_none\")]",
            _ => "",
        };
        builder = builder.field_attribute(field_path, attribute);
    }
    builder
}

/// The contract for the server, whose requests have their events as pieces of the message, to be read one by one once
/// the call is known to be allowed. On the wire a message within a message is the same as bytes.
fn with_raw_messages(mut contract: FileDescriptorSet, names: &[String]) -> FileDescriptorSet {
    let event = path(EVENT);
    for file in contract.file.iter_mut().filter(|file| file.package() == PACKAGE) {
        let mut raw = file.message_type.clone();
        raw.iter_mut().for_each(|message| message.name = Some(format!("Raw{}", message.name())));
        raw.retain(|message| names.iter().any(|name| name == message.name()));
        for message in &mut raw {
            for field in message.field.iter_mut().filter(|field| field.type_name() == event) {
                field.type_name = None;
                field.r#type = Some(Type::Bytes.into());
                // One that is given twice stands there twice.
                field.label = Some(Label::Repeated.into());
            }
        }
        file.message_type.extend(raw);
        // The comments are found by the places of the messages, of which these have none.
        file.source_code_info = None;
    }
    contract
}
