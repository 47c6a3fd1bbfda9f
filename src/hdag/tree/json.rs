//! JSON: its value, and the places of its nodes when they are asked for.

use std::collections::BTreeMap;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged as _;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde::Deserialize;
use serde_json::Value;

use super::Tree;
use super::spans::{Children, Spans};
use crate::hdag::{Finding, Location};

#[derive(Deserialize)]
#[serde(transparent)]
struct JsonNode(Tree<String, JsonNode>);

/// Reads JSON.
pub(in crate::hdag) fn from_json(text: &str) -> Result<Value, Finding> {
    serde_json::from_str::<JsonNode>(text).map(JsonNode::into_value).map_err(|error| {
        let (line, byte_column) = (error.line().max(1), error.column().max(1));
        let message = error.to_string();
        let message = message.strip_suffix(&format!(" at line {} column {}", error.line(), error.column()));
        let column = text
            .split('\n')
            .nth(line - 1)
            .and_then(|line| line.get(..byte_column - 1))
            .map_or(byte_column, |before| before.chars().count() + 1);
        Finding {
            pointer: String::new(),
            message: format!("not valid JSON: {}", message.unwrap_or("syntax error")),
            location: Some(Location { line, column }),
        }
    })
}

impl JsonNode {
    fn into_value(self) -> Value {
        match self.0 {
            Tree::Null => Value::Null,
            Tree::Bool(value) => Value::Bool(value),
            Tree::Number(value) => Value::Number(value),
            Tree::Text(value) => Value::String(value),
            Tree::List(items) => Value::Array(items.into_iter().map(Self::into_value).collect()),
            Tree::Map(entries) => {
                Value::Object(entries.into_iter().map(|(key, value)| (key, value.into_value())).collect())
            }
        }
    }
}

/// The places in a text that [`from_json`] has accepted; `None` when the parser that knows places does not read it.
pub(super) fn spans(text: &str) -> Option<Spans> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default()).ok()?;
    Some(Lines::new(text).spans(&parsed.value?))
}

/// A text whose offsets are asked for in ascending order, so that it is walked through once.
struct Lines<'a> {
    text: &'a str,
    offset: usize,
    at: Location,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, offset: 0, at: Location { line: 1, column: 1 } }
    }

    /// The place of an offset that is not before the last one.
    fn place(&mut self, offset: usize) -> Location {
        for c in self.text.get(self.offset..offset).unwrap_or_default().chars() {
            self.at = match c {
                '\n' => Location { line: self.at.line + 1, column: 1 },
                _ => Location { column: self.at.column + 1, ..self.at },
            };
        }
        self.offset = offset.max(self.offset);
        self.at
    }

    fn spans(&mut self, value: &ast::Value<'_>) -> Spans {
        let at = self.place(value.start());
        let children = match value {
            ast::Value::Array(array) => {
                Children::List(array.elements.iter().map(|item| self.spans(item)).collect())
            }
            ast::Value::Object(object) => {
                let mut entries = BTreeMap::new();
                for property in &object.properties {
                    let key_at = self.place(property.range.start);
                    let spans = self.spans(&property.value);
                    entries.insert(property.name.as_str().to_owned(), (key_at, spans));
                }
                Children::Map(entries)
            }
            _ => Children::Leaf(None),
        };
        Spans { at, children }
    }
}
