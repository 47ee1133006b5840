//! Compiles the contract, without `protoc`: the messages, the services, the descriptor set that reflection serves, and
//! for each message that REST callers send the list of its attributes, from which `transport::rest::json` reads it.

use std::{env, error::Error, fmt::Write, fs, path::PathBuf};

use prost_types::{DescriptorProto, FileDescriptorSet};

const PACKAGE: &str = "referral.v1";
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
    tonic_prost_build::configure()
        .codec_path("crate::transport::codec::ContractCodec")
        .type_attribute(".referral.v1.BulkCreateReferralEventsResponse", SERIALIZE)
        .type_attribute(".referral.v1.ProcessedCustomerEvent", SERIALIZE)
        .field_attribute(".referral.v1.ProcessedCustomerEvent", LEAVE_OUT_ABSENT)
        .type_attribute(".referral.v1.UnprocessedCustomerEvent", SERIALIZE)
        .field_attribute(".referral.v1.UnprocessedCustomerEvent", LEAVE_OUT_ABSENT)
        .type_attribute(".referral.v1.CreateTokenResponse", SERIALIZE)
        .type_attribute(".referral.v1.ReleaseTokenResponse", SERIALIZE)
        .skip_debug(MESSAGES_WITH_SECRETS)
        .compile_fds(contract)?;
    Ok(())
}

const SERIALIZE: &str = "#[derive(serde::Serialize)]";
const LEAVE_OUT_ABSENT: &str = "#[serde(skip_serializing_if = \"Option::is_none\")]";

/// Messages that hold a token, a password or a code; `contract` gives them a `Debug` that does not show it.
const MESSAGES_WITH_SECRETS: [&str; 5] = [
    ".referral.v1.AccessTokenIdentifier",
    ".referral.v1.BulkCreateReferralEventsRequest",
    ".referral.v1.CreateTokenRequest",
    ".referral.v1.CreateTokenResponse",
    ".referral.v1.ReleaseTokenRequest",
];

/// `impl Attributes` for each message that a REST caller sends, its attributes by their names in the contract. The bulk
/// request is left out: its events are read one by one, by hand.
fn attributes(contract: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let messages = contract.file.iter().filter(|file| file.package() == PACKAGE).flat_map(|file| &file.message_type);
    let mut code = String::new();
    for message in messages {
        if !message.name().ends_with("Response") && message.name() != "BulkCreateReferralEventsRequest" {
            implement_attributes(&mut code, message)?;
        }
    }
    Ok(code)
}

fn implement_attributes(code: &mut String, message: &DescriptorProto) -> std::fmt::Result {
    writeln!(code, "impl Attributes for contract::{} {{", message.name())?;
    writeln!(code, "    fn read(&mut self, name: &str, value: &RawValue, reader: &mut Reading) -> Option<u32> {{")?;
    writeln!(code, "        match name {{")?;
    for (index, field) in message.field.iter().enumerate() {
        let name = field.name();
        // The documentation has the password as a number, the contract as text, which keeps a leading zero.
        let read = if name == "one_time_password" { "read_digits" } else { "read" };
        writeln!(code, "            \"{name}\" => {{")?;
        writeln!(code, "                reader.{read}(\"{name}\", value, &mut self.{name});")?;
        writeln!(code, "                Some({index})")?;
        writeln!(code, "            }}")?;
    }
    writeln!(code, "            _ => None,\n        }}\n    }}\n}}")
}
