//! From JSON to the message of an event in one go, for events that nothing is wrong with. What this reads, it reads like
//! [`json`](super::json); where anything is wrong it ends, and leaves it to `json` to say what.

use std::{fmt, marker::PhantomData};

use prost_types::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    date::{parse_date, timestamp},
    json::{Name, is_digits, number},
};
use crate::contract;

/// The position of the attribute in its message, `None` where there is none of that name.
type Read<'de, A> = Result<Option<u32>, <A as MapAccess<'de>>::Error>;

/// A message that is read from an object.
pub trait Whole: Default {
    /// Reads the attribute `name` from the value that is next in `map`.
    fn read<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Read<'de, A>;
}

include!(concat!(env!("OUT_DIR"), "/whole.rs"));

/// Reads a message; `None` where anything is wrong with it.
pub fn whole<M: Whole>(text: &[u8]) -> Option<M> {
    serde_json::from_slice(text).ok().map(|Object(message)| message)
}

/// An object whose attributes are those of the message, each given at most once.
struct Object<M>(M);

impl<'de, M: Whole> Deserialize<'de> for Object<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<M>(PhantomData<M>);

        impl<'de, M: Whole> Visitor<'de> for ObjectVisitor<M> {
            type Value = Object<M>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut message = M::default();
                let mut seen = 0u64;
                while let Some(Name(name)) = map.next_key()? {
                    match message.read(&name, &mut map)? {
                        Some(position) if seen & (1 << position) == 0 => seen |= 1 << position,
                        _ => return Err(A::Error::custom("an attribute that does not exist or is given twice")),
                    }
                }
                Ok(Object(message))
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// The value of an attribute, absent where it is `null`.
trait Value: Sized {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

fn value<'de, T: Value, A: MapAccess<'de>>(map: &mut A) -> Result<T, A::Error> {
    struct Given<T>(T);

    impl<'de, T: Value> Deserialize<'de> for Given<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            T::read(deserializer).map(Given)
        }
    }

    map.next_value().map(|Given(value)| value)
}

impl Value for Option<String> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }
}

impl Value for Option<f64> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(text) = <Option<&RawValue>>::deserialize(deserializer)? else { return Ok(None) };
        number(text.get()).map(Some).ok_or_else(|| D::Error::custom("no number"))
    }
}

impl Value for Option<Timestamp> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(Name(text)) = Option::deserialize(deserializer)? else { return Ok(None) };
        parse_date(&text).map(|date| Some(timestamp(date))).ok_or_else(|| D::Error::custom("no date"))
    }
}

impl<M: Whole> Value for Option<Box<M>> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map(|Object(message)| Box::new(message)))
    }
}

/// A text of digits, which may come as a number.
struct Digits(Option<String>);

impl<'de> Deserialize<'de> for Digits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(text) = <Option<&RawValue>>::deserialize(deserializer)? else { return Ok(Self(None)) };
        if is_digits(text.get()) {
            return Ok(Self(Some(text.get().to_owned())));
        }
        serde_json::from_str(text.get()).map(|text| Self(Some(text))).map_err(D::Error::custom)
    }
}
