//! A cursor over a JSON object that knows its pointer and collects findings instead of stopping.
//!
//! `null` counts as absent everywhere, as in descriptors with an empty key.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::custom::Scope;
use crate::hdag::Finding;
use crate::hdag::tree::{Places, Spans, escape_pointer, legacy_boolean, quoted};

/// Errors that are listed; further ones are counted.
const MAX_ERRORS: usize = 1000;
/// Warnings that are listed; they are part of every answer.
const MAX_WARNINGS: usize = 200;
/// Bytes of pointers and messages after which no more of a kind are listed: names of fields can be long.
const MAX_LISTED_BYTES: usize = 1024 * 1024;

/// The findings of one walk.
pub(super) struct Report {
    errors: Listed,
    warnings: Listed,
    /// Intents beyond the information model that were met since they were last taken.
    pub(super) custom: BTreeMap<String, Value>,
}

/// Findings of one kind.
struct Listed {
    /// With `true` when the place of the key is meant, not that of the value.
    findings: Vec<(Finding, bool)>,
    most: usize,
    bytes: usize,
    /// How many there are beyond those that are listed.
    more: usize,
}

impl Listed {
    fn new(most: usize) -> Self {
        Self { findings: Vec::new(), most, bytes: 0, more: 0 }
    }

    fn is_full(&self) -> bool {
        self.findings.len() >= self.most || self.bytes >= MAX_LISTED_BYTES
    }

    /// The pointer is made only when the finding is listed.
    fn add(&mut self, pointer: impl Into<String>, message: impl Into<String>, of_key: bool) {
        if self.is_full() {
            self.more += 1;
            return;
        }
        let finding = Finding::new(pointer, message);
        self.bytes += finding.pointer.len() + finding.message.len();
        self.findings.push((finding, of_key));
    }

    fn placed(self, spans: Option<&Spans>, what: &str) -> Vec<Finding> {
        let place = |(mut finding, of_key): (Finding, bool)| {
            finding.location = spans.map(|spans| match of_key {
                true => spans.locate_key(&finding.pointer),
                false => spans.locate(&finding.pointer),
            });
            finding
        };
        let mut findings: Vec<Finding> = self.findings.into_iter().map(place).collect();
        findings.sort_by_key(|finding| finding.location.map(|at| (at.line, at.column)));
        if self.more > 0 {
            findings.push(Finding::new(String::new(), format!("{} more {what} are not listed", self.more)));
        }
        findings
    }
}

impl Default for Report {
    fn default() -> Self {
        Self { errors: Listed::new(MAX_ERRORS), warnings: Listed::new(MAX_WARNINGS), custom: BTreeMap::new() }
    }
}

impl Report {
    pub(super) fn error(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.errors.add(pointer, message, false);
    }

    pub(super) fn warn(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.warnings.add(pointer, message, false);
    }

    /// Warns at the field's name.
    pub(super) fn warn_of_field(&mut self, pointer: String, message: String) {
        self.warnings.add(pointer, message, true);
    }

    /// A field that nothing looks at.
    pub(super) fn unknown_field(&mut self, pointer: String, name: &str, known: &[&str]) {
        let near = if self.warnings.is_full() { None } else { nearest(name, known) };
        let near = near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
        self.warn_of_field(pointer, format!("unknown field {} has no effect{near}", quoted(name)));
    }

    /// Errors and warnings with their places, in the order of the text; without places in that of the walk.
    pub(super) fn finish(self, places: Places<'_>) -> (Vec<Finding>, Vec<Finding>) {
        let none = self.errors.findings.is_empty() && self.warnings.findings.is_empty();
        let spans = if none { None } else { places.into_spans() };
        (self.errors.placed(spans.as_ref(), "errors"), self.warnings.placed(spans.as_ref(), "warnings"))
    }
}

/// A value and its place.
pub(super) struct Node<'a> {
    pub(super) pointer: String,
    pub(super) value: &'a Value,
}

