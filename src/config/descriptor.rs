//! How the settings of the descriptor's language are read and shown.

use serde_json::{Map, Value, json};

use super::value::Parse;
use crate::hdag::{Classes, IntentMapping, Limits, cores_text, ram_text, storage_text};

/// Classes are shown as the quantities that a file would state.
impl Parse for IntentMapping {
    fn parse(value: &Value) -> Result<Self, String> {
        serde_json::from_value(value.clone()).map_err(|error| error.to_string())
    }

    fn show(&self) -> Value {
        let classes = |classes: &Classes, text: fn(i64) -> String| -> Map<String, Value> {
            let amount = |name: &str| classes.get(name).map_or(Value::Null, |amount| json!(text(amount)));
            classes.names().into_iter().map(|name| (name.to_owned(), amount(name))).collect()
        };
        json!({
            "cpu": classes(&self.cpu, cores_text),
            "ram": classes(&self.ram, ram_text),
            "storage": classes(&self.storage, storage_text),
        })
    }
}

impl Parse for Limits {
    fn parse(value: &Value) -> Result<Self, String> {
        serde_json::from_value(value.clone()).map_err(|error| error.to_string())
    }

    fn show(&self) -> Value {
        json!({ "max_bytes": self.max_bytes, "max_services": self.max_services })
    }
}
