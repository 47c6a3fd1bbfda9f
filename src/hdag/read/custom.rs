//! Intents that the information model does not define.
//!
//! Every scalar among them is collected under its path, and so is a known one that a configured rule uses.
//! One that no rule uses is an unknown field like any other.

use std::collections::BTreeSet;

use serde_json::Value;

use super::reader::{Node, Report, kind};
use crate::hdag::intents::MAX_PATH;
use crate::hdag::tree::escape_pointer;

/// An object of intents: its path, and the paths that rules look at.
pub(super) struct Scope<'a> {
    mapped: &'a BTreeSet<String>,
    path: String,
}

impl<'a> Scope<'a> {
    pub(super) fn new(mapped: &'a BTreeSet<String>) -> Self {
        Self { mapped, path: String::new() }
    }

    pub(super) fn child(&self, name: &str) -> Self {
        // A path that is too long stays so, but does not grow.
        let path = match self.path.as_str() {
            "" => name.to_owned(),
            path if path.len() > MAX_PATH => path.to_owned(),
            path => format!("{path}.{name}"),
        };
        Self { mapped: self.mapped, path }
    }

    /// Collects or warns of one field of this object, whose `known` fields are read elsewhere.
    pub(super) fn look_at(&self, name: &str, node: Node<'_>, known: &[&str], report: &mut Report) {
        let field = self.child(name);
        if known.contains(&name) {
            if field.is_mapped() {
                field.collect(node.value, report);
            }
            return;
        }
        field.collect(node.value, report);
        field.warn(name, node, known, report);
    }

    fn is_mapped(&self) -> bool {
        self.mapped.contains(&self.path)
    }

    fn leads_to_mapped(&self) -> bool {
        let prefix = format!("{}.", self.path);
        self.mapped.range(prefix.clone()..).next().is_some_and(|path| path.starts_with(&prefix))
    }

    /// The scalars at and below this path; the memory they take is bounded by that of the descriptor.
    fn collect(&self, value: &Value, report: &mut Report) {
        if self.path.len() > MAX_PATH {
            return;
        }
        match value {
            Value::Null | Value::Array(_) => {}
            Value::Object(fields) => {
                fields.iter().for_each(|(name, value)| self.child(name).collect(value, report));
            }
            scalar => drop(report.custom.insert(self.path.clone(), scalar.clone())),
        }
    }

    fn warn(&self, name: &str, node: Node<'_>, known: &[&str], report: &mut Report) {
        let Node { pointer, value } = node;
        if self.is_mapped() {
            if value.is_array() || value.is_object() {
                let message =
                    format!("has no effect: the intent must be a single value, not {}", kind(value));
                report.warn_of_field(pointer, message);
            }
            return;
        }
        match value {
            Value::Object(fields) if self.leads_to_mapped() => {
                for (name, value) in fields {
                    let node = Node { pointer: format!("{pointer}/{}", escape_pointer(name)), value };
                    self.child(name).warn(name, node, &[], report);
                }
            }
            _ => report.unknown_field(pointer, name, known),
        }
    }
}