impl<'a> Node<'a> {
    /// The value as text.
    pub(super) fn text(&self, report: &mut Report) -> Option<&'a str> {
        if let Value::String(text) = self.value {
            return Some(text);
        }
        let hint = if matches!(self.value, Value::Number(_) | Value::Bool(_)) { "; quote it" } else { "" };
        self.wrong("text", hint, report);
        None
    }

    /// The value as text; numbers and booleans count as their spelling.
    fn scalar(&self, report: &mut Report) {
        if matches!(self.value, Value::Array(_) | Value::Object(_)) {
            self.wrong("text", "", report);
        }
    }

    /// The value as a boolean, in the spellings of Python and YAML 1.1, quoted or not.
    pub(super) fn flag(&self, report: &mut Report) -> Option<bool> {
        match self.value {
            Value::Bool(value) => Some(*value),
            Value::String(text) => match text.as_str() {
                "true" | "True" | "TRUE" => Some(true),
                "false" | "False" | "FALSE" => Some(false),
                word => legacy_boolean(word).or_else(|| {
                    report.error(&self.pointer, format!("must be true or false, not {}", quoted(word)));
                    None
                }),
            },
            _ => {
                self.wrong("true or false", "", report);
                None
            }
        }
    }

    /// The value as an integer, 0 or more.
    fn natural(&self, report: &mut Report) -> Option<i64> {
        let value = self.value.as_i64().filter(|value| *value >= 0);
        if value.is_none() {
            let shown = match self.value {
                Value::Number(number) => number.to_string(),
                other => kind(other).to_owned(),
            };
            report.error(&self.pointer, format!("must be a whole number of at least 0, not {shown}"));
        }
        value
    }

    /// The value as a number; never infinite.
    pub(super) fn number(&self, report: &mut Report) -> Option<f64> {
        let number = self.value.as_f64().filter(|number| number.is_finite());
        if number.is_none() {
            self.wrong("a number", "", report);
        }
        number
    }

    /// The entries of a list.
    fn items(self, report: &mut Report) -> Vec<Node<'a>> {
        let Value::Array(items) = self.value else {
            self.wrong("a list", "", report);
            return Vec::new();
        };
        items
            .iter()
            .enumerate()
            .map(|(index, value)| Node { pointer: format!("{}/{index}", self.pointer), value })
            .collect()
    }

    /// The value as an object; fields that are not `known` are warned about. Empty when it is none.
    pub(super) fn object(self, known: &[&str], report: &mut Report) -> Object<'a> {
        self.object_within(None, known, report)
    }

    fn object_within(self, scope: Option<Scope<'a>>, known: &[&str], report: &mut Report) -> Object<'a> {
        let Value::Object(fields) = self.value else {
            self.wrong("an object", "", report);
            return Object { pointer: self.pointer, fields: None, scope };
        };
        let object = Object { pointer: self.pointer, fields: Some(fields), scope };
        object.look_over(known, report);
        object
    }

    fn wrong(&self, wanted: &str, hint: &str, report: &mut Report) {
        report.error(&self.pointer, format!("must be {wanted}, not {}{hint}", kind(self.value)));
    }
}

/// An object and its place; `fields` is `None` when it is absent or of a wrong type, so that its
/// fields take their defaults.
pub(super) struct Object<'a> {
    pub(super) pointer: String,
    fields: Option<&'a Map<String, Value>>,
    /// Set among the intents, where unknown fields may have a meaning.
    scope: Option<Scope<'a>>,
}

