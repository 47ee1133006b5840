//! The parts of a text of JSON, unread.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// A function that is handed the members of an object, one after the other, their names and values unread.
struct Members<F>(F);

impl<'de, F: FnMut(&'de RawValue, &'de RawValue)> DeserializeSeed<'de> for Members<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(&'de RawValue, &'de RawValue)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry()? {
            (self.0)(name, value);
        }
        Ok(())
    }
}

/// What PHP makes of an object that has no members.
pub fn is_empty_array(text: &str) -> bool {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).is_some_and(|inner| inner.trim().is_empty())
}

/// Hands out the members of a text that is an object, or an empty array. Where it is neither, they may have been handed
/// out in part.
pub fn each_member<'a>(text: &'a str, take: impl FnMut(&'a RawValue, &'a RawValue)) -> serde_json::Result<()> {
    if is_empty_array(text) {
        return Ok(());
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Members(take).deserialize(&mut deserializer)?;
    deserializer.end()
}

/// The first elements of an array, as many as `LIMIT` at most, and how many it has.
pub struct First<T, const LIMIT: usize> {
    pub elements: Vec<T>,
    pub count: usize,
}

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Deserialize<'de> for First<T, LIMIT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T, const LIMIT: usize>(First<T, LIMIT>);

        impl<'de, T: Deserialize<'de>, const LIMIT: usize> Visitor<'de> for Elements<T, LIMIT> {
            type Value = First<T, LIMIT>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
                let Self(mut first) = self;
                while first.count < LIMIT
                    && let Some(element) = array.next_element()?
                {
                    first.elements.push(element);
                    first.count += 1;
                }
                while array.next_element::<IgnoredAny>()?.is_some() {
                    first.count += 1;
                }
                Ok(first)
            }
        }

        deserializer.deserialize_seq(Elements(First { elements: Vec::new(), count: 0 }))
    }
}
