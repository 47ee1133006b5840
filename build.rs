//! Compiles the contract, without `protoc`: the messages, the services, the descriptor set that reflection serves, and
//! for each message that REST callers send the list of its attributes, from which `transport::rest::json` reads it.

use std::{env, error::Error, fmt::Write, fs, path::PathBuf};

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorSet};

const PACKAGE: &str = "referral.v1";
const FILES: [&str; 2] = ["referral/v1/referral_event_service.proto", "referral/v1/authentication_service.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let contract = protox::compile(FILES, ["proto"])?;
    fs::write(out.join("descriptor_set.bin"), contract.encode_to_vec())?;
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

/// `impl Attributes` for each message of a request: attribute names as they stand in the contract.
fn attributes(contract: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let messages = contract.file.iter().filter(|file| file.package() == PACKAGE).flat_map(|file| &file.message_type);
    let mut code = String::new();
    for message in messages.filter(|message| !message.name().ends_with("Response")) {
        implement_attributes(&mut code, message)?;
    }
    Ok(code)
}

fn implement_attributes(code: &mut String, message: &DescriptorProto) -> std::fmt::Result {
    writeln!(code, "impl Attributes for contract::{} {{", message.name())?;
    writeln!(code, "    fn read(&mut self, name: &str, value: Value<'_>, at: &mut Reading<'_>) -> bool {{")?;
    writeln!(code, "        match name {{")?;
    for field in &message.field {
        writeln!(code, "            \"{0}\" => value.read_into(&mut self.{0}, at),", field.name())?;
    }
    writeln!(code, "            _ => return false,\n        }}\n        true\n    }}\n}}")
}
