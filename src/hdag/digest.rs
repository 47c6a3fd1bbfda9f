//! Whether two descriptors are the same: a hash over canonical JSON.
//!
//! The document as posted counts, unknown fields included, not its typed view: defaults may change between
//! releases, the user's text does not.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256, in hexadecimal digits, of the document as JSON with sorted keys and without blanks.
///
/// The order of keys does not matter, the order of lists does; `1` and `1.0` differ.
#[must_use]
pub fn digest(document: &Value) -> String {
    let mut canonical = String::new();
    write_canonical(document, &mut canonical);
    sha256_hex(canonical.as_bytes())
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (index, (name, item)) in fields.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_canonical(item, out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// SHA-256 in 64 lower-case hexadecimal digits.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
