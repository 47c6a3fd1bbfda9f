//! From text to a JSON value, with the place of every node for YAML.
//!
//! Both syntaxes pass the same visitor, so duplicate keys are refused and booleans, numbers and text are
//! distinguished in one way. No other file names a YAML library. Depth, nodes and the expansion of aliases
//! are bounded.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};
use serde_saphyr::granit_parser::{Event, Parser};
use serde_saphyr::localizer::Localizer;
use serde_saphyr::{MessageFormatter, SnippetMode, Spanned, UserMessageFormatter};

use super::{Finding, Location};

/// Nesting of sequences and mappings: as deep as values go, and shallow enough for the stack of a worker
/// thread in an unoptimised build (about 40 KiB a level).
const MAX_DEPTH: usize = 24;
/// Scalars, sequences and mappings as written.
const MAX_NODES: usize = 200_000;
/// Parser events that aliases may stand for altogether.
const MAX_ALIAS_EVENTS: usize = 100_000;
/// Bytes of text that aliases may stand for altogether.
const MAX_ALIAS_BYTES: usize = 16 * 1024 * 1024;

/// A node of either syntax; `K` and `N` carry the place, or nothing.
enum Tree<K, N> {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<N>),
    Map(Vec<(K, N)>),
}

#[derive(Deserialize)]
#[serde(transparent)]
struct YamlNode(Spanned<Tree<Spanned<String>, YamlNode>>);

#[derive(Deserialize)]
#[serde(transparent)]
struct JsonNode(Tree<String, JsonNode>);

trait Key {
    fn text(&self) -> &str;
}

impl Key for String {
    fn text(&self) -> &str {
        self
    }
}

impl Key for Spanned<String> {
    fn text(&self) -> &str {
        &self.value
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
                return Err(A::Error::custom(format!("duplicate key {}", quoted(key.text()))));
            }
            let value = entries.next_value()?;
            map.push((key, value));
        }
        Ok(Tree::Map(map))
    }
}

/// The places of a document's nodes, in the shape of the document.
pub(super) struct Spans {
    at: Location,
    children: Children,
}

enum Children {
    /// A scalar; how it is read when it stands without quotes and is something else in YAML 1.1 ([`legacy_scalar`]).
    Leaf(Option<&'static str>),
    List(Vec<Spans>),
    /// Place of the key, and the value.
    Map(BTreeMap<String, (Location, Spans)>),
}

impl Spans {
    /// Place of the node at a pointer, or of its nearest ancestor that exists.
    pub(super) fn locate(&self, pointer: &str) -> Location {
        let mut node = self;
        for token in tokens(pointer) {
            let Some(child) = node.child(&token) else { break };
            node = child;
        }
        node.at
    }

    /// Place of the key of a mapping's entry; of the node when it has none.
    pub(super) fn locate_key(&self, pointer: &str) -> Location {
        let (parent, key) = pointer.rsplit_once('/').unwrap_or_default();
        match (self.find(parent).map(|node| &node.children), unescape(key)) {
            (Some(Children::Map(entries)), key) if entries.contains_key(&key) => entries[&key].0,
            _ => self.locate(pointer),
        }
    }

    /// Pointers of the scalars below `pointer` that YAML 1.1 reads as booleans or numbers and YAML 1.2 as text
    /// (`yes`, `no`, `on`, `off`, `0644` without quotes), each with how it is read.
    pub(super) fn legacy_scalars(&self, pointer: &str) -> Vec<(String, &'static str)> {
        let mut found = Vec::new();
        if let Some(node) = self.find(pointer) {
            node.collect_legacy(&mut vec![Cow::Borrowed(pointer)], &mut found);
        }
        found
    }

    fn find(&self, pointer: &str) -> Option<&Self> {
        tokens(pointer).try_fold(self, |node, token| node.child(&token))
    }

    fn child(&self, token: &str) -> Option<&Self> {
        match &self.children {
            Children::Leaf(_) => None,
            Children::List(items) => items.get(token.parse::<usize>().ok()?),
            Children::Map(entries) => entries.get(token).map(|(_, child)| child),
        }
    }

    fn collect_legacy<'a>(&'a self, path: &mut Vec<Cow<'a, str>>, found: &mut Vec<(String, &'static str)>) {
        match &self.children {
            Children::Leaf(None) => {}
            Children::Leaf(Some(how)) => found.push((path.join("/"), how)),
            Children::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push(Cow::Owned(index.to_string()));
                    item.collect_legacy(path, found);
                    path.pop();
                }
            }
            Children::Map(entries) => {
                for (key, (_, item)) in entries {
                    path.push(escape_pointer(key));
                    item.collect_legacy(path, found);
                    path.pop();
                }
            }
        }
    }
}

fn tokens(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(unescape)
}

fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

/// A name as a reference token of a JSON pointer (RFC 6901).
#[must_use]
pub fn escape_pointer(token: &str) -> Cow<'_, str> {
    if token.contains(['~', '/']) {
        Cow::Owned(token.replace('~', "~0").replace('/', "~1"))
    } else {
        Cow::Borrowed(token)
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

/// Reads JSON.
pub(super) fn from_json(text: &str) -> Result<Value, Finding> {
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

/// Reads YAML; aliases and merge keys are resolved.
pub(super) fn from_yaml(text: &str) -> Result<(Value, Spans), Finding> {
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
                let legacy = legacy.map(|read| if read.is_boolean() { AS_BOOLEAN } else { AS_OCTAL });
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
pub(super) fn legacy_boolean(word: &str) -> Option<bool> {
    match word {
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// The boolean or octal number that YAML 1.1, and Helm with it, reads a word as, where YAML 1.2 keeps the text.
pub(super) fn legacy_scalar(word: &str) -> Option<Value> {
    let octal = || {
        let digits = word.strip_prefix('0').filter(|digits| !digits.is_empty())?;
        i64::from_str_radix(digits, 8).ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    legacy_boolean(word).map(Value::from).or_else(|| octal().map(Value::from))
}

/// Whether the scalar stands in the text without quotes.
fn is_plain(word: &str, at: serde_saphyr::Location, text: &str) -> bool {
    at.span()
        .byte_offset()
        .and_then(|offset| usize::try_from(offset).ok())
        .and_then(|offset| text.get(offset..))
        .is_some_and(|rest| rest.starts_with(word))
}
