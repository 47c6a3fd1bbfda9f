//! The places of the nodes of a text, found by JSON pointers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::json;
use crate::hdag::Location;

/// Where the places of a document come from.
pub(in crate::hdag) enum Places<'a> {
    /// They were read with it.
    Read(Spans),
    /// A text of JSON, which is read for them only when there are findings.
    Json(&'a str),
    /// The document was not read from text.
    Unknown,
}

impl Places<'_> {
    /// The places that were read with the document.
    pub(in crate::hdag) fn read(&self) -> Option<&Spans> {
        match self {
            Self::Read(spans) => Some(spans),
            Self::Json(_) | Self::Unknown => None,
        }
    }

    /// The places, as far as they can be known.
    pub(in crate::hdag) fn into_spans(self) -> Option<Spans> {
        match self {
            Self::Read(spans) => Some(spans),
            Self::Json(text) => json::spans(text),
            Self::Unknown => None,
        }
    }
}

/// A path that becomes a pointer only where one is needed: names may be long, and those below them many.
pub(in crate::hdag) struct Joined<'a>(pub(in crate::hdag) &'a [Cow<'a, str>]);

impl From<Joined<'_>> for String {
    fn from(path: Joined<'_>) -> Self {
        path.0.join("/")
    }
}

/// A scalar that YAML 1.1 reads otherwise than YAML 1.2.
pub(super) struct Legacy {
    /// What it reads.
    pub(super) value: Value,
    /// The same for a warning.
    pub(super) how: &'static str,
}

/// The places of a document's nodes, in the shape of the document.
pub(in crate::hdag) struct Spans {
    pub(super) at: Location,
    pub(super) children: Children,
}

pub(super) enum Children {
    /// A scalar; set when it stands without quotes and is something else in YAML 1.1.
    Leaf(Option<Legacy>),
    List(Vec<Spans>),
    /// Place of the key, and the value.
    Map(BTreeMap<String, (Location, Spans)>),
}

impl Spans {
    /// Place of the node at a pointer, or of its nearest ancestor that exists.
    pub(in crate::hdag) fn locate(&self, pointer: &str) -> Location {
        let mut node = self;
        for token in tokens(pointer) {
            let Some(child) = node.child(&token) else { break };
            node = child;
        }
        node.at
    }

    /// Place of the key of a mapping's entry; of the node when it has none.
    pub(in crate::hdag) fn locate_key(&self, pointer: &str) -> Location {
        let (parent, key) = pointer.rsplit_once('/').unwrap_or_default();
        match (self.find(parent).map(|node| &node.children), unescape(key)) {
            (Some(Children::Map(entries)), key) if entries.contains_key(&key) => entries[&key].0,
            _ => self.locate(pointer),
        }
    }

    /// Calls `found` with the path of each scalar at and below `pointer` that YAML 1.1 reads as a boolean or a number
    /// and YAML 1.2 as text (`yes`, `no`, `on`, `off`, `0644` without quotes), and with how it is read.
    pub(in crate::hdag) fn each_legacy(
        &self,
        pointer: &str,
        found: &mut dyn FnMut(Joined<'_>, &'static str),
    ) {
        if let Some(node) = self.find(pointer) {
            node.walk_legacy(&mut vec![Cow::Borrowed(pointer)], found);
        }
    }

    /// Turns these scalars of `value`, which stands at `pointer`, into what YAML 1.1 reads.
    pub(in crate::hdag) fn read_legacy(&self, pointer: &str, value: &mut Value) {
        if let Some(node) = self.find(pointer) {
            node.read_below(value);
        }
    }

    fn read_below(&self, value: &mut Value) {
        match (&self.children, value) {
            (Children::Leaf(Some(legacy)), scalar) => *scalar = legacy.value.clone(),
            (Children::List(spans), Value::Array(items)) => {
                spans.iter().zip(items).for_each(|(spans, item)| spans.read_below(item));
            }
            (Children::Map(entries), Value::Object(fields)) => {
                for (name, field) in fields {
                    if let Some((_, spans)) = entries.get(name) {
                        spans.read_below(field);
                    }
                }
            }
            _ => {}
        }
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

    fn walk_legacy<'a>(
        &'a self,
        path: &mut Vec<Cow<'a, str>>,
        found: &mut dyn FnMut(Joined<'_>, &'static str),
    ) {
        match &self.children {
            Children::Leaf(None) => {}
            Children::Leaf(Some(legacy)) => found(Joined(path), legacy.how),
            Children::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push(Cow::Owned(index.to_string()));
                    item.walk_legacy(path, found);
                    path.pop();
                }
            }
            Children::Map(entries) => {
                for (key, (_, item)) in entries {
                    path.push(escape_pointer(key));
                    item.walk_legacy(path, found);
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