impl<'a> Object<'a> {
    /// Whether the key is there, even with `null`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.is_some_and(|fields| fields.contains_key(name))
    }

    /// Whether the object itself is there.
    pub(super) fn exists(&self) -> bool {
        self.fields.is_some()
    }

    pub(super) fn pointer_to(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, escape_pointer(name))
    }

    /// The field, unless it is absent or `null`.
    pub(super) fn get(&self, name: &str) -> Option<Node<'a>> {
        let value = self.fields?.get(name).filter(|value| !value.is_null())?;
        Some(Node { pointer: self.pointer_to(name), value })
    }

    pub(super) fn object(&self, name: &str, known: &[&str], report: &mut Report) -> Object<'a> {
        self.object_within(name, self.scope.as_ref().map(|scope| scope.child(name)), known, report)
    }

    /// An object that older information models have as a text, which has no effect.
    pub(super) fn object_unless_text(&self, name: &str, known: &[&str], report: &mut Report) -> Object<'a> {
        let scope = self.scope.as_ref().map(|scope| scope.child(name));
        self.within_unless_text(name, scope, known, report)
    }

    fn within_unless_text(
        &self,
        name: &str,
        scope: Option<Scope<'a>>,
        known: &[&str],
        report: &mut Report,
    ) -> Object<'a> {
        match self.get(name) {
            Some(Node { pointer, value: Value::String(text) }) => {
                if !text.is_empty() {
                    let message = "is a text, as in older information models, and has no effect";
                    report.warn(&pointer, message);
                }
                Object { pointer, fields: None, scope }
            }
            _ => self.object_within(name, scope, known, report),
        }
    }

    /// An object of intents: unknown fields in and below it are collected, and a mapped path causes no
    /// warning.
    pub(super) fn intents(
        &self,
        name: &str,
        mapped: &'a BTreeSet<String>,
        known: &[&str],
        report: &mut Report,
    ) -> Object<'a> {
        self.within_unless_text(name, Some(Scope::new(mapped)), known, report)
    }

    fn object_within(
        &self,
        name: &str,
        scope: Option<Scope<'a>>,
        known: &[&str],
        report: &mut Report,
    ) -> Object<'a> {
        match self.get(name) {
            Some(node) => node.object_within(scope, known, report),
            None => Object { pointer: self.pointer_to(name), fields: None, scope },
        }
    }

    /// An object whose fields are free.
    pub(super) fn free_object(&self, name: &str, report: &mut Report) -> Option<&'a Map<String, Value>> {
        let node = self.get(name)?;
        if let Value::Object(fields) = node.value {
            return Some(fields);
        }
        node.wrong("an object", "", report);
        None
    }

    /// The fields of an object whose fields are free, those that are `null` left out.
    pub(super) fn entries(&self, name: &str, report: &mut Report) -> Vec<(&'a str, Node<'a>)> {
        let pointer = self.pointer_to(name);
        let fields = self.free_object(name, report).into_iter().flatten();
        fields
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| {
                (name.as_str(), Node { pointer: format!("{pointer}/{}", escape_pointer(name)), value })
            })
            .collect()
    }

    pub(super) fn text(&self, name: &str, report: &mut Report) -> Option<&'a str> {
        self.get(name)?.text(report)
    }

    /// Checks that the field, if there, is text or another scalar.
    pub(super) fn check_scalar(&self, name: &str, report: &mut Report) {
        if let Some(node) = self.get(name) {
            node.scalar(report);
        }
    }

    /// The field `enabled` of the object `name`; false when absent.
    pub(super) fn enabled(&self, name: &str, report: &mut Report) -> bool {
        self.object(name, &["enabled"], report).flag("enabled", report)
    }

    /// False when absent.
    pub(super) fn flag(&self, name: &str, report: &mut Report) -> bool {
        self.get(name).and_then(|node| node.flag(report)).unwrap_or(false)
    }

    pub(super) fn natural(&self, name: &str, report: &mut Report) -> Option<i64> {
        self.get(name)?.natural(report)
    }

    /// The entries of a list; none when absent.
    pub(super) fn items(&self, name: &str, report: &mut Report) -> Vec<Node<'a>> {
        self.get(name).map(|node| node.items(report)).unwrap_or_default()
    }

    fn look_over(&self, known: &[&str], report: &mut Report) {
        for (name, value) in self.fields.into_iter().flatten() {
            let node = Node { pointer: self.pointer_to(name), value };
            match &self.scope {
                Some(scope) => scope.look_at(name, node, known, report),
                None if known.contains(&name.as_str()) => {}
                None => report.unknown_field(node.pointer, name, known),
            }
        }
    }
}

/// The known name that a misspelt one most likely means.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    if name.len() > 64 {
        return None;
    }
    let lower = name.to_lowercase();
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
