//! Settings that are mappings or lists of mappings.

use serde_json::{Map, Value};

use super::value::Parse;

/// A mapping whose fields are known.
pub(super) struct Section<'a>(&'a Map<String, Value>);

impl<'a> Section<'a> {
    /// The mapping, when it has no other fields than these.
    pub(super) fn of(value: &'a Value, known: &[&str]) -> Result<Self, String> {
        let Value::Object(fields) = value else { return Err(format!("expected a mapping, found {value}")) };
        match fields.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(format!("unknown field {name:?}; known ones are {}", known.join(", "))),
            None => Ok(Self(fields)),
        }
    }

    /// The field's value, unless it is absent or null.
    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Reads a field.
    pub(super) fn get<T: Parse>(&self, name: &str) -> Result<Option<T>, String> {
        self.get_with(name, T::parse)
    }

    /// Reads a field in a way of its own.
    pub(super) fn get_with<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        self.value(name).map(read).transpose().map_err(|message| format!("{name}: {message}"))
    }

    /// Reads a field that must be there.
    pub(super) fn require<T: Parse>(&self, name: &str) -> Result<T, String> {
        self.get(name)?.ok_or_else(|| format!("{name} is required"))
    }
}

/// A mapping of the fields that are set, for showing it.
pub(super) fn shown<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let stated = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(stated.map(|(name, value)| (name.to_owned(), value)).collect())
}
