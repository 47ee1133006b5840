//! Compiles the contract, without `protoc`: the messages, the services, the descriptor set that reflection serves, and
//! for each message that REST callers send the list of its attributes, from which `transport::rest` reads it, and the
//! fields of an event that is looked back on, for `transport::customer_event`.

use std::{
    env,
    error::Error,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

const PACKAGE: &str = "referral.v1";
/// The message of an event to create.
const EVENT: &str = "ReferralCustomerEvent";
/// The request of the bulk call.
const BULK: &str = "BulkCreateReferralEventsRequest";
/// The message of an event that is looked back on.
const EVENT_VIEW: &str = "CustomerEvent";
const FILES: [&str; 2] = ["referral/v1/referral_event_service.proto", "referral/v1/authentication_service.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    // Encoded by the compiler: the messages of prost-types have no place for the options that hold the REST addresses.
    fs::write(out.join("descriptor_set.bin"), compiler.encode_file_descriptor_set())?;
    let contract = compiler.file_descriptor_set();
    fs::write(out.join("attributes.rs"), attributes(&contract)?)?;
    fs::write(out.join("whole.rs"), whole(&contract)?)?;
    fs::write(out.join("customer_event_fields.rs"), fields(&contract)?)?;
    fs::write(out.join("tags.rs"), tags(&contract)?)?;
    compile_services(contract.clone(), &out.join("services"))?;
    let mut builder = tonic_prost_build::configure()
        .codec_path("crate::transport::codec::ContractCodec")
        .build_server(false)
        .skip_debug(MESSAGES_WITH_SECRETS);
    for message in messages(&contract).filter(|message| is_sent(message)) {
        // Of the many identifiers that an event has room for it holds a few, and a call holds a thousand events.
        for field in message.field.iter().filter(|field| field.type_name().ends_with("Identifier")) {
            builder = builder.boxed(format!(".{PACKAGE}.{}.{}", message.name(), field.name()));
        }
    }
    for message in messages(&contract).filter(|message| !is_sent(message)) {
        let path = format!(".{PACKAGE}.{}", message.name());
        builder = builder.type_attribute(&path, "#[derive(serde::Serialize)]");
        for field in &message.field {
            let path = format!("{path}.{}", field.name());
            builder = builder.field_attribute(path, serialization(message, field));
        }
    }
    builder.compile_fds(contract)?;
    Ok(())
}

/// Compiles the services as the server has them: the events of a request are pieces of its message, to be read one by
/// one once the call is known to be allowed. On the wire a message within a message is the same as bytes.
fn compile_services(mut contract: FileDescriptorSet, out: &Path) -> Result<(), Box<dyn Error>> {
    let event = format!(".{PACKAGE}.{EVENT}");
    let mut builder = tonic_prost_build::configure()
        .codec_path("crate::transport::codec::ContractCodec")
        .build_client(false)
        .bytes(".")
        .out_dir(out);
    for message in messages(&contract) {
        let (path, name) = (format!(".{PACKAGE}.{}", message.name()), message.name());
        let has_events = message.field.iter().any(|field| field.type_name() == event);
        let types = if has_events { "crate::transport::raw" } else { "crate::contract" };
        builder = builder.extern_path(&path, format!("{types}::{name}"));
    }
    for file in contract.file.iter_mut().filter(|file| file.package() == PACKAGE) {
        let mut raw: Vec<DescriptorProto> = file.message_type.clone();
        raw.retain(|message| message.field.iter().any(|field| field.type_name() == event));
        for message in &mut raw {
            message.name = Some(format!("Raw{}", message.name()));
            for field in message.field.iter_mut().filter(|field| field.type_name() == event) {
                field.type_name = None;
                field.r#type = Some(Type::Bytes.into());
                // One that is given twice stands there twice.
                field.label = Some(Label::Repeated.into());
            }
            builder = builder.skip_debug([format!(".{PACKAGE}.{}", message.name())]);
        }
        file.message_type.extend(raw);
        // The comments are found by the places of the messages, of which these have none.
        file.source_code_info = None;
    }
    fs::create_dir_all(out)?;
    builder.compile_fds(contract)?;
    Ok(())
}

/// The messages of the contract's package.
fn messages(contract: &FileDescriptorSet) -> impl Iterator<Item = &DescriptorProto> {
    contract.file.iter().filter(|file| file.package() == PACKAGE).flat_map(|file| &file.message_type)
}

/// Whether callers send the message; the others are answered.
fn is_sent(message: &DescriptorProto) -> bool {
    let name = message.name();
    name.ends_with("Request") || name.ends_with("Identifier") || name == EVENT
}

/// How REST has a field of an answer: the sets of a response are always there, all else where there is something.
fn serialization(message: &DescriptorProto, field: &FieldDescriptorProto) -> &'static str {
    match (field.label(), field.type_name()) {
        (Label::Repeated, _) if message.name().ends_with("Response") => "",
        (Label::Repeated, _) => "#[serde(skip_serializing_if = \"Vec::is_empty\")]",
        (_, ".google.protobuf.Timestamp") => {
            "#[serde(skip_serializing_if = \"Option::is_none\", serialize_with = \"crate::contract::serialize_date\")]"
        }
        _ if field.proto3_optional() || field.r#type() == Type::Message => {
            "#[serde(skip_serializing_if = \"Option::is_none\")]"
        }
        _ => "",
    }
}

