//! From text to a JSON value, with the places of its nodes.
//!
//! Both syntaxes pass the same visitor, so duplicate keys are refused and booleans, numbers and text are
//! distinguished in one way. Depth, nodes and the expansion of aliases are bounded.

mod json;
mod spans;
mod yaml;

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Number;

pub(super) use json::from_json;
pub use spans::escape_pointer;
pub(super) use spans::{Joined, Places, Spans};
pub(super) use yaml::{from_yaml, legacy_boolean};

/// A node of either syntax; `K` and `N` carry the place, or nothing.
enum Tree<K, N> {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<N>),
    Map(Vec<(K, N)>),
}

trait Key {
    fn text(&self) -> &str;
}

impl Key for String {
    fn text(&self) -> &str {
        self
    }
}

impl<'de, K: Deserialize<'de> + Key, N: Deserialize<'de>> Deserialize<'de> for Tree<K, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor(PhantomData))
    }
}

struct TreeVisitor<K, N>(PhantomData<(K, N)>);

impl<'de, K: Deserialize<'de> + Key, N: Deserialize<'de>> Visitor<'de> for TreeVisitor<K, N> {
    type Value = Tree<K, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        Number::from_f64(value)
            .map(Tree::Number)
            .ok_or_else(|| E::custom("a number that is not finite cannot be kept"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Self::Value, E> {
        Ok(Tree::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map: Vec<(K, N)> = Vec::new();
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key::<K>()? {
            if !seen.insert(key.text().to_owned()) {
                return Err(serde::de::Error::custom(format!("duplicate key {}", quoted(key.text()))));
            }
            let value = entries.next_value()?;
            map.push((key, value));
        }
        Ok(Tree::Map(map))
    }
}

/// A value of the input for a message: quoted, escaped, not endless.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
