//! YAML: its value with the places of all nodes. No other file names a YAML library.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::granit_parser::{Event, Parser};
use serde_saphyr::localizer::Localizer;
use serde_saphyr::{MessageFormatter, SnippetMode, Spanned, UserMessageFormatter};

use super::spans::{Children, Legacy, Spans};
use super::{Key, Tree};
use crate::hdag::{Finding, Location};

/// Nesting of sequences and mappings: as deep as values go, and shallow enough for the stack of a worker
/// thread in an unoptimised build (about 40 KiB a level).
const MAX_DEPTH: usize = 24;
/// Scalars, sequences and mappings as written.
const MAX_NODES: usize = 200_000;
/// Parser events that aliases may stand for altogether.
const MAX_ALIAS_EVENTS: usize = 100_000;
/// Bytes of text that aliases may stand for altogether.
const MAX_ALIAS_BYTES: usize = 16 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(transparent)]
struct YamlNode(Spanned<Tree<Spanned<String>, YamlNode>>);

impl Key for Spanned<String> {
    fn text(&self) -> &str {
        &self.value
    }
}

/// Reads YAML; aliases and merge keys are resolved.
pub(in crate::hdag) fn from_yaml(text: &str) -> Result<(Value, Spans), Finding> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH + 1,
            max_nodes: MAX_NODES,
            // Many services may share one anchored intent; the expansion of aliases is bounded below.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: alias_events(text),
        },
    };
    serde_saphyr::from_str_with_options::<YamlNode>(text, options)
        .map(|node| node.split(text))
        .map_err(|error| syntax_error(&error))
}

/// How many events aliases may stand for: fewer when the text has long scalars, which each could repeat.
fn alias_events(text: &str) -> usize {
    if !text.contains('*') {
        return MAX_ALIAS_EVENTS;
    }
    let longest = Parser::new_from_str(text)
        .map_while(Result::ok)
        .filter_map(|(event, _)| match event {
            Event::Scalar(value, ..) => Some(value.len()),
            _ => None,
        })
        .max();
    (MAX_ALIAS_BYTES / longest.unwrap_or(0).max(1)).min(MAX_ALIAS_EVENTS)
}

fn syntax_error(error: &serde_saphyr::Error) -> Finding {
    let options = serde_saphyr::render_options! {
        formatter: &PlainMessage,
        snippets: SnippetMode::Off,
    };
    Finding {
        pointer: String::new(),
        message: format!("not valid YAML: {}", error.without_snippet().render_with_options(options)),
        location: error.location().and_then(place),
    }
}

/// Messages without the place, which a finding has of its own.
struct PlainMessage;

impl MessageFormatter for PlainMessage {
    fn localizer(&self) -> &dyn Localizer {
        self
    }

    fn format_message<'a>(&self, error: &'a serde_saphyr::Error) -> Cow<'a, str> {
        match error {
            serde_saphyr::Error::Budget { .. } => {
                format!("more than {MAX_DEPTH} levels deep, or more than {MAX_NODES} values").into()
            }
            serde_saphyr::Error::AliasReplayLimitExceeded { .. } => "aliases repeat too much".into(),
            other => match UserMessageFormatter.format_message(other) {
                message if message.contains("not a finite number") => {
                    format!("{message}; quote it, if it is text").into()
                }
                message => message,
            },
        }
    }
}

impl Localizer for PlainMessage {
    fn attach_location<'a>(&self, base: Cow<'a, str>, _: serde_saphyr::Location) -> Cow<'a, str> {
        base
    }
}

fn place(location: serde_saphyr::Location) -> Option<Location> {
    let line = usize::try_from(location.line()).ok().filter(|line| *line > 0)?;
    let column = usize::try_from(location.column()).ok()?.max(1);
    Some(Location { line, column })
}

impl YamlNode {
    fn split(self, text: &str) -> (Value, Spans) {
        let Spanned { value, referenced, defined } = self.0;
        let at = place(referenced).or_else(|| place(defined)).unwrap_or(Location { line: 1, column: 1 });
        let (value, children) = match value {
            Tree::Null => (Value::Null, Children::Leaf(None)),
            Tree::Bool(value) => (Value::Bool(value), Children::Leaf(None)),
            Tree::Number(value) => (Value::Number(value), Children::Leaf(None)),
            Tree::Text(value) => {
                let legacy = legacy_scalar(&value).filter(|_| is_plain(&value, defined, text));
                (Value::String(value), Children::Leaf(legacy))
            }
            Tree::List(items) => {
                let (values, spans) = items.into_iter().map(|item| item.split(text)).unzip();
                (Value::Array(values), Children::List(spans))
            }
            Tree::Map(entries) => {
                let mut map = Map::with_capacity(entries.len());
                let mut spans = BTreeMap::new();
                for (key, item) in entries {
                    let (value, span) = item.split(text);
                    let key_at = place(key.referenced).unwrap_or(span.at);
                    spans.insert(key.value.clone(), (key_at, span));
                    map.insert(key.value, value);
                }
                (Value::Object(map), Children::Map(spans))
            }
        };
        (value, Spans { at, children })
    }
}

const AS_BOOLEAN: &str = "is read as a boolean, as YAML 1.1 does; write true or false, or quote it";
const AS_OCTAL: &str = "is read as an octal number, as Helm does; write it in decimal, or quote it";

/// The boolean that YAML 1.1 reads a word as, where YAML 1.2 keeps the text.
pub(in crate::hdag) fn legacy_boolean(word: &str) -> Option<bool> {
    match word {
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// What YAML 1.1, and Helm with it, reads a word as, where YAML 1.2 keeps the text.
fn legacy_scalar(word: &str) -> Option<Legacy> {
    let octal = || {
        let digits = word.strip_prefix('0').filter(|digits| !digits.is_empty())?;
        i64::from_str_radix(digits, 8).ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let boolean = legacy_boolean(word).map(|value| Legacy { value: value.into(), how: AS_BOOLEAN });
    boolean.or_else(|| octal().map(|value| Legacy { value: value.into(), how: AS_OCTAL }))
}

/// Whether the scalar stands in the text without quotes.
fn is_plain(word: &str, at: serde_saphyr::Location, text: &str) -> bool {
    at.span()
        .byte_offset()
        .and_then(|offset| usize::try_from(offset).ok())
        .and_then(|offset| text.get(offset..))
        .is_some_and(|rest| rest.starts_with(word))
}
