//! The contract as a document, for those who call by gRPC.

use std::fmt::Write;

use prost_reflect::{FieldDescriptor, FileDescriptor, Kind, MessageDescriptor, MethodDescriptor, ServiceDescriptor};

use super::{
    PACKAGE,
    comments::Commented,
    operations::Operation,
    schemas::{is_deprecated, is_secret},
};
use crate::contract;

const ABOUT: &str = "\
# The contract of gRPC

Made by `referral-events describe reference` of `proto/referral/v1/`. [The API](api.md) has examples, [errors](errors.md) \
what to do about each code. A field that is `optional` tells absence from emptiness; messages do so anyway.
";

/// The document, in Markdown.
pub fn reference() -> Result<String, String> {
    let mut text = ABOUT.to_owned();
    for file in contract::files()?.files().filter(|file| file.package_name() == PACKAGE) {
        add_file(&mut text, &file).map_err(|error| error.to_string())?;
    }
    Ok(text)
}

fn add_file(text: &mut String, file: &FileDescriptor) -> std::fmt::Result {
    writeln!(text, "\n## {}", file.name())?;
    let comment = file.comment().0;
    if !comment.is_empty() {
        writeln!(text, "\n{comment}")?;
    }
    file.services().try_for_each(|service| add_service(text, &service))?;
    file.messages().try_for_each(|message| add_message(text, &message))
}

fn add_service(text: &mut String, service: &ServiceDescriptor) -> std::fmt::Result {
    writeln!(text, "\n### {}\n\n{}", service.name(), service.comment().0)?;
    service.methods().try_for_each(|method| add_method(text, method))
}

fn add_method(text: &mut String, method: MethodDescriptor) -> std::fmt::Result {
    let side = |message: MessageDescriptor, is_stream| {
        let stream = if is_stream { "a stream of " } else { "" };
        format!("{stream}{}", link(&message))
    };
    let (input, output) =
        (side(method.input(), method.is_client_streaming()), side(method.output(), method.is_server_streaming()));
    writeln!(text, "\n#### {}\n\nTakes {input}, answers {output}.", method.name())?;
    let comment = method.comment().0;
    if let Some(operation) = Operation::of(method) {
        writeln!(text, "REST: {} `{}`.", operation.verb.to_uppercase(), operation.path)?;
    }
    writeln!(text, "\n{comment}")
}

fn add_message(text: &mut String, message: &MessageDescriptor) -> std::fmt::Result {
    writeln!(text, "\n### {}\n\n{}", message.name(), message.comment().0)?;
    for (n, field) in message.fields().enumerate() {
        let comment = field.comment().0.replace('\n', "\n  ").replace("\n  \n", "\n\n");
        let gap = if n == 0 { "\n" } else { "" };
        writeln!(text, "{gap}- `{}` = {}, {}: {comment}", field.name(), field.number(), kind(&field))?;
    }
    Ok(())
}

/// What a field holds, and what else there is to say of it.
fn kind(field: &FieldDescriptor) -> String {
    let label = match field {
        field if field.is_list() => "repeated ",
        field if field.field_descriptor_proto().proto3_optional() => "optional ",
        _ => "",
    };
    let kind = match field.kind() {
        Kind::Message(message) => link(&message),
        kind => format!("{kind:?}"),
    };
    let is_deprecated = if is_deprecated(field) { ", deprecated" } else { "" };
    let is_secret = if is_secret(field) { ", secret" } else { "" };
    format!("{label}{kind}{is_deprecated}{is_secret}")
}

/// The name of a message, which leads to it where it is here.
fn link(message: &MessageDescriptor) -> String {
    let name = message.name();
    match message.package_name() {
        PACKAGE => format!("[{name}](#{})", name.to_lowercase()),
        _ => message.full_name().to_owned(),
    }
}
