//! How serde reads the messages of events where it would not by itself read what the documentation has.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
    forward_to_deserialize_any,
};
use serde_json::value::RawValue;

/// The documentation has it as a number, the contract as text, which keeps a leading zero.
pub const MAY_BE_A_NUMBER: &str = "one_time_password";

/// Reads a message, which is an object and nothing else; an error where anything is wrong with it.
pub fn message<'de, M: Deserialize<'de>>(text: &'de [u8]) -> serde_json::Result<M> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let message = M::deserialize(Object(&mut deserializer))?;
    deserializer.end()?;
    Ok(message)
}

/// A message within another.
pub fn object<'de, D: Deserializer<'de>, M: Deserialize<'de>>(deserializer: D) -> Result<Option<Box<M>>, D::Error> {
    struct Given<M>(Box<M>);

    impl<'de, M: Deserialize<'de>> Deserialize<'de> for Given<M> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            M::deserialize(Object(deserializer)).map(|message| Self(Box::new(message)))
        }
    }

    Ok(Option::deserialize(deserializer)?.map(|Given(message)| message))
}

/// Serde's derive takes an array for a message too, the attributes in their order. Here it is given objects alone.
struct Object<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Object<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A text of digits, which may come as a number.
pub fn digits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let Some(text) = <Option<&RawValue>>::deserialize(deserializer)? else { return Ok(None) };
    if is_digits(text.get()) {
        return Ok(Some(text.get().to_owned()));
    }
    serde_json::from_str(text.get()).map_err(D::Error::custom)
}

pub fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A text, borrowed where it has no escapes.
#[derive(Deserialize)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);
