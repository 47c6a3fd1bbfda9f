//! Names that Kubernetes, Helm and command lines accept.
//!
//! Service ids must be such names already; names of objects that belong to a graph are derived from its id,
//! which may be any text, and stay distinct because of a hash.

use super::digest::sha256_hex;

/// Longest name of a Helm release.
pub(super) const MAX_RELEASE_NAME: usize = 53;

const HASH_LENGTH: usize = 8;

/// Whether `text` is a DNS-1123 label of at most `max` characters: a-z, 0-9 and `-`, no `-` at the ends.
#[must_use]
pub fn is_dns_label(text: &str, max: usize) -> bool {
    !text.is_empty()
        && text.len() <= max
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether Kubernetes takes the text as the value of a label, and as the name of one without its prefix.
#[must_use]
pub fn is_label_value(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && edge(text.chars().next())
        && edge(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// A DNS-1123 label of at most `max_len` characters made from any text: its letters and digits, `-`, and 8
/// hexadecimal digits of its SHA-256. Different texts give different slugs, equal texts equal ones.
///
/// Below 10 characters there is only the (cut) hash.
#[must_use]
pub fn slug(text: &str, max_len: usize) -> String {
    let mut hash = sha256_hex(text.as_bytes());
    hash.truncate(HASH_LENGTH.min(max_len));
    let room = max_len.saturating_sub(HASH_LENGTH + 1);
    let mut readable = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        if readable.len() >= room {
            break;
        }
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            readable.push(c);
        } else if !readable.is_empty() && !readable.ends_with('-') {
            readable.push('-');
        }
    }
    let readable = readable.trim_end_matches('-');
    if readable.is_empty() { hash } else { format!("{readable}-{hash}") }
}

/// An OCI reference without its tag, and the tag. Helm takes a tag only as `--version`. The last colon belongs to a
/// port when a slash follows it; a digest is more specific than a tag and stays part of the reference.
#[must_use]
pub fn split_tag(reference: &str) -> (&str, Option<&str>) {
    if reference.contains('@') {
        return (reference, None);
    }
    match reference.rsplit_once(':') {
        Some((chart, tag)) if !tag.contains('/') => (chart, Some(tag)),
        _ => (reference, None),
    }
}