/// Messages that hold a token, a password or a code; `contract` gives them a `Debug` that does not show it.
const MESSAGES_WITH_SECRETS: [&str; 9] = [
    ".referral.v1.AccessTokenIdentifier",
    ".referral.v1.BulkCreateReferralEventsRequest",
    ".referral.v1.CancelReferralEventRequest",
    ".referral.v1.CreateReferralEventRequest",
    ".referral.v1.CreateTokenRequest",
    ".referral.v1.CreateTokenResponse",
    ".referral.v1.GetReferralEventRequest",
    ".referral.v1.ListReferralEventsRequest",
    ".referral.v1.ReleaseTokenRequest",
];

/// `impl Attributes` for each message that a REST caller sends, its attributes by their names in the contract. The
/// requests that hold events are left out: they are read by hand.
fn attributes(contract: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    for message in messages(contract).filter(|message| is_sent(message)) {
        let has_events = message.field.iter().any(|field| field.type_name() == format!(".{PACKAGE}.{EVENT}"));
        if !has_events {
            implement_attributes(&mut code, message)?;
        }
    }
    Ok(code)
}

fn implement_attributes(code: &mut String, message: &DescriptorProto) -> std::fmt::Result {
    writeln!(code, "impl Attributes for contract::{} {{", message.name())?;
    writeln!(code, "    fn read(&mut self, name: &str, value: &RawValue, reader: &mut Reading) -> Option<u32> {{")?;
    match_attributes(code, message, |name| {
        let read = if is_digits(name) { "read_digits" } else { "read" };
        format!("reader.{read}(\"{name}\", value, &mut self.{name})")
    })?;
    writeln!(code, "    }}\n}}")
}

/// `impl Whole` for the message of an event, and for the identifiers in it.
fn whole(contract: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    let of_event = |message: &&DescriptorProto| message.name() == EVENT || message.name().ends_with("Identifier");
    for message in messages(contract).filter(of_event) {
        writeln!(code, "impl Whole for contract::{} {{", message.name())?;
        writeln!(code, "    fn read<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Read<'de, A> {{")?;
        writeln!(code, "        Ok(")?;
        match_attributes(&mut code, message, |name| {
            let value = if is_digits(name) { "map.next_value::<Digits>()?.0" } else { "value(map)?" };
            format!("self.{name} = {value}")
        })?;
        writeln!(code, "        )\n    }}\n}}")?;
    }
    Ok(code)
}

/// The documentation has the password as a number, the contract as text, which keeps a leading zero.
fn is_digits(attribute: &str) -> bool {
    attribute == "one_time_password"
}

/// An expression that reads the attribute `name` of the message, and is its position, or `None` where there is none of
/// that name.
fn match_attributes(code: &mut String, message: &DescriptorProto, read: impl Fn(&str) -> String) -> std::fmt::Result {
    writeln!(code, "        match name {{")?;
    for (index, field) in message.field.iter().enumerate() {
        let name = field.name();
        writeln!(code, "            \"{name}\" => {{")?;
        writeln!(code, "                {};", read(name))?;
        writeln!(code, "                Some({index})")?;
        writeln!(code, "            }}")?;
    }
    writeln!(code, "            _ => None,\n        }}")
}

/// The numbers of the fields of the bulk request.
fn tags(contract: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let message = messages(contract).find(|message| message.name() == BULK).ok_or("no message of the bulk call")?;
    let mut code = String::new();
    for field in message.field.iter().filter(|field| field.label() == Label::Repeated) {
        writeln!(code, "pub const {}: u32 = {};", field.name().to_uppercase(), field.number())?;
    }
    Ok(code)
}

/// The names of the fields of an event that is looked back on, and a function that takes out those that are not wanted.
fn fields(contract: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let message = messages(contract).find(|message| message.name() == EVENT_VIEW).ok_or("no message of an event")?;
    let names: Vec<&str> = message.field.iter().map(|field| field.name()).collect();
    let mut code = String::new();
    writeln!(code, "const FIELDS: [&str; {}] = {names:?};", names.len())?;
    writeln!(code, "fn keep(event: &mut contract::{EVENT_VIEW}, wants: impl Fn(&str) -> bool) {{")?;
    for name in names {
        let member = if name == "type" { "r#type" } else { name };
        writeln!(code, "    if !wants(\"{name}\") {{ event.{member} = None; }}")?;
    }
    writeln!(code, "}}")?;
    Ok(code)
}
