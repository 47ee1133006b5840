//! Messages of the contract as tests write them.

use prost::Message;
use prost_reflect::DynamicMessage;
use serde_json::Value;

use super::methods::pool;

/// A message of the contract from JSON, by the descriptor: a reading that shares no code with the server's.
pub fn message<T: Message + Default>(name: &str, mut json: Value) -> T {
    add_offsets(&mut json);
    let descriptor = pool().get_message_by_name(&format!("referral.v1.{name}")).expect("a message");
    let message = DynamicMessage::deserialize(descriptor, json).expect("a message of the contract");
    message.transcode_to().expect("the message's type")
}

/// The JSON of a Timestamp needs an offset, which the documented form does not have.
fn add_offsets(json: &mut Value) {
    match json {
        Value::Array(values) => values.iter_mut().for_each(add_offsets),
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(date) if name == "performed_on" || name.starts_with("udf_date_") => {
                        if !date.ends_with('Z') && !date.contains('+') {
                            date.push('Z');
                        }
                    }
                    value => add_offsets(value),
                }
            }
        }
        _ => {}
    }
}
